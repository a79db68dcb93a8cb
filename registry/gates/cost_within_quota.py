"""What serving the version costs fits into what the policy lets the environment cost a day."""

from registry.gates.base import Found, GateInput, erred, failed, passed, skipped, warned

LABEL = "Cost within quota"
HELP = "Replicas times their cost an hour, over a day, with everything else that serves, is within the policy's limit."
LOOKS_AT = ("plan",)


def looked_at(given: GateInput) -> dict[str, object]:
    """The costs themselves."""
    cost = given.around.cost
    return {"cost": [cost.of_this, cost.of_others] if cost else None}


def check(given: GateInput) -> Found:
    most, cost = given.policy.cost_per_day_max, given.around.cost
    if most is None:
        return skipped("The policy sets no limit to what the environment costs a day.")
    if cost is None:
        return erred("Nobody has told what the release costs.")
    evidence = {"of_this": cost.of_this, "of_others": cost.of_others, "most": most}
    if cost.unpriced:
        return warned(
            f"What {', '.join(cost.unpriced[:3])} costs is not known: its serving config has no cost per replica-hour.",
            **evidence,
        )
    whole = cost.of_this + cost.of_others
    said = f"It costs {cost.of_this:,.2f} a day beside {cost.of_others:,.2f} of others; {most:,.2f} is the limit"
    if whole > most:
        return failed(f"{said}, and {whole - most:,.2f} too much.", **evidence)
    return passed(f"{said}.", **evidence)
