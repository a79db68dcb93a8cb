"""Lines by which a policy says what offline metrics have to be, and what they say of a version. Pure.

`accuracy >= 0.9` · `val_*_loss <= 0.3` · `recall not worse than 0.01` · `slice_*_auc not worse than 2 %` ·
`share_of_b not worse than 0.1, higher is better`

A name may have `*` and `?`: of the metrics of slices, each is held against the line. "Not worse" is against the version
that serves, by a difference or by a share of its value; which way is better is told by the name, or by the line.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any

from registry.lifecycle import GateOutcome
from registry.metric_direction import Direction, direction_of

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
LINE = re.compile(
    rf"(?P<pattern>\S(?:.*?\S)?)\s*(?:(?P<sign>>=|<=)\s*(?P<limit>{NUMBER})"
    rf"|\s+not\s+worse\s+than\s+(?P<by>{NUMBER})\s*(?P<share>%)?(?:\s*,\s*(?P<way>higher|lower)\s+is\s+better)?)"
)


@dataclass(frozen=True)
class Threshold:
    """One line, read. With `sign` the metric has to be so; otherwise `limit` is by how much it may be worse, `is_share`
    in percent of the serving version's.
    """

    line: str
    pattern: str
    sign: str
    limit: float
    is_share: bool = False
    way: Direction = Direction.UNKNOWN


@dataclass(frozen=True)
class Held:
    """What one line says of one metric (or of none that fits it)."""

    line: str
    metric: str
    outcome: GateOutcome
    sentence: str


def threshold_of(line: str) -> Threshold:
    """The line, read. Raises ValueError with what is wrong with it."""
    read = LINE.fullmatch(line.strip())
    if read is None:
        raise ValueError(
            f"{line[:60]!r} is not understood; write for example accuracy >= 0.9, or recall not worse than 2 %"
        )
    if read["sign"]:
        return Threshold(line.strip(), read["pattern"], read["sign"], float(read["limit"]))
    by = float(read["by"])
    if by < 0:
        raise ValueError(f"by how much a metric may be worse is not negative: {line[:60]!r}")
    return Threshold(line.strip(), read["pattern"], "", by, bool(read["share"]), Direction(read["way"] or ""))


def line_problem(line: str) -> str:
    """What is wrong with a line, empty when nothing is."""
    try:
        threshold_of(line)
    except ValueError as error:
        return str(error)
    return ""


def held(threshold: Threshold, after: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[Held]:
    """What a line says of the metrics `after`, against those `before` (None while nothing serves)."""
    fits = re.compile(translate(threshold.pattern.replace("[", "[[]")))
    names = sorted(name for name in after if fits.fullmatch(name))
    lost = sorted(name for name in before or {} if name not in after and fits.fullmatch(name))
    rows = [_of_metric(threshold, name, after[name], before) for name in names]
    rows += [
        Held(threshold.line, name, GateOutcome.FAIL, f"{name} is missing, which the serving version has")
        for name in lost
    ]
    return rows or [Held(threshold.line, "", GateOutcome.FAIL, f"no metric is called {threshold.pattern}")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _of_metric(threshold: Threshold, name: str, value: Any, before: Mapping[str, Any] | None) -> Held:
    def so(outcome: GateOutcome, words: str) -> Held:
        return Held(threshold.line, name, outcome, f"{name} {words}")

    if not _is_number(value):
        return so(GateOutcome.FAIL, "is not a number")
    if threshold.sign:
        is_held = value >= threshold.limit if threshold.sign == ">=" else value <= threshold.limit
        words = f"is {value:.4g}, asked for {threshold.sign} {threshold.limit:g}"
        return so(GateOutcome.PASS if is_held else GateOutcome.FAIL, words)
    if before is None:
        return so(GateOutcome.SKIPPED, "has nothing to be compared with: nothing serves yet")
    if not _is_number(before.get(name)):
        return so(GateOutcome.WARN, "cannot be compared: the serving version lacks it")
    return _against(threshold, name, float(value), float(before[name]), so)


def _against(threshold: Threshold, name: str, value: float, old: float, so: Callable[[GateOutcome, str], Held]) -> Held:
    way = threshold.way or direction_of(name)
    if way is Direction.UNKNOWN:
        return so(GateOutcome.FAIL, "cannot be judged: say in the policy which way it is better")
    worse = old - value if way is Direction.HIGHER else value - old
    if threshold.is_share:
        if old == 0 and worse > 0:
            return so(GateOutcome.FAIL, f"went from 0 to {value:.4g}, which is no share of anything")
        worse = worse / abs(old) * 100 if old else 0.0
    unit = " %" if threshold.is_share else ""
    # A limit that is met exactly is met, whatever the last binary digit of the difference is.
    is_held = worse <= threshold.limit or math.isclose(worse, threshold.limit, rel_tol=1e-9, abs_tol=1e-12)
    words = f"went from {old:.4g} to {value:.4g}, " + (
        f"{worse:.4g}{unit} worse; {threshold.limit:g}{unit} is allowed" if worse > 0 else "not worse"
    )
    return so(GateOutcome.PASS if is_held else GateOutcome.FAIL, words)
