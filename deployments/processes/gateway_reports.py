"""What a gateway may say of itself in a poll (docs/wire.md section 3). Pure: a report in, its stored fields out, or a sentence."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from deployments import limits
from mlorch_site.lib.errors import Invalid

COUNT_MAX = 2**53  # what JSON carries exactly
REVISION_MAX = 2**31 - 1
BOOT_MAX_CHARS = 36
TEXT_MAX_CHARS = 500
BESIDE_MAX = 64
ENTRIES_MAX = 10_000
LANES_MAX = 1_000

type_Check = Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= COUNT_MAX and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_MAX_CHARS


def _is_time(value: Any) -> bool:
    return _is_number(value) and value < limits.UNIX_TIME_MAX_S


def _maps_to(check: type_Check) -> type_Check:
    def is_map(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and len(value) <= ENTRIES_MAX
            and all(map(_is_text, value))
            and all(map(check, value.values()))
        )

    return is_map


def _rows_of(*checks: type_Check) -> type_Check:
    def is_rows(value: Any) -> bool:
        return _is_list(value, ENTRIES_MAX) and all(
            isinstance(row, list)
            and len(row) == len(checks)
            and all(check(cell) for check, cell in zip(checks, row, strict=True))
            for row in value
        )

    return is_rows


def _is_list(value: Any, most: int) -> bool:
    return isinstance(value, list) and len(value) <= most


def _is_sizes(value: Any) -> bool:
    return _maps_to(_is_count)(value) and all(size.isdecimal() and len(size) < 10 for size in value)


LANE: Mapping[str, type_Check] = {
    **dict.fromkeys(("environment", "endpoint", "arm", "version", "release"), _is_text),
    **dict.fromkeys(("queued", "requests", "batches", "retries", "clients_gone", "deadlines_exceeded"), _is_count),
    **dict.fromkeys(("in_flight", "ejections"), _maps_to(_is_count)),
    "ejected": _maps_to(_is_number),
    "batch_sizes": _is_sizes,
}
STATS: Mapping[str, type_Check] = {
    **dict.fromkeys(
        ("pid", "memory_mb", "requests_total", "spooled_batches", "dropped_windows", "refusals"), _is_count
    ),
    "started_at": _is_time,
    "request_log": _rows_of(_is_text, _is_text, _is_count, _is_count),
    "shadow_dropped": _rows_of(_is_text, _is_text, _is_count),
    "lanes": lambda value: _is_list(value, LANES_MAX) and all(isinstance(lane, dict) for lane in value),
}


def read(report: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a report that are stored, and `beside`. Unknown keys are left out; raises Invalid when a known one is malformed."""
    boot = report.get("boot")
    if not isinstance(boot, str) or not 0 < len(boot) <= BOOT_MAX_CHARS:
        raise Invalid(
            "boot must be the id of the gateway's process.", details={"boot": f"1 to {BOOT_MAX_CHARS} characters"}
        )
    return {
        "boot": boot,
        "beside": _beside(report.get("beside", [])),
        "applied": _checked("have", report.get("have", {}), _maps_to(_is_revision)),
        "refused": {
            name: _refusal(row)
            for name, row in _checked("refused", report.get("refused", {}), _maps_to(_is_refusal)).items()
        },
        "in_flight": _checked("in_flight", report.get("in_flight", {}), _maps_to(_is_count)),
        "stats": _stats(report.get("stats", {})),
    }


def _is_revision(value: Any) -> bool:
    return type(value) is int and 0 <= value <= REVISION_MAX


def _is_refusal(row: Any) -> bool:
    return isinstance(row, dict) and _is_revision(row.get("revision", 0)) and isinstance(row.get("error", ""), str)


def _refusal(row: dict[str, Any]) -> dict[str, Any]:
    return {"revision": row.get("revision", 0), "error": row.get("error", "")[:TEXT_MAX_CHARS]}


def _checked(name: str, value: Any, check: type_Check) -> Any:
    if not check(value):
        raise Invalid(f"{name} is malformed.", details={name: "see docs/wire.md, section 3"})
    return value


def _beside(value: Any) -> list[str]:
    if not _is_list(value, BESIDE_MAX) or not all(map(_is_text, value)):
        raise Invalid("beside lists the boots of other processes.", details={"beside": f"{BESIDE_MAX} texts at most"})
    return list(value)


def _stats(stats: Any) -> dict[str, Any]:
    known = _known("stats", _checked("stats", stats, lambda value: isinstance(value, dict)), STATS)
    if "lanes" in known:
        known["lanes"] = [_known("stats.lanes", lane, LANE) for lane in known["lanes"]]
    return known


def _known(name: str, values: dict[str, Any], checks: Mapping[str, type_Check]) -> dict[str, Any]:
    return {key: _checked(f"{name}.{key}", values[key], check) for key, check in checks.items() if key in values}
