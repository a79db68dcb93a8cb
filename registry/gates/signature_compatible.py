"""Clients of the endpoint, who were written for the version that serves, are not broken by this one."""

from registry.gates.base import Found, GateInput, erred, failed, passed, skipped, warned
from registry.lifecycle import GateOutcome
from registry.signature_changes import SignatureChange, signature_changes

LABEL = "Signature fits clients"
HELP = "What clients send today is still taken, and what they read is still given: compared with the serving version."
LOOKS_AT = ("signature", "serving version")
SAID_MAX = 5
NAMED_MAX = 100


def check(given: GateInput) -> Found:
    if given.from_version is None:
        return skipped("The endpoint serves nothing yet, so there is no client to break.")
    before, after = given.from_version.signature or {}, given.version.signature or {}
    number = given.from_version.number
    if given.from_digest and given.from_digest != given.from_version.digest:
        return erred(
            f"MLflow has other files under version {number} than those that serve, so nothing can be compared."
        )
    if not before.get("inputs"):
        return skipped(f"Version {number}, which serves, has no input signature to compare with.")
    changes = signature_changes(before, after)
    evidence = {"changes": [change.sentence for change in changes][:NAMED_MAX], "serving_version": number}
    for outcome, judged in ((GateOutcome.FAIL, failed), (GateOutcome.WARN, warned)):
        if found := [change for change in changes if change.outcome is outcome]:
            word = "Clients would break" if outcome is GateOutcome.FAIL else "Clients may notice"
            return judged(f"{word}, who are written for version {number}: {said(found)}.", **evidence)
    if not changes:
        return passed(f"The signature is that of version {number}, which serves.", **evidence)
    return passed(f"Clients written for version {number} are served as before: {said(changes)}.", **evidence)


def said(changes: list[SignatureChange]) -> str:
    """The first of the changes, in words."""
    more = f"; and {len(changes) - SAID_MAX} more" if len(changes) > SAID_MAX else ""
    return "; ".join(change.sentence for change in changes[:SAID_MAX]) + more
