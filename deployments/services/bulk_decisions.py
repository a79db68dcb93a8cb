"""Several releases decided with one click, where every one's policy allows it; each is an act of its own."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from deployments.models import Release
from deployments.services.releases import release_decide
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.approvals.inbox import why_not_bulk
from registry.approvals.selectors import approvals_visible_to, usable_voices
from registry.approvals.voices import Voice, delegated_voices
from registry.lifecycle import DecisionKind
from registry.models import ApprovalRequest

BULK_MAX = 25
KINDS = (DecisionKind.APPROVE, DecisionKind.REJECT)


@dataclass(frozen=True)
class BulkItem:
    """One request that would be decided: its release, and why it cannot be; empty when it can."""

    request: ApprovalRequest
    release: Release | None
    why_not: str
    on_behalf_of: str = ""

    @property
    def from_version(self) -> int | None:
        """The version that the endpoint serves now, None when it serves nothing yet."""
        stable = self.release.endpoint.stable_release if self.release else None
        return stable.version.number if stable else None


@dataclass(frozen=True)
class BulkResult:
    """What became of one request: decided, or the sentence that says why not."""

    request: ApprovalRequest
    is_decided: bool
    sentence: str


def bulk_items(actor: Actor, ids: Collection[str]) -> list[BulkItem]:
    """What would be decided of the requests with these ids, in the order of their age; those that are hidden from the
    actor are left out.
    """
    keys = [one for one in ids if _is_key(one)][:BULK_MAX]
    rows = approvals_visible_to(actor).filter(pk__in=keys).select_related("policy__environment")
    requests = list(rows.order_by("created_at", "pk"))
    known = Release.objects.select_related(
        "endpoint__environment",
        "endpoint__model",
        "endpoint__stable_release__version",
        "version__model",
        "policy",
        "serving_config",
        "approval",
    )
    releases = {row.approval_id: row for row in known.filter(approval__in=requests)}
    delegated = delegated_voices(actor, clock.now())
    return [_item(actor, request, releases.get(request.pk), delegated) for request in requests]


def releases_decide(*, actor: Actor, ids: Collection[str], decision: str, comment: str = "") -> list[BulkResult]:
    """Approve or reject several releases, each in a transaction of its own, and say what became of each.

    Raises Invalid for an unknown decision, a missing comment, none or too many, and Conflict when any of them may not
    be decided together with others: then none is.
    """
    actor.require_write()
    if decision not in KINDS:
        raise Invalid("Several are approved or rejected.", details={"decision": "unknown"})
    if decision == DecisionKind.REJECT and not comment.strip():
        raise Invalid("Say why: a rejection needs a comment.", details={"comment": "required"})
    if not 1 <= len(set(ids)) <= BULK_MAX:
        raise Invalid(f"Choose 1 to {BULK_MAX} requests.", details={"requests": "none or too many"})
    items = bulk_items(actor, ids)
    if len(items) < len(set(ids)):
        said = "Some of these requests do not exist, or cannot be seen by you. Nothing was decided."
        raise Invalid(said, details={"requests": "unknown"})
    if refused := [(item, why) for item in items if (why := why_not_bulk(item.request))]:
        named = " ".join(f"{item.request}: {why}" for item, why in refused)
        raise Conflict(f"Nothing was decided. {named}", code="not_in_bulk")
    return [_decided(actor, item, decision, comment) for item in items]


def _is_key(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _item(actor: Actor, request: ApprovalRequest, release: Release | None, delegated: list[Voice]) -> BulkItem:
    if why := why_not_bulk(request):
        return BulkItem(request, release, why)
    voices = usable_voices(actor, request, delegated)
    if release is None or not voices:
        why = actor.why_not(Action.RELEASE_DECIDE, request.scopes)
        return BulkItem(request, release, why or f"It is {request.status}, or not for you to decide on.")
    for_whom = voices[0].on_behalf_of
    return BulkItem(request, release, "", for_whom.username if for_whom else "")


def _decided(actor: Actor, item: BulkItem, decision: str, comment: str) -> BulkResult:
    """Decide on one; what is refused is said and holds nobody else up."""
    if item.release is None or item.why_not:
        return BulkResult(item.request, False, item.why_not or "Its release is gone.")
    try:
        release_decide(
            actor=actor, release=item.release, decision=decision, comment=comment, on_behalf_of=item.on_behalf_of
        )
    except (Invalid, Conflict, Forbidden) as error:
        return BulkResult(item.request, False, error.message)
    return BulkResult(item.request, True, "Approved." if decision == DecisionKind.APPROVE else "Rejected.")
