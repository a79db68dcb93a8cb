"""Live updates: who may join which topic, and the handlers of events from below.

Whoever may see an endpoint or a release may join its topic; lists carry ids only. A decided approval lets its release
go on at once: only a hint, the tick looks too.
"""

from deployments import release_notices
from deployments.models import Release
from deployments.selectors import OPEN, endpoints_visible_to, release_for
from deployments.services.advance import release_look
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from mlorch_site.live.models import Event
from mlorch_site.live.outbox import on_event
from mlorch_site.live.topics import anybody_who_views, register

LISTS = ("releases", "endpoints", "approvals", "registry", "gateways", "overview", "reports")
SUBJECT_KIND = "release"


def may_join_endpoint(actor: Actor, rest: str) -> bool:
    """`rest` is `<environment>.<name>`."""
    environment, _, name = rest.partition(".")
    return endpoints_visible_to(actor).filter(environment__name=environment, name=name).exists()


def may_join_release(actor: Actor, rest: str) -> bool:
    """`rest` is the release's id."""
    try:
        release_for(actor, rest)
    except DomainError:
        return False
    return True


def on_approval_changed(event: Event) -> None:
    """Let the release that an approval request is about go on."""
    if event.data.get("subject_kind") == SUBJECT_KIND:
        release_look(release_id=event.data["subject_id"], now=clock.now())


def on_version_lifecycle(event: Event) -> None:
    """Let the releases of a version go on, or end, by what was decided about it."""
    opened = Release.objects.filter(version=event.data["row"], status__in=OPEN)
    for pk in opened.values_list("pk", flat=True):
        release_look(release_id=str(pk), now=clock.now())


def register_all() -> None:
    """Register the topics that pages listen to, and the event handlers."""
    register("endpoint", may_join_endpoint)
    register("release", may_join_release)
    for name in LISTS:
        register(name, anybody_who_views)
    on_event("approval.changed", on_approval_changed)
    release_notices.register_kinds()
    on_event("release.changed", release_notices.on_release_changed)
    on_event("queue.changed", release_notices.on_queue_changed)
    on_event("version.lifecycle", on_version_lifecycle)
