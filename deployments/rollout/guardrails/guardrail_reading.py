"""Guardrails as requesters write them: strict reading and one sentence for each."""

from typing import Any

from deployments import limits
from deployments.models import Release
from deployments.rollout.guardrails.guardrail_kinds import KINDS, judge_of, kind_of, kind_of_row
from deployments.rollout.guardrails.guardrail_options import OPTIONS, read_options, said_options
from deployments.rollout.guardrails.saturation import SATURATION
from mlorch_site.lib.errors import Invalid
from monitoring.analysis.guardrail_result import Method


def read_guardrails(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The guardrails with numbers as floats. Raises Invalid, naming the field, for anything else than what is known."""
    if not isinstance(rows, list) or len(rows) > limits.GUARDRAILS_MAX:
        raise Invalid(f"guardrails is a list of up to {limits.GUARDRAILS_MAX}.", details={"guardrails": "a list"})
    result: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        guardrail = _read(row, f"guardrails[{index}]")
        if any(_same(guardrail, other) for other in result):
            raise Invalid("Two guardrails watch the same.", details={f"guardrails[{index}]": "listed twice"})
        result.append(guardrail)
    return result


def sentence_of(guardrail: dict[str, Any]) -> str:
    """The guardrail as people read it."""
    return f"{judge_of(guardrail).sentence(guardrail)}{said_options(guardrail)}"


def guardrail_sentences(release: Release) -> list[str]:
    """The guardrails of a release as people read them, each with what its metric was when the plan was frozen."""
    measures = release.plan.get("measures", {})
    said = ((sentence_of(row), measures.get(row["metric"], {}).get("sentence", "")) for row in release.guardrails)
    return [f"{sentence} ({measure})" if measure else sentence for sentence, measure in said]


def _read(row: dict[str, Any], where: str) -> dict[str, Any]:
    kind = kind_of(row.get("metric")) if isinstance(row, dict) else None
    if kind is None:
        known = ", ".join(kind.metric for kind in KINDS)
        raise Invalid(f"{where}.metric must be one of {known}.", details={f"{where}.metric": f"one of {known}"})
    options = read_options(row, where)
    method = options.get("method")
    is_alone = kind.metric == SATURATION and method == Method.KAYENTA
    if method is not None and (is_alone or not kind.is_measured):
        said = f"not {method}, which cannot judge this"
        raise Invalid(f"{where}.method must be {said}.", details={f"{where}.method": said})
    judge = judge_of({"metric": row["metric"], **options})
    return judge.read({key: value for key, value in row.items() if key not in OPTIONS}, where) | options


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    kind = kind_of_row(one)
    is_same_method = one.get("method") == other.get("method")
    return is_same_method and kind is kind_of_row(other) and kind.same(one, other)
