"""The plan can conclude something with the traffic that the endpoint has."""

from registry.gates.base import Found, GateInput, erred, failed, passed, skipped, warned
from registry.gates.parameters import GateParameter

LABEL = "Plan can conclude"
HELP = "With the traffic of now the plan's steps see enough requests to tell harm; names the step that is too fine."
LOOKS_AT = ("plan",)  # not the traffic, which is another every second
PARAMETERS = {"refuse": GateParameter("switch", False, "A plan that cannot conclude is refused, not only warned of.")}


def check(given: GateInput) -> Found:
    outlook = given.around.outlook
    if outlook is None:
        return erred("Nobody has told what the plan would see.")
    if outlook.reason:
        return skipped(outlook.reason)
    evidence = {"forecast": list(outlook.steps), "too_fine": outlook.too_fine, "offer": outlook.offer}
    fine = f" {outlook.too_fine}" if outlook.too_fine else ""
    offer = f" {outlook.offer}" if outlook.offer else ""
    if not outlook.can_conclude:
        return (failed if given.parameters["refuse"] else warned)(f"{outlook.sentence}{fine}{offer}", **evidence)
    if outlook.too_fine:
        return warned(f"{outlook.too_fine}{offer} {outlook.sentence}", **evidence)
    return passed(outlook.sentence, **evidence)
