"""The releases of before, as the dry run of a policy asks for them: by what was frozen with each (reads the
database).
"""

from itertools import pairwise

from deployments.models import Release
from deployments.rollout.steps import Step, StepKind, steps_from_plan
from deployments.rollout.strategies import first_weight_pct
from registry.approvals.selectors import approving_decisions
from registry.lifecycle import ApprovalStatus
from registry.models import Environment, GateResult
from registry.past_requests import PastRequest, register_past

WATCHED = (StepKind.TARGET, StepKind.WEIGHT, StepKind.MIRROR)


def past_releases(environment: Environment, most: int) -> list[PastRequest]:
    """The newest releases of an environment that people requested."""
    rows = Release.objects.filter(kind="release", endpoint__environment=environment).order_by("-created_at")
    rows = rows.select_related("endpoint__environment", "endpoint__model", "version__model", "policy", "approval")
    releases = list(rows.prefetch_related("approval__decisions__person")[:most])
    outcomes = _outcomes([str(release.pk) for release in releases])
    return [_told(release, outcomes.get(str(release.pk), {})) for release in releases]


def _outcomes(keys: list[str]) -> dict[str, dict[str, str]]:
    """Release → gate → its newest outcome."""
    rows = GateResult.objects.filter(subject_kind="release", subject_id__in=keys).exclude(outcome="")
    found: dict[str, dict[str, str]] = {}
    for key, gate, outcome in rows.order_by("at", "pk").values_list("subject_id", "gate", "outcome"):
        found.setdefault(key, {})[gate] = outcome
    return found


def _told(release: Release, outcomes: dict[str, str]) -> PastRequest:
    steps, request = steps_from_plan(release.plan), release.approval
    approving = approving_decisions(request) if request else []
    return PastRequest(
        title=str(release),
        url=f"/releases/{release.pk}/",
        at=release.created_at,
        model_id=release.endpoint.model_id,
        policy=release.policy,
        strategy=str(release.strategy.get("kind", "")),
        is_first=release.plan.get("replaces") is None,
        outcomes=outcomes,
        first_weight_pct=first_weight_pct(list(steps)),
        bakes=_bakes(steps),
        has_hold=any(step.kind is StepKind.HOLD for step in steps),
        guardrails=list(release.guardrails),
        approvals={decision.person.username: decision.roles for decision in approving},
        was_approved=request is not None and request.status == ApprovalStatus.APPROVED,
        began_at=release.started_at,
    )


def _bakes(steps: tuple[Step, ...]) -> tuple[tuple[int, int], ...]:
    """Seconds and requests of each watched step."""
    pairs = [(step, after) for step, after in pairwise(steps) if step.kind in WATCHED and after.kind is StepKind.BAKE]
    return tuple((bake.duration_s, bake.min_requests) for _, bake in pairs)


def register_all() -> None:
    """Called once, when the app is ready."""
    register_past(past_releases)
