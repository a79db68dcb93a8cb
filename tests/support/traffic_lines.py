"""The kinds of traffic that the judge is measured on: identical arms, and candidates that are worse."""

from dataclasses import replace
from typing import Any

from tests.support.simulated_traffic import Traffic

_ERRORS = Traffic("", 0.01, 0.01, 0.01)
_SLOW = Traffic("", 0.01, 0.01, 0.02, is_latency=True)


def _units(requests: int, correlation: float, **more: Any) -> Traffic:
    within = f" within {more['unit_span_s']} s" if "unit_span_s" in more else ""
    weight = f", {more['weight'] * 100:g} %" if "weight" in more else ""
    name = f"units of {requests} requests{within}, correlation {correlation:g}{weight}"
    return replace(_ERRORS, name=name, unit_requests=requests, correlation=correlation, **more)


def _bursts(seconds: int, chance: float, name: str = "", **more: Any) -> Traffic:
    name = f"bursts of errors of {seconds} s, chance {chance:g}{name}"
    return replace(_ERRORS, name=name, stall_s=seconds, stall_chance=chance, **more)


def _stalls(seconds: int, name: str = "", **more: Any) -> Traffic:
    return replace(_SLOW, name=f"stalls of {seconds} s{name}", stall_s=seconds, **more)


THE_ISSUES = [
    replace(_ERRORS, name="independent requests"),
    _units(20, 0.3),
    _units(100, 0.3, share_c=0.05, share_b=0.05, margin=0.02),
    _stalls(1, margin=0.05),
    _stalls(3),
]
EQUAL_ARMS = [
    *THE_ISSUES,
    *[_units(requests, correlation) for requests in (5, 200) for correlation in (0.1, 0.5)],
    *[_units(requests, 0.3, unit_span_s=20) for requests in (20, 100)],
    _units(200, 0.1, unit_span_s=10, weight=0.1),
    *[_units(20, 0.3, weight=weight) for weight in (0.01, 0.1, 0.5)],
    *[_stalls(3, f", {weight * 100:g} %", weight=weight) for weight in (0.01, 0.1, 0.5)],
    _stalls(3, ", nothing slow else", share_c=0.0, share_b=0.0),
    _stalls(3, ", nothing slow else, 1 %", share_c=0.0, share_b=0.0, margin=0.02, weight=0.01),
    _stalls(3, " of both arms", stalls_are_common=True),
    _stalls(3, ", 1 request/s", rate_per_s=1),
    _stalls(3, ", 1,000 requests/s", rate_per_s=1000),
    *[_bursts(seconds, 0.003, ", no error else", share_c=0.0, share_b=0.0) for seconds in (1, 3)],
    *[_bursts(seconds, 0.01, ", no error else", share_c=0.0, share_b=0.0) for seconds in (2, 3)],
    _bursts(3, 0.01),
    replace(_units(20, 0.3, margin=0.02, is_latency=True, stall_s=3), name="units of 20 requests, and stalls of 3 s"),
    replace(_units(20, 0.3, margin=0.02, stall_s=3), name="units of 20 requests, and bursts of errors of 3 s"),
    replace(_ERRORS, name="rate and shares swing by 80 %", tide=0.8),
    replace(_ERRORS, name="1 request/s", rate_per_s=1),
    replace(_ERRORS, name="1,000 requests/s, 1 %", rate_per_s=1000, weight=0.01),
    replace(_SLOW, name="cold caches for 30 s, falling", margin=0.05, cold_s=30, cold_share=0.6),
    replace(_SLOW, name="cold caches for 30 s, then warm", margin=0.05, cold_s=30, cold_share=0.3, cold_falls=False),
]
# Longer than what dependence in time is measured over, and than the ten seconds after which what is total is believed.
LONG_STALLS = [
    _stalls(seconds, f", chance {chance:g}", stall_chance=chance)
    for seconds, chance in ((8, 0.003), (12, 0.001), (16, 0.001), (30, 0.001))
]
LATE = [
    Traffic(f"errors 1 → {share * 100:g} % after 200 s, 25 %", share, 0.01, 0.01, late_from_s=200, seconds=500)
    for share in (1.0, 0.3, 0.1, 0.05)
] + [
    Traffic("errors 1 → 30 % after 200 s, 10 %", 0.3, 0.01, 0.01, weight=0.1, late_from_s=200, seconds=500),
    Traffic("slow 1 → 30 % after 200 s, 25 %", 0.3, 0.01, 0.02, late_from_s=200, seconds=500, is_latency=True),
    Traffic(
        "slow 1 → 30 % after 200 s, 25 %, stalls of 3 s",
        0.3,
        0.01,
        0.02,
        late_from_s=200,
        seconds=500,
        stall_s=3,
        is_latency=True,
    ),
    Traffic(
        "errors 1 → 30 % after 200 s, 25 %, units of 20",
        0.3,
        0.01,
        0.01,
        late_from_s=200,
        seconds=500,
        unit_requests=20,
        unit_span_s=20,
        correlation=0.3,
    ),
]
WORSE = [
    Traffic("errors 1 → 5 %", 0.05, 0.01, 0.01, weight=0.1, seconds=300),
    Traffic("errors 1 → 2 %", 0.02, 0.01, 0.01, weight=0.1, seconds=1500),
    Traffic("errors 1 → 100 %", 1.0, 0.01, 0.01, weight=0.1, seconds=60),
    Traffic("slow 0 → 100 %", 1.0, 0.0, 0.05, weight=0.1, seconds=60, is_latency=True),
    Traffic("slow 1 → 20 %", 0.2, 0.01, 0.05, weight=0.1, seconds=300, is_latency=True),
    Traffic("errors 1 → 5 %, units of one request", 0.05, 0.01, 0.01, weight=0.1, unit_requests=1, unit_span_s=1),
    Traffic("errors 5 → 15 %, units of 20", 0.15, 0.05, 0.02, unit_requests=20, correlation=0.3, seconds=600),
    Traffic("slow 1 → 10 %, stalls of 3 s", 0.1, 0.01, 0.02, stall_s=3, is_latency=True, seconds=600),
]
