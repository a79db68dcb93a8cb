"""What a benchmark hands over: rows of a measured value and, where the design names one, its budget."""

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    `budget` is the largest value that is good enough, `at_least` the smallest, None where none is set.
    """

    what: str
    value: float
    unit: str
    budget: float | None = None
    at_least: float | None = None


def hand_over(rows: list[Row]) -> None:
    """Write the rows to standard output as one line of JSON, which `scripts/bench` reads."""
    json.dump([asdict(row) for row in rows], sys.stdout)
    print()
