"""Begin a release without its approvals, in an emergency. Everything else holds as for every release: its checks, the
open windows, guardrails, the judge, and the automatic way back.
"""

from typing import Any

from django.db import transaction

from deployments import journal
from deployments.lifecycle import ReleaseStatus
from deployments.models import Release
from deployments.moves import release_move
from deployments.selectors import releases_visible_to
from deployments.services.advance import release_look
from deployments.services.approval_content import newest_gate_results, why_not_covered
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict
from registry.approvals.emergencies import emergency_use, why_no_emergency
from registry.version_lifecycle import why_not_served


def why_no_release_emergency(actor: Actor, release: Release) -> str:
    """Why this actor cannot begin the release without its approvals, empty when it can."""
    if release.status == ReleaseStatus.CHECKING:
        return "Its checks run still; they are never skipped."
    if release.approval is None or release.status != ReleaseStatus.AWAITING_APPROVAL:
        return f"The release is {release.status.replace('_', ' ')}; it waits for no approval."
    return why_no_emergency(actor, release.approval)


def gates_told(release: Release) -> list[dict[str, Any]]:
    """What the gates have said of a release, as an emergency keeps it."""
    rows = newest_gate_results(release)
    return [{"gate": row.gate, "outcome": row.outcome, "sentence": row.sentence} for row in rows]


def release_emergency(*, actor: Actor, release: Release, expects: str, reason: str, ticket: str) -> Release:
    """Begin a release that waits for approval without what it still lacks of it.

    `expects` is the content hash that was shown. A second time is a Conflict. Raises Conflict when the release does not
    wait for approval or its version was changed, and whatever `emergency_use` refuses.
    """
    with transaction.atomic():
        found = _locked(release)
        if found.approval is None or found.status != ReleaseStatus.AWAITING_APPROVAL:
            raise Conflict(f"This release is {found.status.replace('_', ' ')}; it does not wait for approval.")
        if why := why_not_served(found.version, found.digest):
            raise Conflict(f"{why} It cannot begin; request the release again.", code="changed_outside")
        used = emergency_use(
            actor=actor,
            request=found.approval,
            expects=expects,
            reason=reason,
            ticket=ticket,
            evidence=gates_told(found),
        )
        if why_not_covered(found):
            raise Conflict("What would begin is not what was checked; request the release again.", code="changed")
        skipped = "; ".join(used.skipped["rules"]) or "nothing"
        sentence = f"Emergency used by {actor.name}, ticket {used.ticket}: {used.reason} Skipped: {skipped}."
        now, data = clock.now(), {"ticket": used.ticket, "skipped": used.skipped}
        if not release_move(found, ReleaseStatus.IN_EMERGENCY, actor=actor, reason=sentence, now=now):
            raise Conflict("The release changed at the same moment; look again.")
        journal.write(found, "emergency.used", sentence, actor=actor, now=now, data=data)
        journal.announce_endpoint(found.endpoint)
    release_look(release_id=str(release.pk), now=clock.now())
    return releases_visible_to(actor).get(pk=release.pk)


def _locked(release: Release) -> Release:
    rows = Release.objects.select_for_update(of=("self",)).select_related(
        "endpoint__environment", "endpoint__model", "version__model", "approval", "policy", "serving_config"
    )
    return rows.get(pk=release.pk)
