"""The kinds of guardrails that there are."""

from collections.abc import Callable, Iterable

from deployments.rollout.guardrails.error_rate import ErrorRate
from deployments.rollout.guardrails.guardrail_kind import CountedKind, GuardrailKind, LookedAtKind, type_Row
from deployments.rollout.guardrails.kayenta_method import KayentaMethod
from deployments.rollout.guardrails.latency_over_slo import LatencyOverSlo
from deployments.rollout.guardrails.latency_quantile import LatencyQuantile
from deployments.rollout.guardrails.outcome import OutcomeGuardrail
from deployments.rollout.guardrails.prediction_shift_kind import PredictionShift
from deployments.rollout.guardrails.prometheus_metric import PrometheusGuardrail
from deployments.rollout.guardrails.saturation import Saturation
from deployments.rollout.guardrails.threshold_method import ThresholdMethod
from monitoring.analysis.guardrail_result import Method
from monitoring.analysis.judge import Guardrail

KINDS: tuple[GuardrailKind, ...] = (
    ErrorRate(),
    LatencyOverSlo(),
    *(LatencyQuantile(percent) for percent in (50, 95, 99)),
    Saturation(),
    OutcomeGuardrail(),
    PrometheusGuardrail(),
    PredictionShift(),
)
METHODS: dict[Method, Callable[[GuardrailKind], LookedAtKind]] = {
    Method.THRESHOLD: ThresholdMethod,
    Method.KAYENTA: KayentaMethod,
}


def kind_of(metric: object) -> GuardrailKind | None:
    """The kind of a row with this metric; None when there is none."""
    return next((kind for kind in KINDS if isinstance(metric, str) and kind.matches(metric)), None)


def kind_of_row(guardrail: type_Row) -> GuardrailKind:
    """The kind of a guardrail that was read. Raises ValueError for one that is unknown: it is not left unjudged."""
    kind = kind_of(guardrail.get("metric"))
    if kind is None:
        raise ValueError(f"no kind of guardrail is called {guardrail.get('metric')!r}")
    return kind


def is_sequential(guardrail: type_Row) -> bool:
    """Whether it is judged by mlorch's own method, which bounds false rollbacks and so takes a part of α."""
    return bool(guardrail.get("method", Method.SEQUENTIAL) == Method.SEQUENTIAL)


def judge_of(guardrail: type_Row) -> GuardrailKind:
    """What judges a guardrail: its kind, or the method that it names."""
    kind = kind_of_row(guardrail)
    return kind if is_sequential(guardrail) else METHODS[Method(guardrail["method"])](kind)


def counted(guardrails: Iterable[type_Row]) -> list[Guardrail]:
    """Those that are judged by the folded tallies, as the judge takes them."""
    found = ((judge_of(row), row) for row in guardrails)
    return [kind.counted(row) for kind, row in found if isinstance(kind, CountedKind)]


def looked_at(guardrails: Iterable[type_Row]) -> list[tuple[int, LookedAtKind, type_Row]]:
    """Those that are read at each look, each with its place among all and what judges it."""
    found = ((place, judge_of(row), row) for place, row in enumerate(guardrails))
    return [(place, kind, row) for place, kind, row in found if isinstance(kind, LookedAtKind)]
