"""The state machine of an alert rule: one look after the other, each a pure step.

It fires when the rule was broken at every look for so long, and an open alert ends when it was kept at every look for
so long. A look that can say nothing begins both waits anew and ends nothing: an alert is never resolved by silence.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitoring.alerts.lifecycle import RULE_MOVES, RuleState


@dataclass(frozen=True)
class RuleStand:
    """How a rule stands: its state and since when, whether an alert of it is open, and since when it is broken, or
    kept while an alert is open, without a break.
    """

    state: RuleState
    since: datetime
    is_open: bool = False
    broken_since: datetime | None = None
    kept_since: datetime | None = None


def step(stand: RuleStand, is_broken: bool | None, *, now: datetime, for_s: float, clear_s: float) -> RuleStand:
    """The standing after a look at `now` that found the rule broken, kept, or could not say (None)."""
    if is_broken is None:
        return _moved(replace(stand, broken_since=None, kept_since=None), RuleState.NO_DATA, now)
    if is_broken:
        began = stand.broken_since or now
        fires = stand.is_open or now - began >= timedelta(seconds=for_s)
        held = replace(stand, broken_since=began, kept_since=None, is_open=fires)
        return _moved(held, RuleState.FIRING if fires else RuleState.PENDING, now)
    if not stand.is_open:
        return _moved(replace(stand, broken_since=None, kept_since=None), RuleState.OK, now)
    began = stand.kept_since or now
    if now - began < timedelta(seconds=clear_s):
        return _moved(replace(stand, broken_since=None, kept_since=began), RuleState.FIRING, now)
    return _moved(replace(stand, broken_since=None, kept_since=None, is_open=False), RuleState.OK, now)


def _moved(stand: RuleStand, to: RuleState, now: datetime) -> RuleStand:
    if to is stand.state:
        return stand
    assert to in RULE_MOVES[stand.state], f"{stand.state} → {to}"
    return replace(stand, state=to, since=now)
