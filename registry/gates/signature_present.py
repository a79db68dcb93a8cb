"""The version says what it takes and gives, so that wrong input is refused with a clear error."""

from registry.gates.base import Found, GateInput, failed, passed

LABEL = "Signature"
HELP = "The version says what it takes and gives, so that wrong input is refused with a clear error."
LOOKS_AT = ("signature",)


def check(given: GateInput) -> Found:
    signature = given.version.signature or {}
    if not signature.get("inputs"):
        return failed("The version has no input signature; log the model with signature=infer_signature(…).")
    before = (given.from_version.signature or {}).get("inputs") if given.from_version else None
    if before and before != signature["inputs"]:
        old, new = _names(before), _names(signature["inputs"])
        return failed(
            "The input signature differs from the serving version's: clients of the endpoint would break.",
            removed=sorted(old - new),
            added=sorted(new - old),
        )
    return passed(f"{len(signature['inputs'])} inputs are described.", inputs=len(signature["inputs"]))


def _names(inputs: list[dict[str, str]]) -> set[str]:
    return {str(column.get("name", "")) for column in inputs}
