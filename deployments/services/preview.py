"""What a release would do and need, before it is requested. Reads only."""

from deployments import selectors
from deployments.plan_forecast import PlanForecast, plan_forecast, traffic_of
from deployments.plan_offers import Offer, Terms, is_enough, offers, why_too_fine
from deployments.rollout.guardrails import sentence_of
from deployments.rollout.steps import Step, StepKind, watch_s_of
from deployments.services.commands import Preview, PreviewStep
from deployments.services.endpoints import serving_config_of
from deployments.services.request_check import ReleaseTarget, RequestCheck
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from monitoring.analysis.planning import duration
from registry.approvals.authors import asked_rules, authorship_of, claims_of
from registry.approvals.electorate import ApprovalOutlook, approval_outlook
from registry.models import Version
from registry.selectors import why_closed
from registry.version_lifecycle import note_deprecated

DETAILS = {
    StepKind.START: "Replicas of the new version start and answer its input example.",
    StepKind.TARGET: (
        "Only these go to the new version. Harm takes it back; what is seen of a chosen population lets nothing go up."
    ),
    StepKind.WEIGHT: "Every gateway has to acknowledge it before the clock starts.",
    StepKind.MIRROR: (
        "Clients notice nothing: the new version answers copies, and its answers are compared with theirs."
    ),
    StepKind.JUDGE: (
        "Every guardrail must be inside its margin; otherwise the rollout waits, and goes back at the deadline."
    ),
    StepKind.HOLD: "Somebody who may promote has to do it.",
    StepKind.PROMOTE: "All traffic; the new version becomes the stable one.",
}
NOTHING_WOULD_DO = "No plan of this kind within the policy's limits would see enough: widen a margin."


def preview_of(actor: Actor, check: RequestCheck) -> Preview:
    """The preview of a checked command, as `actor` would request it; with problems it is as full as they allow."""
    problems, endpoint = dict(check.problems), check.target.endpoint if check.target else None
    if check.forbidden:
        problems["permission"] = check.forbidden
    busy = selectors.open_release(endpoint) if endpoint is not None else None
    can_supersede = busy is not None and str(busy.pk) == check.command.supersedes and busy.status not in selectors.LIVE
    if busy is not None and not can_supersede:
        status = busy.status.replace("_", " ")
        problems["endpoint"] = f"{endpoint} is busy: the release of version {busy.version.number} is {status}."
    approvals = _approvals(actor, check.target, check.request.version if check.request else None)
    terms = _terms(check)
    planned = plan_forecast(check.steps, terms.guardrails, terms.traffic, terms.deadline_s) if terms else None
    offered = offers(check.command.strategy, planned, terms) if planned and terms else []
    return Preview(
        steps=[*_steps(check.steps), *_watched_on(check)],
        shortest_s=sum(step.duration_s for step in check.steps),
        approvers=[rule.label for rule in approvals.rules],
        rules=approvals.rules,
        gates=list(check.target.policy.gates) if check.target else [],
        guardrails=[{**row, "sentence": sentence_of(row)} for row in check.guardrails],
        forecast=[*(step.sentence for step in planned.found.steps), planned.found.sentence] if planned else [],
        offers=offered,
        warnings=[*_warnings(check, planned, offered), *approvals.warnings],
        problems=problems,
        rollback_target=_rollback_target(check.target),
        plan_hash=check.request.plan_hash if check.request else "",
    )


def _steps(steps: list[Step]) -> list[PreviewStep]:
    rows, elapsed_s = [], 0
    for step in steps:
        weight = step.weight_pct if step.kind is StepKind.WEIGHT else None
        rows.append(PreviewStep(step.kind.value, step.title, _detail(step), weight, elapsed_s))
        elapsed_s += step.duration_s
    return rows


def _watched_on(check: RequestCheck) -> list[PreviewStep]:
    """The row of the time after the promotion, where something is watched then."""
    seconds = watch_s_of(check.request.plan) if check.request else 0
    if not seconds or not check.guardrails or check.target is None or check.target.is_first:
        return []
    detail = "The old version stays warm. Lasting harm brings it back without anybody."
    starts_s = sum(step.duration_s for step in check.steps)
    return [PreviewStep("watch", f"Watch for {duration(seconds)} more", detail, None, starts_s)]


def _detail(step: Step) -> str:
    if step.kind is StepKind.BAKE:
        wanted = f", and until {step.min_requests:,} requests have come" if step.min_requests else ""
        return f"At least {duration(step.duration_s)}{wanted}. Harm takes the release back at once."
    return DETAILS[step.kind]


def _warnings(check: RequestCheck, planned: PlanForecast | None, offered: list[Offer]) -> list[str]:
    closed = why_closed(check.target.environment, clock.now(), check.target.model) if check.target else ""
    deprecated = note_deprecated(check.request.version) if check.request else ""
    return [sentence for sentence in (deprecated, *_too_little(planned, offered), closed) if sentence]


def _too_little(planned: PlanForecast | None, offered: list[Offer]) -> list[str]:
    """What the plan sees too little of, and that nothing would do where that is so."""
    if planned is None or is_enough(planned):
        return []
    found = planned.found
    hopeless = "" if offered or not planned.rate_per_s else NOTHING_WOULD_DO
    return [why_too_fine(planned), "" if found.can_conclude else found.sentence, hopeless]


def _approvals(actor: Actor, target: ReleaseTarget | None, version: Version | None) -> ApprovalOutlook:
    """Who must approve what the actor would request, rule by rule; of a `version` without those who made it."""
    if target is None:
        return ApprovalOutlook([])
    scopes = [target.environment.scope, target.model.scope]
    excluded = {actor.user.pk} if actor.user else set()
    if target.endpoint is not None:
        excluded |= selectors.plan_editors(target.endpoint, serving_config_of(target.endpoint))
    if version is None:
        return approval_outlook(target.policy.approval_rules, scopes, excluded)
    authorship = authorship_of(claims_of(version))
    return approval_outlook(asked_rules(target.policy, authorship), scopes, excluded | authorship.excluded)


def _rollback_target(target: ReleaseTarget | None) -> str:
    if target is None or target.endpoint is None or target.endpoint.stable_release is None:
        return "This is the endpoint's first release: there is nothing to roll back to."
    stable = selectors.original_of(target.endpoint.stable_release)
    return f"A rollback returns to version {stable.version.number}."


def _terms(check: RequestCheck) -> Terms | None:
    """What a plan is held to with the endpoint's traffic of now, None when nothing is compared."""
    target = check.target
    if target is None or target.is_first or target.endpoint is None or not check.guardrails or not check.steps:
        return None
    traffic = traffic_of((target.environment.name, target.endpoint.name))
    return Terms(check.guardrails, traffic, target.policy, float(target.policy.judge_deadline_s))
