"""The share of the candidate's requests that were refused before a worker was asked: its queue was full, or too slow.

It is judged by the fixed threshold only. What saturates an arm is its own load against its own replicas, and the arms
have neither in common: a stable arm with nine times the traffic and replicas says nothing of the candidate's queue.
"""

from deployments.rollout.guardrails.guardrail_kind import GuardrailKind, type_Row
from mlorch_site.lib.errors import Invalid
from monitoring.arm_sums import ArmSum

SATURATION = "saturation"


class Saturation(GuardrailKind):
    """Has no reader of its own: `method` must be `threshold`."""

    metric = SATURATION

    def read(self, row: type_Row, where: str) -> type_Row:
        """Raises Invalid: the arms' queues have no load in common, so nothing can be compared."""
        said = "threshold, for a queue has nothing to be compared with"
        raise Invalid(f"{where}.method must be {said}.", details={f"{where}.method": said})

    def sentence(self, guardrail: type_Row) -> str:
        """What is looked at; the limit is the method's to say."""
        return self.label(guardrail).lower()

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return "Share refused at a full queue"

    def measured(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """Refused requests among all that were to be answered by the arm."""
        asked = counted.requests + counted.rejected
        return counted.rejected / asked if asked else None
