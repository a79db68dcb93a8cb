"""What any guardrail may say besides its limit: by which method it is judged, and how much depends on it."""

from deployments import limits
from deployments.rollout.guardrails.guardrail_kind import type_Row
from deployments.rollout.strategies.fields import true_or_false, whole_number
from mlorch_site.lib.errors import Invalid
from monitoring.analysis.guardrail_result import Method

OPTIONS = {"method", "critical", "min_effective"}


def read_options(row: type_Row, where: str) -> type_Row:
    """The options of a row that are not as they are by default: an option that is not said is not written.

    `critical`: harm of it takes the release back, else a person decides. `min_effective`: healthy needs the candidate's
    requests to be worth that many independent ones. Raises Invalid.
    """
    options: type_Row = {}
    method = row.get("method", Method.SEQUENTIAL)
    if method not in list(Method):
        known = ", ".join(Method)
        raise Invalid(f"{where}.method must be one of {known}.", details={f"{where}.method": f"one of {known}"})
    if method != Method.SEQUENTIAL:
        options["method"] = str(method)
    if not true_or_false(row, "critical", where, default=True):
        options["critical"] = False
    if at_least := whole_number(row, "min_effective", where, low=0, high=limits.MIN_REQUESTS_MAX, default=0):
        options["min_effective"] = at_least
    return options


def said_options(guardrail: type_Row) -> str:
    """The options as people read them, empty where all are as usual."""
    said = []
    if at_least := guardrail.get("min_effective"):
        said.append(f"healthy from {at_least:,} independent requests on")
    if not guardrail.get("critical", True):
        said.append("a person decides when it is harmful")
    return "".join(f"; {part}" for part in said)
