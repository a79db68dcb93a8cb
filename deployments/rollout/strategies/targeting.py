"""Requests that are chosen for the candidate before any share of the traffic is. Pure.

`"target": {"headers": {"x-tenant": ["acme"]}, "units": ["u1"], "bake_s": 60, "min_requests": 20}`. Units are ids of
people: `sealed` puts salted digests in their place (`"salt"`, `"unit_digests"`) before anything is stored.
"""

import hashlib
import re
import secrets
from typing import Any

from deployments import limits
from deployments.rollout.steps import Step, StepKind
from deployments.rollout.strategies.fields import only_keys, whole_number
from mlorch_site.lib.errors import Invalid

WHERE = "strategy.target"
KEYS = {"headers", "units", "salt", "unit_digests", "bake_s", "min_requests"}
BAKE_S, MIN_REQUESTS = 60, 1
# What carries a secret, or decides something else already.
NEVER_CHOSEN = frozenset({"authorization", "cookie", "proxy-authorization", "host", "content-length", "content-type"})
_NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def sealed(strategy: Any) -> Any:
    """The strategy with digests in the place of units. What is not as it should be is left for `target_steps` to say,
    and its units are taken out.
    """
    target = strategy.get("target") if isinstance(strategy, dict) else None
    if not isinstance(target, dict) or "units" not in target:
        return strategy
    kept = {name: value for name, value in target.items() if name != "units"}
    units = target["units"]
    if not _are_texts(units, limits.TARGET_UNITS_MAX, limits.TARGET_UNIT_MAX_CHARS):
        return {**strategy, "target": {**kept, "units": None}}
    if not units:
        return {**strategy, "target": kept}
    salt = secrets.token_hex(16)
    digests = sorted({hashlib.sha256(f"{salt}:{unit}".encode()).hexdigest() for unit in units})
    return {**strategy, "target": {**kept, "salt": salt, "unit_digests": digests}}


def target_steps(strategy: dict[str, Any]) -> list[Step]:
    """(target, bake) of a sealed strategy, nothing when no requests are chosen. Raises Invalid, naming the field.

    No judge step: who was chosen is no sample of who was not, so nothing that is seen of them can be healthy.
    """
    if "target" not in strategy:
        return []
    target = strategy["target"]
    only_keys(target, KEYS, WHERE)
    headers, units = target.get("headers", {}), target.get("unit_digests", [])
    _check_headers(headers)
    _check_units(target)
    if not headers and not units:
        raise Invalid("A target names headers or units.", details={WHERE: "headers or units"})
    bake_s = whole_number(target, "bake_s", WHERE, low=1, high=limits.BAKE_S_MAX, default=BAKE_S)
    least = whole_number(target, "min_requests", WHERE, low=1, high=limits.MIN_REQUESTS_MAX, default=MIN_REQUESTS)
    return [
        Step(StepKind.TARGET, headers=len(headers), units=len(units)),
        Step(StepKind.BAKE, duration_s=bake_s, min_requests=least),
    ]


def targets_of(strategy: dict[str, Any], arm: str) -> dict[str, Any] | None:
    """The targets as a route table says them, None without any."""
    target = strategy.get("target")
    if not target:
        return None
    return {
        "arm": arm,
        "headers": target.get("headers", {}),
        "salt": target.get("salt", ""),
        "units": target.get("unit_digests", []),
    }


def target_sentence(strategy: dict[str, Any]) -> str:
    """Which requests are chosen, as people read it; of units only how many. Empty without a target."""
    target = strategy.get("target") or {}
    said = [f"{name}: {', '.join(values)}" for name, values in target.get("headers", {}).items()]
    units = len(target.get("unit_digests", []))
    return "; ".join(said + ([f"{units:,} unit{'' if units == 1 else 's'} (ids are not kept)"] if units else []))


def _check_headers(headers: Any) -> None:
    if not isinstance(headers, dict) or len(headers) > limits.TARGET_HEADERS_MAX:
        raise _wrong("headers", f"at most {limits.TARGET_HEADERS_MAX} names, each with a list of values")
    for name, values in headers.items():
        if not _NAME.fullmatch(name) or name in NEVER_CHOSEN or name.startswith("x-mlorch-"):
            raise _wrong("headers", "names in lower case; none with a secret, and none of mlorch's own")
        if not values or not _are_texts(values, limits.TARGET_VALUES_MAX, limits.TARGET_VALUE_MAX_CHARS):
            raise _wrong(
                "headers",
                f"for each name 1 to {limits.TARGET_VALUES_MAX} values of up to {limits.TARGET_VALUE_MAX_CHARS} "
                "printable ASCII characters",
            )


def _check_units(target: dict[str, Any]) -> None:
    if "units" in target:
        raise _wrong(
            "units",
            f"up to {limits.TARGET_UNITS_MAX:,} ids of up to {limits.TARGET_UNIT_MAX_CHARS} printable ASCII characters",
        )
    digests, salt = target.get("unit_digests", []), target.get("salt", "")
    is_list = isinstance(digests, list) and len(digests) <= limits.TARGET_UNITS_MAX
    if not is_list or not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests):
        raise _wrong("unit_digests", f"up to {limits.TARGET_UNITS_MAX:,} SHA-256 digests in hexadecimal")
    if not isinstance(salt, str) or len(salt) > limits.TARGET_UNIT_MAX_CHARS or (digests and len(salt) < 16):
        raise _wrong("salt", "a text of at least 16 characters")
    if salt and not _PRINTABLE.fullmatch(salt):
        raise _wrong("salt", "printable ASCII characters")


def _are_texts(values: Any, most: int, most_chars: int) -> bool:
    if not isinstance(values, list) or len(values) > most:
        return False
    return all(isinstance(value, str) and len(value) <= most_chars and _PRINTABLE.fullmatch(value) for value in values)


def _wrong(field: str, wanted: str) -> Invalid:
    return Invalid(f"{WHERE}.{field} must be {wanted}.", details={f"{WHERE}.{field}": wanted})
