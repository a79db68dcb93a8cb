"""What clients report of requests later (`outcome:<name>`), against the stable version's."""

from dataclasses import replace

from deployments.lifecycle import Arm
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from mlorch_site.lib.errors import Invalid
from monitoring import limits
from monitoring.analysis.guardrail_result import GuardrailResult
from monitoring.analysis.outcome_evidence import is_reported_unlike
from monitoring.analysis.outcome_verdict import OutcomeCase, OutcomeTerms, outcome_verdict
from monitoring.analysis.verdicts import Verdict
from monitoring.models import OutcomeDefinition
from monitoring.outcome_figures import compared_outcomes
from monitoring.services.outcomes import NAME_PATTERN

PREFIX = "outcome:"


class OutcomeGuardrail(LookedAtKind):
    """`margin` is how much worse than the stable version's it may be: a share of a yes or no, of a number in its
    unit.
    """

    metric = PREFIX

    def matches(self, metric: str) -> bool:
        """Whether a row with this metric is about an outcome."""
        return metric.startswith(PREFIX)

    def read(self, row: type_Row, where: str) -> type_Row:
        """The guardrail. Raises Invalid."""
        only_keys(row, {"metric", "margin"}, where)
        if not NAME_PATTERN.fullmatch(_name(row)):
            said = "outcome: and the name of an outcome that the endpoint has"
            raise Invalid(f"{where}.metric must be {said}.", details={f"{where}.metric": said})
        margin = number(row, "margin", where, above=0, below=limits.OUTCOME_BOUND_MAX)
        return {"metric": row["metric"], "margin": margin}

    def sentence(self, guardrail: type_Row) -> str:
        """The guardrail as people read it."""
        return f"outcome {_name(guardrail)} at most {guardrail['margin']:g} worse than the stable version's"

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return f"Outcome {_name(guardrail)}"

    def why_not_here(self, guardrail: type_Row, environment: str, endpoint: str) -> str:
        """Why it cannot be judged at an endpoint, empty when it can."""
        name = _name(guardrail)
        definition = _definition(environment, endpoint, name)
        if definition is None or definition.ended_at is not None:
            return f"{environment}/{endpoint} has no outcome {name}; define it first."
        if guardrail["margin"] >= _terms(definition).width:
            return f"The margin of {name} is less than {_terms(definition).width:g}: no difference is larger."
        return ""

    def measure(self, guardrail: type_Row, environment: str, endpoint: str) -> type_Row:
        """The definition that is reported now."""
        definition = _definition(environment, endpoint, _name(guardrail))
        if definition is None:
            return {}
        return {"definition": str(definition.pk), "sentence": f"{_name(guardrail)} is {definition.sentence}"}

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        """What the outcomes of requests since the first weight say now. Three queries."""
        endpoint, metric, margin = look.release.endpoint, guardrail["metric"], float(guardrail["margin"])
        definition = _frozen(look.release.plan, metric)
        if definition is None:
            definition = _definition(endpoint.environment.name, endpoint.name, _name(guardrail))
        if definition is None or look.candidate_arm == Arm.SHADOW:
            what = "there is no such outcome" if definition is None else "nobody gets the answers of a copy"
            sentence = f"{self.label(guardrail)}: {what}, so nothing is reported. No data is no pass."
            return GuardrailResult(metric, self.label(guardrail), margin, verdict=Verdict.NO_DATA, sentence=sentence)
        arms = look.candidate_arm, look.baseline_arm
        release = str(look.release.pk)
        compared = compared_outcomes(definition, release=release, arms=arms, since=look.since, now=look.now)
        is_unlike = is_reported_unlike(compared.strata)
        case = OutcomeCase(compared.candidate, compared.baseline, compared.coverage, is_unlike)
        result = outcome_verdict(metric, _terms(definition), margin, case, look.alpha)
        if definition.ended_at is None or result.verdict is Verdict.HARMFUL:
            return result
        ended = f"{self.label(guardrail)} was ended while the release waited for it, so nothing more is reported."
        return replace(result, verdict=Verdict.NO_DATA, sentence=f"{ended} No data is no pass.")


def _name(row: type_Row) -> str:
    return str(row["metric"]).removeprefix(PREFIX)


def _definition(environment: str, endpoint: str, name: str) -> OutcomeDefinition | None:
    """The one that is reported, else the last that was."""
    rows = OutcomeDefinition.objects.filter(environment__name=environment, endpoint=endpoint, name=name)
    return rows.select_related("environment").order_by("-created_at").first()


def _frozen(plan: type_Row, metric: str) -> OutcomeDefinition | None:
    """The definition that the plan was frozen with; None in plans that froze none."""
    kept = plan.get("measures", {}).get(metric)
    rows = OutcomeDefinition.objects.select_related("environment")
    return rows.filter(pk=kept["definition"]).first() if kept else None


def _terms(definition: OutcomeDefinition) -> OutcomeTerms:
    return OutcomeTerms(definition.name, definition.is_binary, definition.scale, definition.unit)
