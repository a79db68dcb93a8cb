"""The files of the version were not taken back before, in any environment."""

from registry.gates.base import Found, GateInput, failed, passed, warned

LABEL = "Not taken back before"
HELP = "The same files were not taken back in any environment. Whether that refuses or warns, the policy says."
LOOKS_AT = ("digest", "taken back")


def check(given: GateInput) -> Found:
    """A warning, or by policy a refusal: the same files may do well elsewhere, but nobody should overlook it."""
    if not given.around.taken_back:
        return passed("It was never taken back.")
    times = len(given.around.taken_back)
    sentence = (
        f"It was taken back {'once' if times == 1 else f'{times} times'}; the last time {given.around.taken_back[0]}"
    )
    judged = failed if given.policy.refuse_taken_back else warned
    return judged(sentence, taken_back=list(given.around.taken_back))
