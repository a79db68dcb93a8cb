"""What the live page of a release shows, put together for its template."""

from dataclasses import dataclass
from typing import Any

from deployments import selectors
from deployments.earlier_release import can_be_asked_again
from deployments.gate_lines import gate_lines
from deployments.lifecycle import DECIDED, LIVE_STATUSES, RELEASE_LOOKS, Phase, ReleaseStatus
from deployments.models import Endpoint, EnvironmentBuild, Release, Rollout
from deployments.pace import pace_of
from deployments.rollout.closing import why_held
from deployments.rollout.guardrails import guardrail_sentences
from deployments.rollout.steps import StepKind, mirror_at, steps_from_plan
from deployments.rollout.strategies.targeting import target_sentence
from deployments.services.emergency import why_no_release_emergency
from deployments.views.release_charts import marks, panels
from deployments.watch_standing import watch_standing
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from registry.approvals.selectors import approval_progress
from registry.operators import why_not_operator, why_not_rollback
from registry.policy_fields import OPERATIONS
from registry.policy_lines import ruling_frozen
from registry.selectors import why_changed_outside
from registry.version_lifecycle import why_out_of_use

EVENTS_SHOWN = 200


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: `state` is done, current, back or ahead."""

    title: str
    state: str
    note: str


@dataclass(frozen=True)
class Control:
    """A button: `why_not` is the reason it cannot be pressed, empty when it can."""

    name: str
    label: str
    icon: str
    colour: str
    why_not: str


def context_of(actor: Actor, release: Release) -> dict[str, Any]:
    """The template context of a release's page."""
    rollout = Rollout.objects.filter(release=release).first()
    is_live = ReleaseStatus(release.status) in LIVE_STATUSES
    watch = watch_standing(release)
    events = list(release.events.order_by("-id")[:EVENTS_SHOWN])
    return {
        "release": release,
        "ruling": ruling_frozen(release.policy),
        "rollout": rollout,
        "look": RELEASE_LOOKS[ReleaseStatus(release.status)],
        "is_live": is_live,
        "ladder": ladder(release, rollout),
        "pace": pace_of(release, rollout, clock.now()) if is_live else "",
        "assessment": rollout.assessment if rollout else {},
        "is_decided": rollout is not None and Phase(rollout.phase) in DECIDED,
        "guardrails": guardrail_sentences(release),
        "waiting_for": (rollout.waiting_for if rollout and is_live else "") or release.status_reason,
        "controls": controls(actor, release, rollout),
        "events": events,
        "replicas": [row for row in selectors.replicas_of(release.endpoint) if row.replica.serves(release)],
        "builds": list(EnvironmentBuild.objects.exclude(state="ready")) if is_live else [],
        "gates": gate_lines(release, clock.now()),
        "progress": approval_progress(release.approval) if release.approval else None,
        "charts": panels(release, rollout),
        "is_followed": release.is_open or (watch is not None and watch.is_running),
        "watch": watch,
        "mirrored": mirrored_pct(release, rollout) if is_live else 0,
        "may_save_template": release.kind == "release" and actor.may(Action.ENDPOINT_MANAGE, release.scopes),
        "rollback_sentence": rollback_sentence(release),
        "changed_outside": why_changed_outside(release.version, release.digest) if counts(release) else "",
        "out_of_use": why_out_of_use(release.version) if counts(release) else "",
        "marks": marks(release, rollout),
        "report": getattr(release, "report", None),
        "can_be_asked_again": can_be_asked_again(release),
        "why_not_request": actor.why_not(Action.RELEASE_REQUEST, release.scopes),
        "emergency": release.emergency,
        "why_no_emergency": why_no_release_emergency(actor, release),
    }


def counts(release: Release) -> bool:
    """Whether what became of its version matters for a release: it is open, or it serves."""
    return release.is_open or release.endpoint.stable_release_id == release.pk


def mirrored_pct(release: Release, rollout: Rollout | None) -> int:
    """The share of the requests that is copied to the new version now."""
    if rollout is None or rollout.phase in (Phase.STARTING, Phase.REVERTING, Phase.DONE):
        return 0
    step = mirror_at(steps_from_plan(release.plan), rollout.step)
    return step.weight_pct if step else 0


def ladder(release: Release, rollout: Rollout | None) -> list[Rung]:
    """The plan's steps with where the rollout stands."""
    rungs = []
    went_back = release.status in (ReleaseStatus.ROLLED_BACK, ReleaseStatus.ABORTED, ReleaseStatus.FAILED)
    for index, step in enumerate(steps_from_plan(release.plan)):
        state, note = "ahead", ""
        if rollout is not None:
            if release.status == ReleaseStatus.SUCCEEDED or index < rollout.step:
                state = "done"
            elif index == rollout.step:
                state = "back" if went_back or rollout.phase == Phase.REVERTING else "current"
                note = rollout.waiting_for if state == "current" else rollout.outcome_reason
        if step.kind is StepKind.TARGET and not note:
            note = target_sentence(release.strategy)
        if step.kind is StepKind.BAKE and step.min_requests and not note:
            note = f"and {step.min_requests:,} requests"
        rungs.append(Rung(step.title, state, note))
    return rungs


def controls(actor: Actor, release: Release, rollout: Rollout | None) -> list[Control]:
    """The buttons of the page with the reason for each that cannot be pressed; of a release that has ended only the
    one that still means something.
    """
    status = ReleaseStatus(release.status)
    live = status in LIVE_STATUSES
    leaving = rollout is not None and Phase(rollout.phase) in DECIDED
    not_live = "" if live else "Nothing is rolling out yet."
    busy = "It is on its way already." if leaving else ""
    held = why_held(release, clock.now()) if live else ""
    pausing = Control("pause", "Pause", "player-pause", "", "")
    if status is ReleaseStatus.PAUSED:
        pausing = Control("resume", "Resume", "player-play", "primary", "")
    may = {
        pausing.name: _why_not(actor, release, "pause") or not_live or busy,
        "promote": _why_not(actor, release, "promote") or not_live or busy or held,
        "abort": _why_not_abort(actor, release) or busy,
        "rollback": why_not_roll_back(actor, release.endpoint) or _why_no_rollback(release),
    }
    drawn = [
        pausing,
        Control("promote", "Promote now", "player-skip", "", ""),
        Control("abort", "Abort", "ban", "", ""),
        Control("rollback", "Roll back now", "arrow-back-up", "danger", ""),
    ]
    offered = drawn if release.is_open else drawn[-1:]
    return [Control(c.name, c.label, c.icon, c.colour, may[c.name]) for c in offered]


def _why_not(actor: Actor, release: Release, operation: str) -> str:
    """Why roles or the release's policy keep this person from an operation on it."""
    return actor.why_not(OPERATIONS[operation], release.scopes) or why_not_operator(
        actor, release.policy, operation, release.scopes
    )


def why_not_roll_back(actor: Actor, endpoint: Endpoint) -> str:
    """Why roles or the policy in force keep this person from rolling an endpoint back."""
    scopes = endpoint.scopes
    if reason := actor.why_not(Action.ENDPOINT_ROLLBACK, scopes):
        return reason
    return why_not_rollback(actor, endpoint.environment, endpoint.model, scopes)


def _why_not_abort(actor: Actor, release: Release) -> str:
    is_own = actor.user is not None and actor.user.pk == release.requester_id
    if is_own and ReleaseStatus(release.status) not in LIVE_STATUSES:
        return actor.why_not(Action.RELEASE_REQUEST, release.scopes)
    return _why_not(actor, release, "abort")


def _why_no_rollback(release: Release) -> str:
    live = selectors.live_release(release.endpoint)
    if live is not None and live.pk != release.pk:
        return f"Version {live.version.number} is rolling out; roll back on its page or the endpoint's."
    if live is not None:
        return "" if live.replaces_id else "It is the first release of this endpoint; there is nothing to roll back to."
    if release.endpoint.stable_release_id != release.pk:
        return "This release is not what the endpoint serves now."
    return selectors.why_no_rollback_target(release.endpoint)


def rollback_sentence(release: Release) -> str:
    """What a rollback would return to."""
    replaced = release.replaces or (release.endpoint.stable_release if release.is_open else None)
    target = selectors.original_of(replaced) if replaced else None
    if target is None:
        return "First release of this endpoint: there is no version to roll back to."
    return f"A rollback returns to version {target.version.number}."
