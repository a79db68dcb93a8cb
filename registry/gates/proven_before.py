"""The same files served in another environment before: long enough, for enough requests, and well."""

from collections.abc import Mapping
from typing import Any

from registry.gates.base import Found, GateInput, Proof, erred, failed, passed
from registry.gates.parameters import GateParameter

LABEL = "Proven before"
HELP = "The same files served in the environment that the policy names: so long, for so many requests, and healthy."
LOOKS_AT = ("digest", "taken back")
PARAMETERS = {
    "environment": GateParameter("text", "staging", "Where the files have to have served."),
    "minutes": GateParameter("number", 10, "How long they have to have served there.", "min", least=0, most=100_000),
    "requests": GateParameter("whole", 100, "How many requests they have to have had there.", "requests", 0, 10**9),
}


def looked_at(given: GateInput) -> Mapping[str, Any]:
    """Where the files served, and what speaks against that: that they serve there for longer changes no answer."""
    return {"proofs": [[one.environment, one.endpoint, one.why_not] for one in given.around.proofs or ()]}


def check(given: GateInput) -> Found:
    wanted = given.parameters
    if given.around.proofs is None:
        return erred("Nobody has told where the files were before.")
    if not given.version.digest:
        return failed("The artifacts are not known, so nobody can tell where they were before.")
    there = [proof for proof in given.around.proofs if proof.environment == wanted["environment"]]
    if not there:
        return failed(f"The same files never served in {wanted['environment']}.")
    against = [proof for proof in there if proof.why_not]
    if against:
        return failed(
            f"The same files served at {against[0].endpoint}, and not well: {against[0].why_not}", proofs=_rows(there)
        )
    best = max(there, key=lambda proof: _share(proof, wanted))
    said = f"{best.minutes:,.0f} min and {best.requests:,} requests at {best.endpoint}"
    if _share(best, wanted) < 1:
        asked = f"{wanted['minutes']:g} min and {wanted['requests']:,} requests"
        return failed(f"The same files served for {said}; the policy asks for {asked}.", proofs=_rows(there))
    return passed(f"The same files served well for {said}.", proofs=_rows(there))


def _share(proof: Proof, wanted: Mapping[str, Any]) -> float:
    """How much of what is asked for there is: 1 and more is enough."""
    minutes = proof.minutes / wanted["minutes"] if wanted["minutes"] else 1.0
    requests = proof.requests / wanted["requests"] if wanted["requests"] else 1.0
    return min(minutes, requests)


def _rows(proofs: list[Proof]) -> list[list[Any]]:
    return [[one.endpoint, round(one.minutes, 1), one.requests, one.why_not] for one in proofs]
