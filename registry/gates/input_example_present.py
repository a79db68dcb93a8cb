"""The version carries an input example: without one it cannot be warmed up by a real inference."""

from registry.gates.base import Found, GateInput, passed, warned

LABEL = "Input example"
HELP = "The version carries an input example, by which it is warmed up before traffic arrives."
LOOKS_AT = ("evidence",)


def check(given: GateInput) -> Found:
    if given.version.evidence.get("input_example") is None:
        return warned(
            "The version has no input example, so it starts without a real inference; log it with input_example=…."
        )
    return passed("The version has an input example; it is answered before traffic arrives.")
