"""The version says what it takes and gives, so that wrong input is refused with a clear error."""

from registry.gates.base import Found, GateInput, failed, passed
from registry.gates.signature_compatible import said
from registry.lifecycle import GateOutcome
from registry.signature_changes import signature_changes

LABEL = "Signature"
HELP = "The version says what it takes and gives, and takes what the clients of the endpoint send."
LOOKS_AT = ("signature", "serving version")


def check(given: GateInput) -> Found:
    signature = given.version.signature or {}
    if not signature.get("inputs"):
        return failed("The version has no input signature; log the model with signature=infer_signature(…).")
    before = (given.from_version.signature or {}).get("inputs") if given.from_version else None
    changes = signature_changes({"inputs": before}, {"inputs": signature["inputs"]})
    if breaking := [change for change in changes if change.outcome is GateOutcome.FAIL]:
        return failed(
            f"The input signature differs from the serving version's, so clients of the endpoint would break: "
            f"{said(breaking)}.",
            removed=[change.name for change in changes if change.kind == "input removed"],
            added=[change.name for change in changes if change.kind.endswith("input added")],
        )
    return passed(f"{len(signature['inputs'])} inputs are described.", inputs=len(signature["inputs"]))
