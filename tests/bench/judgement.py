"""False rollbacks, missed harm and time to detect: the judge beside other rules on the same simulated rollouts.

`python -m tests.bench.judgement [--rollouts N] [--docs]`; with `--docs` the table and the picture in the docs are
written anew.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from monitoring.analysis.judge import DEFAULT_ALPHA, GUARDRAILS_ALPHA
from tests.bench import chart
from tests.bench.report import Row, hand_over
from tests.support.judge_twin import harm_found
from tests.support.rival_judges import RIVALS
from tests.support.simulated_traffic import Array, Traffic, drawn
from tests.support.traffic_lines import EQUAL_ARMS, LATE, LONG_STALLS, WORSE

DOCS = Path(__file__).resolve().parents[2] / "docs"
OURS = "mlorch"
SEED = 2026
FALSE_MAX_PCT = 100 * 1.2 * DEFAULT_ALPHA
TABLE_HEAD = ["traffic", OURS, *RIVALS]


@dataclass(frozen=True)
class Measured:
    """One kind of traffic: the seconds at which each rule called harm, by the rule's name, and our candidate requests
    then; of harm that begins late those after its beginning.
    """

    traffic: Traffic
    found_s: dict[str, Array]
    requests: Array

    def share_pct(self, rule: str) -> float:
        """The rollouts that the rule called harmful, in percent."""
        return float(100 * np.isfinite(self.found_s[rule]).mean())

    def before_pct(self, rule: str) -> float:
        """The rollouts that the rule called harmful before the harm began, in percent."""
        return float(100 * (self.found_s[rule] <= self.traffic.late_from_s).mean())

    def median_s(self, rule: str) -> float:
        """The median seconds from the beginning of the harm, of the rollouts that were not called harmful before it."""
        found = self.found_s[rule]
        since = found[found > self.traffic.late_from_s] - self.traffic.late_from_s
        return float(np.median(since)) if len(since) else np.inf

    def median_requests(self) -> float:
        """Our median requests, likewise."""
        return float(np.median(self.requests[self.found_s[OURS] > self.traffic.late_from_s]))

    def bound_pct(self) -> float:
        """The 99 % upper bound of ours."""
        found = self.found_s[OURS]
        test = stats.binomtest(int(np.isfinite(found).sum()), len(found), alternative="less")
        return float(100 * test.proportion_ci(0.99).high)


def measured(traffic: Traffic, rollouts: int) -> Measured:
    """All rules on the same rollouts."""
    began = time.monotonic()
    counts = drawn(traffic, rollouts, np.random.default_rng(SEED))
    requests, ours = harm_found(traffic, counts, 1 / (GUARDRAILS_ALPHA * DEFAULT_ALPHA))
    found = {OURS: ours, **{name: rule(traffic, counts) for name, rule in RIVALS.items()}}
    print(f"  {traffic.name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return Measured(traffic, found, requests)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def false_table(equal: list[Measured]) -> str:
    """False rollbacks in percent, with the 99 % upper bound of ours."""
    lines = [_row(TABLE_HEAD), "|---|" + "--:|" * (len(TABLE_HEAD) - 1)]
    for one in equal:
        cells = [
            f"{one.share_pct(OURS):.1f} (≤ {one.bound_pct():.1f})",
            *[f"{one.share_pct(rule):.0f}" for rule in RIVALS],
        ]
        lines.append(_row([one.traffic.name, *cells]))
    return "\n".join(lines)


def found_table(worse: list[Measured]) -> str:
    """The median seconds until harm is called, and the rollouts in which it never is."""
    lines = [_row(["candidate", "our median requests", *TABLE_HEAD[1:]]), "|---|" + "--:|" * len(TABLE_HEAD)]
    for one in worse:
        cells = []
        for rule in (OURS, *RIVALS):
            middle = one.median_s(rule)
            cells.append(f"{middle:.0f} s, {100 - one.share_pct(rule):.0f} %" if np.isfinite(middle) else "most missed")
        lines.append(_row([one.traffic.name, f"{one.median_requests():,.0f}", *cells]))
    return "\n".join(lines)


def late_table(late: list[Measured]) -> str:
    """The median seconds from the beginning of the harm, and the rollouts that were called harmful before it."""
    lines = [_row(["candidate", "our median requests", *TABLE_HEAD[1:]]), "|---|" + "--:|" * len(TABLE_HEAD)]
    for one in late:
        cells = []
        for rule in (OURS, *RIVALS):
            middle = f"{one.median_s(rule):.0f} s" if np.isfinite(one.median_s(rule)) else "most missed"
            cells.append(f"{middle}, {one.before_pct(rule):.0f} %")
        lines.append(_row([one.traffic.name, f"{one.median_requests():,.0f}", *cells]))
    return "\n".join(lines)


def rows_of(equal: list[Measured], long: list[Measured], worse: list[Measured]) -> list[Row]:
    """The rows of `scripts/bench`."""
    rows = [
        Row(f"{one.traffic.name[:36]}: {rule[:8]}", one.share_pct(rule), "%", None)
        for one in [*equal, *long]
        for rule in (OURS, *RIVALS)
    ]
    rows += [Row(f"{one.traffic.name[:34]}: 99 %", one.bound_pct(), "%", FALSE_MAX_PCT) for one in equal]
    for one in worse:
        rows.append(Row(f"{one.traffic.name[:32]}: requests", one.median_requests(), ""))
        rows.append(Row(f"{one.traffic.name[:32]}: seconds", one.median_s(OURS), "s"))
        rows.append(Row(f"{one.traffic.name[:32]}: missed", 100 - one.share_pct(OURS), "%"))
    return rows


def write(tables: list[str], equal: list[Measured]) -> None:
    """The tables and the picture of the docs."""
    panels = [
        (f"{one.traffic.name}: false rollbacks in percent", [(rule, one.share_pct(rule)) for rule in one.found_s])
        for one in equal[:5]
    ]
    label = "False rollbacks of the judge and of other rules when both arms are identical"
    (DOCS / "img" / "bench-judgement.svg").write_text(chart.bars(panels, label))
    chart.between(DOCS / "benchmarks.md", "judgement", "\n\n".join(tables))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    equal = [measured(traffic, options.rollouts) for traffic in EQUAL_ARMS]
    long = [measured(traffic, options.rollouts) for traffic in LONG_STALLS]
    worse = [measured(traffic, options.rollouts // 2) for traffic in WORSE]
    late = [measured(traffic, options.rollouts // 2) for traffic in LATE]
    if options.docs:
        write([false_table(equal), false_table(long), found_table(worse), late_table(late)], equal)
    hand_over(rows_of(equal, long, [*worse, *late]))


if __name__ == "__main__":
    main()
