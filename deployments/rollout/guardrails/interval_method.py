"""What the methods of others have in common: they look at the value of each interval, not at every request."""

from datetime import timedelta

from deployments.rollout.guardrails.guardrail_kind import GuardrailKind, GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import only_keys, whole_number
from mlorch_site.lib import clock
from monitoring.arm_sums import ArmSum, arm_sums_between

SETTLE_S = 3  # until then windows of an interval that is over may still come
CAUGHT_UP_MAX = 20  # intervals that one look reads, when none was possible for a while
INTERVAL_S_MIN, INTERVAL_S_MAX = 5, 3600


class IntervalMethod(LookedAtKind):
    """A method that judges what another kind measures. It has no bound on false rollbacks, and says so."""

    keys: frozenset[str]

    def __init__(self, kind: GuardrailKind) -> None:
        self._kind = kind
        self.metric, self.unit = kind.metric, kind.unit

    def label(self, guardrail: type_Row) -> str:
        """What is looked at, in words."""
        return self._kind.label(guardrail)

    def same(self, one: type_Row, other: type_Row) -> bool:
        """Whether two guardrails watch the same."""
        return self._kind.same(one, other)

    def read_with_interval(self, row: type_Row, where: str) -> type_Row:
        """The method's own keys, that of the interval among them, and what the kind is about. Raises Invalid."""
        subject = self._kind.subject(row, where)
        only_keys(row, {*subject, *self.keys, "interval_s"}, where)
        interval = whole_number(row, "interval_s", where, low=INTERVAL_S_MIN, high=INTERVAL_S_MAX, default=60)
        return {**subject, "interval_s": interval}

    def due_before(self, look: GuardrailLook, due: float) -> bool:
        """Whether what is due at a Unix time can be measured."""
        return due + SETTLE_S <= look.now.timestamp()

    def sums(self, look: GuardrailLook, due: float, interval_s: int) -> tuple[ArmSum, ArmSum]:
        """What both arms did in the interval that ended at a Unix time."""
        until = clock.from_unix(int(due))
        return arm_sums_between(
            environment=look.release.endpoint.environment.name,
            endpoint=look.release.endpoint.name,
            release=str(look.release.pk),
            arms=(look.candidate_arm, look.baseline_arm),
            since=until - timedelta(seconds=interval_s),
            until=until,
        )

    def value(self, guardrail: type_Row, counted: ArmSum) -> float | None:
        """What the kind measures of one arm."""
        return self._kind.measured(guardrail, counted)
