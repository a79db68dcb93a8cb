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
from tests.support.traffic_lines import EQUAL_ARMS, WORSE

DOCS = Path(__file__).resolve().parents[2] / "docs"
OURS = "mlorch"
SEED = 2026
FALSE_MAX_PCT = 100 * 1.2 * DEFAULT_ALPHA
TABLE_HEAD = ["traffic", OURS, *RIVALS]


@dataclass(frozen=True)
class Measured:
    """One kind of traffic: the seconds at which each rule called harm, by the rule's name, and our requests then."""

    traffic: Traffic
    found_s: dict[str, Array]
    requests: Array

    def share_pct(self, rule: str) -> float:
        """The rollouts that the rule called harmful, in percent."""
        return float(100 * np.isfinite(self.found_s[rule]).mean())

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
            middle = float(np.median(one.found_s[rule]))
            cells.append(f"{middle:.0f} s, {100 - one.share_pct(rule):.0f} %" if np.isfinite(middle) else "most missed")
        lines.append(_row([one.traffic.name, f"{np.median(one.requests):,.0f}", *cells]))
    return "\n".join(lines)


def rows_of(equal: list[Measured], worse: list[Measured]) -> list[Row]:
    """The rows of `scripts/bench`."""
    rows = [
        Row(f"{one.traffic.name[:36]}: {rule[:8]}", one.share_pct(rule), "%", None)
        for one in equal
        for rule in (OURS, *RIVALS)
    ]
    rows += [Row(f"{one.traffic.name[:34]}: 99 %", one.bound_pct(), "%", FALSE_MAX_PCT) for one in equal]
    for one in worse:
        rows.append(Row(f"{one.traffic.name[:32]}: requests", float(np.median(one.requests)), ""))
        rows.append(Row(f"{one.traffic.name[:32]}: seconds", float(np.median(one.found_s[OURS])), "s"))
        rows.append(Row(f"{one.traffic.name[:32]}: missed", 100 - one.share_pct(OURS), "%"))
    return rows


def write(equal: list[Measured], worse: list[Measured]) -> None:
    """The tables and the picture of the docs."""
    panels = [
        (f"{one.traffic.name}: false rollbacks in percent", [(rule, one.share_pct(rule)) for rule in one.found_s])
        for one in equal[:5]
    ]
    label = "False rollbacks of the judge and of other rules when both arms are identical"
    (DOCS / "img" / "bench-judgement.svg").write_text(chart.bars(panels, label))
    chart.between(DOCS / "benchmarks.md", "judgement", f"{false_table(equal)}\n\n{found_table(worse)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    equal = [measured(traffic, options.rollouts) for traffic in EQUAL_ARMS]
    worse = [measured(traffic, options.rollouts // 2) for traffic in WORSE]
    if options.docs:
        write(equal, worse)
    hand_over(rows_of(equal, worse))


if __name__ == "__main__":
    main()
