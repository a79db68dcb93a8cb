"""Who is told of a release: a rollout that waits for a person, one that was taken back, and one that failed."""

from collections.abc import Collection
from uuid import UUID

from deployments.lifecycle import Phase, QueueOutcome, ReleaseStatus
from deployments.models import QueuedRequest, Release, ReleaseEvent, Rollout
from deployments.queue_selectors import queue_visible_to
from deployments.rollout.blocked_return import why_blocked_serves
from deployments.selectors import releases_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Action, roles_that_allow
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.live.models import Event
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.services import notices_raise, notices_settle
from registry.approvals.approval_notices import UNSEEN, ids_holding
from registry.approvals.selectors import approving_decisions

HELD, TAKEN_BACK, FAILED, NO_TURN = "rollout_held", "taken_back", "release_failed", "queue_refused"
OWN_TOPIC = "release."  # each change is published on the list's topic too
ROWS = (
    *("endpoint__environment", "endpoint__model", "endpoint__stable_release__version", "version__model", "requester"),
    *("replaces__endpoint__environment", "replaces__endpoint__model", "replaces__version__model"),
    *("replaces__requester", "replaces__approval"),
)
OF_QUEUED = ("endpoint__environment", "endpoint__model")
GO_ON = (Action.RELEASE_PAUSE, Action.RELEASE_PROMOTE)


def on_release_changed(event: Event) -> None:
    """Tell whom a release concerns how it stands now."""
    if not event.topic.startswith(OWN_TOPIC):
        return
    release = Release.objects.select_related(*ROWS).filter(pk=event.data["release"]).first()
    if release is None:
        return
    rollout = Rollout.objects.filter(release=release).first()
    if rollout is not None and is_held(release, rollout):
        _tell_held(release, rollout)
    else:
        notices_settle(kinds=[HELD], thing=str(release.pk))
    if rollout is not None and release.status == ReleaseStatus.ROLLED_BACK:
        _tell_concerned(release, TAKEN_BACK, release.status_reason, also=_may_end_blocked(release))
    elif release.status == ReleaseStatus.FAILED:
        _tell_concerned(release, FAILED, release.status_reason)
    elif _is_step_back(release):
        who = "mlorch" if hasattr(release, "took_back") else release.requester.username
        sentence = f"{who} rolled the endpoint back: {release.reason}"
        assert release.replaces is not None
        _tell_concerned(release.replaces, TAKEN_BACK, sentence, str(release.pk))


def on_queue_changed(event: Event) -> None:
    """Tell who queued a request that it could not be made when its turn came."""
    queued = QueuedRequest.objects.select_related(*OF_QUEUED).filter(pk=event.data["queued"]).first()
    if queued is None or queued.outcome != QueueOutcome.REFUSED:
        return
    endpoint = queued.endpoint
    path = f"/endpoints/{endpoint.environment.name}/{endpoint.name}/"
    data = {"queued": str(queued.pk), "version": queued.version}
    news = News(NO_TURN, str(queued.pk), str(queued), queued.sentence, path, tuple(queued.scopes), "", data)
    notices_raise(news=news, people={queued.requester_id})


def _why_not_queued(actor: Actor, thing: str) -> str:
    return "" if queue_visible_to(actor).filter(pk=UUID(thing)).exists() else UNSEEN


def _is_step_back(release: Release) -> bool:
    """Whether it took another release back by hand; what restores a retired endpoint takes nothing back."""
    is_done = release.kind == "rollback" and release.status == ReleaseStatus.SUCCEEDED
    return is_done and release.replaces_id not in (None, release.restores_id)


def is_held(release: Release, rollout: Rollout) -> bool:
    """Whether a rollout goes on only when a person lets it."""
    is_holding = release.status == ReleaseStatus.ROLLING_OUT and rollout.phase == Phase.HOLDING
    return is_holding or release.status == ReleaseStatus.PAUSED


def _tell_held(release: Release, rollout: Rollout) -> None:
    """Tell those who can let it go on, but for whoever holds it; each time that it is held anew."""
    is_paused = release.status == ReleaseStatus.PAUSED
    occasion = f"paused {rollout.paused_at:%Y%m%d%H%M%S}" if is_paused else f"step {rollout.step}"
    sentence = release.status_reason if is_paused else rollout.waiting_for or "It waits for a person to promote it."
    roles = [role.value for action in GO_ON for role in roles_that_allow(action)]
    people = User.objects.filter(pk__in=ids_holding(roles, release.scopes))
    able = {one.pk for one in people if not _why_not_go_on(actor_for_user(one), release)}
    notices_raise(news=_news(release, HELD, sentence, occasion), people=able - _pausing(release))


def _pausing(release: Release) -> set[int]:
    """Who paused the release: they know."""
    newest = ReleaseEvent.objects.filter(release=release, kind="release.paused").order_by("-id").first()
    if newest is None or release.status != ReleaseStatus.PAUSED:
        return set()
    return set(User.objects.filter(username=newest.actor).values_list("pk", flat=True))


def _may_end_blocked(release: Release) -> set[int]:
    """Who can do something about it when a blocked version serves again; nobody when none does."""
    if not why_blocked_serves(release.endpoint):
        return set()
    return ids_holding([role.value for role in roles_that_allow(Action.VERSION_BLOCK)], release.scopes)


def _tell_concerned(release: Release, kind: str, sentence: str, occasion: str = "", also: Collection[int] = ()) -> None:
    """Tell who asked for it, who approved it, the model's owner, and those who are named."""
    names = {release.requester.username, release.endpoint.model.owner}
    if release.approval is not None:
        names |= {decision.person.username for decision in approving_decisions(release.approval)}
    people = set(User.objects.filter(username__in=names - {""}).values_list("pk", flat=True))
    notices_raise(news=_news(release, kind, sentence, occasion), people=people | set(also))


def _news(release: Release, kind: str, sentence: str, occasion: str = "") -> News:
    data = {"release": str(release.pk), "status": release.status, "version": release.version.number}
    path = f"/releases/{release.pk}/"
    return News(kind, str(release.pk), str(release), sentence, path, tuple(release.scopes), occasion, data)


def _why_not_go_on(actor: Actor, release: Release) -> str:
    if any(actor.may(action, release.scopes) for action in GO_ON):
        return ""
    return actor.why_not(Action.RELEASE_PAUSE, release.scopes)


def _why_not_held(thing: str) -> str:
    release = Release.objects.select_related("rollout").filter(pk=UUID(thing)).first()
    rollout = getattr(release, "rollout", None)
    return "" if release and rollout and is_held(release, rollout) else "The rollout goes on, or has ended."


def _why_not_able(actor: Actor, thing: str) -> str:
    release = releases_visible_to(actor).filter(pk=UUID(thing)).first()
    return _why_not_go_on(actor, release) if release else UNSEEN


def _why_not_seen(actor: Actor, thing: str) -> str:
    return "" if releases_visible_to(actor).filter(pk=UUID(thing)).exists() else UNSEEN


def _never_over(thing: str) -> str:
    return ""


def register_kinds() -> None:
    """Called once, when the app is ready."""
    register_kind(NoticeKind(HELD, "Rollout waits for a person", _why_not_held, _why_not_able, waits=True))
    register_kind(NoticeKind(TAKEN_BACK, "Release taken back", _never_over, _why_not_seen))
    register_kind(NoticeKind(FAILED, "Release failed", _never_over, _why_not_seen))
    register_kind(NoticeKind(NO_TURN, "Queued release could not be requested", _never_over, _why_not_queued))
