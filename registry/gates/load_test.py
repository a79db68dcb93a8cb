"""The version answers quickly enough at a rate: put on a worker without any route, never on one that serves."""

import json

from dataplane.wire import shapes
from dataplane.wire.scratch import BODY_SENT_MAX_CHARS, LoadFigures
from registry.gates.base import Found, GateInput, erred, failed, passed
from registry.gates.parameters import GateParameter
from registry.gates.scratch_tasks import LEASE_S, MEMORY_MB, deadline_of, ended, task_for, why_not_served

LABEL = "Load test"
HELP = (
    "One worker without any route answers the input example at a rate. The slowest 5 % of the answers, counted from "
    "the moment at which they were due, and the share of errors are bounded. A machine that cannot offer the rate is "
    "an error."
)
PARAMETERS = {
    "rate": GateParameter("whole", 20, "Requests a second.", "1/s", 1, 2_000),
    "seconds": GateParameter("whole", 20, "How long.", "s", 1, 300),
    "p95_ms": GateParameter("number", 500, "95 % of the answers take no longer.", "ms", 1, 60_000),
    "errors_pct": GateParameter("number", 0, "Share of requests that may fail.", "%", 0, 100),
    "memory_mb": MEMORY_MB,
    "deadline_s": deadline_of(900),
}
LOOKS_AT = ("digest", "evidence")
DEADLINE_S = 900
PATIENCE_MS_MIN, PATIENCES = 2_000, 4  # how long the last answers are waited for: so many times the bound
REQUESTS_MAX = 100_000
LATE_SHARE_MAX = 0.05  # of the requests, that this machine may send too late

__all__ = ["DEADLINE_S", "HELP", "LABEL", "LEASE_S", "LOOKS_AT", "PARAMETERS", "check"]


def check(given: GateInput) -> Found:
    if why := why_not_served(given):
        return failed(why)
    example = given.version.evidence.get("input_example")
    if example is None:
        return failed("The version has no input example that can be read, so there is nothing to ask.")
    body = json.dumps(example)
    rate, seconds = given.parameters["rate"], given.parameters["seconds"]
    if len(body) > BODY_SENT_MAX_CHARS or rate * seconds > REQUESTS_MAX:
        return erred(f"This load is too large: at most {REQUESTS_MAX} requests of {BODY_SENT_MAX_CHARS >> 10} KiB.")
    patience_ms = max(PATIENCE_MS_MIN, int(PATIENCES * given.parameters["p95_ms"]))
    line = ended(given, task_for(given, "load", body=body, rate=rate, seconds=seconds, patience_ms=patience_ms))
    if isinstance(line, Found):
        return line
    return judged(given, line.load) if line.load else erred("The run did not tell its figures.")


def judged(given: GateInput, load: LoadFigures) -> Found:
    """What the figures come to under the gate's parameters. What was not answered counts as an error."""
    bound, errors_pct = given.parameters["p95_ms"], given.parameters["errors_pct"]
    bad = load.errors + load.unanswered
    share = 100 * bad / max(1, load.planned)
    figures = {name: value for name, value in shapes.plain(load).items() if value != ""}
    figures |= {"rate": given.parameters["rate"], "seconds": given.parameters["seconds"]}
    said = f"n {load.planned}, p50 {load.p50_ms:g} ms, P95 {load.p95_ms:g} ms, errors {share:.3g} %"
    if load.planned == 0 or load.late > LATE_SHARE_MAX * load.planned:
        return erred(
            f"This machine could not offer {given.parameters['rate']} requests a second: {load.late} of {load.planned} "
            f"were sent too late ({said}).",
            **figures,
        )
    if share > errors_pct or not load.answered:
        first = f" The first: {load.first_error}" if load.first_error else ""
        return failed(f"{share:.3g} % of the requests failed, allowed are {errors_pct:g} % ({said}).{first}", **figures)
    if load.p95_ms > bound:
        return failed(f"The P95 is {load.p95_ms:g} ms, allowed are {bound:g} ms ({said}).", **figures)
    return passed(f"At {given.parameters['rate']} requests a second: {said}.", **figures)
