"""The release says what must not get worse, and by how much."""

from registry.gates.base import Found, GateInput, failed, passed

LABEL = "Guardrails"
HELP = "The release says what must not get worse, and by how much."
LOOKS_AT = ("guardrails",)


def check(given: GateInput) -> Found:
    if not given.guardrails:
        return failed("The release has no guardrail, and the policy of this environment wants at least one.")
    return passed(
        f"{len(given.guardrails)} guardrails are watched during the rollout.",
        metrics=[row["metric"] for row in given.guardrails],
    )
