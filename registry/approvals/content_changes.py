"""What changed between two contents of an approval, a sentence each. Pure over JSON values."""

from collections.abc import Iterator
from typing import Any

NAMED_MAX = 6
VALUE_MAX_CHARS = 60
NOTHING = "nothing"
UNITS = {"_pct": " %", "_ms": " ms", "_s": " s", "_mb": " MB"}
SINGULAR = {"steps": "step", "guardrails": "guardrail", "gates": "gate"}
FINGERPRINTS = ("digest", "fingerprint", "replaces")

type_Path = tuple[str, ...]


def content_changes(given: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs, in the order of the names: "plan: step 2 weight 10 % → 50 %"."""
    found = []
    for path, before, after in _differences(given, now, ()):
        found.append(f"{_label(path)} {_value(path, before)} → {_value(path, after)}")
    return found


def told(changes: list[str]) -> str:
    """The changes in one sentence, the first of them named."""
    more = f"; and {len(changes) - NAMED_MAX} more" if len(changes) > NAMED_MAX else ""
    return f"{'; '.join(change.rstrip('.') for change in changes[:NAMED_MAX])}{more}"


def _differences(given: Any, now: Any, path: type_Path) -> Iterator[tuple[type_Path, Any, Any]]:
    if type(given) is type(now) and given == now:  # True is not 1
        return
    if isinstance(given, dict) and isinstance(now, dict):
        for name in sorted({*given, *now}):
            yield from _differences(given.get(name), now.get(name), (*path, str(name)))
    elif isinstance(given, list) and isinstance(now, list):
        for number in range(max(len(given), len(now))):
            before, after = (rows[number] if number < len(rows) else None for rows in (given, now))
            yield from _differences(before, after, (*path, str(number + 1)))
    else:
        yield path, given, now


def _label(path: type_Path) -> str:
    """Where a value stands: "plan: step 2 weight"."""
    words: list[str] = []
    for name in path[1:]:
        if name.isdigit() and words:
            words[-1] = f"{SINGULAR.get(words[-1], words[-1])} {name}"
        else:
            words.append(_without_unit(name).replace("_", " "))
    head = _without_unit(path[0]).replace("_", " ")
    if path[0] in SINGULAR and words:
        return f"{SINGULAR[path[0]]} {' '.join(words)}:"
    return f"{head}: {' '.join(words)}" if words else f"{head}:"


def _without_unit(name: str) -> str:
    for ending in UNITS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _value(path: type_Path, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    unit = next((text for ending, text in UNITS.items() if path[-1].endswith(ending)), "")
    if isinstance(value, dict):
        text = ", ".join(f"{_without_unit(str(k)).replace('_', ' ')} {_value((str(k),), v)}" for k, v in value.items())
    elif isinstance(value, list):
        text = ", ".join(_value(path, one) for one in value)
    else:
        text = str(value)
    if path[-1] in FINGERPRINTS:
        text = text.removeprefix("sha256:")[:12]
    return f"{text[:VALUE_MAX_CHARS]}{'…' if len(text) > VALUE_MAX_CHARS else ''}{unit}"
