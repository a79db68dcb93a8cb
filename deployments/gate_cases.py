"""A release as its gates see it: what they are given, what a waiver of theirs is about, what they found since when."""

from collections.abc import Sequence

from deployments.models import Release
from deployments.selectors import plan_editors
from deployments.services.approval_content import SUBJECT_KIND, approval_content
from deployments.surroundings import surroundings
from mlorch_site.audit.services import Subject
from mlorch_site.lib.hashing import content_hash
from registry.approvals.authors import authorship_of, claims_of
from registry.gates.base import GateInput
from registry.lifecycle import GateOutcome
from registry.models import GateResult
from registry.waivers import WaivedCase

CHECKED = "release.checked"
SPEAKING = {GateOutcome.WARN, GateOutcome.ERROR, GateOutcome.FAIL}


def subject_of(release: Release) -> Subject:
    """How the audit record names the release whose gates run."""
    return Subject(SUBJECT_KIND, str(release.pk), str(release), tuple(release.scopes))


def case_of(release: Release) -> WaivedCase:
    """What a waiver about the release is bound to: the files that it froze, and where they are to serve."""
    return WaivedCase(
        digest=release.digest or release.version.digest,
        place=str(release.endpoint),
        scopes=tuple(release.scopes),
        requester_id=release.requester_id,
        policy=release.policy,
        maker_ids=frozenset(_makers(release)),
    )


def _makers(release: Release) -> set[int]:
    """The ids of the people who wrote the serving config that it would bring, or made its version by MLflow's word."""
    claims = release.plan["authors"] if "authors" in release.plan else claims_of(release.version)
    return plan_editors(release.endpoint, release.serving_config) | authorship_of(claims).excluded


def gate_input(release: Release) -> GateInput:
    """What the gates of a release are given, as the rows are now (reads the database)."""
    stable = release.endpoint.stable_release
    return GateInput(
        version=release.version,
        environment=release.endpoint.environment,
        policy=release.policy,
        guardrails=release.guardrails,
        slo={row["metric"]: row["slo_ms"] for row in release.guardrails if "slo_ms" in row},
        subject_kind=SUBJECT_KIND,
        subject_id=str(release.pk),
        content_hash=content_hash(approval_content(release)),
        from_version=stable.version if stable else None,
        from_digest=stable.digest if stable else "",
        around=surroundings(release),
        plan=release.plan,
    )


def worsened(release: Release, results: Sequence[GateResult]) -> list[str]:
    """The gates that object or warn by another finding than when those who decide were asked."""
    seen = release.events.filter(kind=CHECKED).order_by("-id").first()
    known = seen.data.get("findings") if seen else None
    if known is None:
        return []  # asked before findings were kept; its answers have no fingerprint of what they looked at either
    return [row.gate for row in results if row.outcome in SPEAKING and known.get(row.gate) != row.finding]
