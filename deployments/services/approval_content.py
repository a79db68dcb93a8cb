"""What an approval of a release covers."""

import json
from dataclasses import fields as fields_of
from decimal import Decimal
from typing import Any

from deployments.models import Release
from deployments.services.endpoints import ServingWish
from mlorch_site.lib.hashing import canonical_json, settled
from registry.approvals.content_changes import content_changes
from registry.approvals.services import why_changed
from registry.lifecycle import GateState
from registry.models import ApprovalRequest, GateResult

SUBJECT_KIND = "release"  # of approvals and gate results


def approval_content(release: Release) -> dict[str, Any]:
    """The content of a release that is hashed with it, as the rows are now.

    Reads the version's digest, not the one noted at the request. The model has the name that it had then: a rename in
    MLflow changes nothing of what was approved.
    """
    return {
        "model": release.plan.get("model", release.version.model.name),
        "version": release.version.number,
        "digest": release.version.digest,
        "endpoint": str(release.endpoint),
        "plan": release.plan,
        "policy": release.policy.revision,
        "serving_config": release.serving_config.revision,
    }


def covered_content(release: Release, request: ApprovalRequest | None = None) -> dict[str, Any]:
    """All that an approval is bound to, as the rows are now: besides that content the settings of the serving config
    and what the gates found.

    A `request` without a kept content was made before there was one, and covers the content alone. What gates found is
    as the request has it: `checks.gates_hold` asks those who decide anew when a gate finds something worse.
    """
    content = approval_content(release)
    if request is None:
        content |= {"serving": _serving(release, None), "gates": gates_found(release)}
    elif request.content:
        content["serving"] = _serving(release, request.content.get("serving"))
        content |= {"gates": request.content["gates"]} if "gates" in request.content else {}
    plain: dict[str, Any] = json.loads(canonical_json(settled(content)))
    return plain


def content_now(release: Release) -> dict[str, Any]:
    """What the approval of a release would cover as all rows are in the database; those at hand may be older."""
    return covered_content(_fresh(release), release.approval)


def why_not_covered(release: Release) -> str:
    """What of a release is not as its approval was asked for, in one sentence; empty when all is, and without one."""
    return why_changed(release.approval, content_now(release)) if release.approval is not None else ""


def covered_changes(release: Release) -> list[str]:
    """The same field by field; empty also where it is not known what was covered."""
    request = release.approval
    return content_changes(request.content, content_now(release)) if request is not None and request.content else []


def newest_gate_results(release: Release) -> list[GateResult]:
    """What each gate found about a release that has ended, in the order in which they were asked."""
    rows = GateResult.objects.filter(subject_kind=SUBJECT_KIND, subject_id=str(release.pk), is_current=True)
    return list(rows.filter(state=GateState.ENDED).order_by("at", "pk"))


def gates_found(release: Release) -> dict[str, dict[str, str]]:
    """Gate → its outcome, its sentence, and the fingerprint of what it found."""
    return {
        row.gate: {"outcome": row.outcome, "sentence": row.sentence, "fingerprint": row.finding}
        for row in newest_gate_results(release)
    }


def _serving(release: Release, frozen: dict[str, Any] | None) -> dict[str, Any]:
    """The settings of the serving config; a setting that there was not yet when others were `frozen` is left out."""
    names = [field.name for field in fields_of(ServingWish) if frozen is None or field.name in frozen]
    return {name: _plain(getattr(release.serving_config, name)) for name in names}


def _plain(value: Any) -> Any:
    """The value as JSON has it; a decimal however many noughts its column adds."""
    return (
        f"{value.normalize():f}" if isinstance(value, Decimal) else list(value) if isinstance(value, tuple) else value
    )


def _fresh(release: Release) -> Release:
    rows = Release.objects.select_related("endpoint__environment", "version__model", "policy", "serving_config")
    return rows.get(pk=release.pk)
