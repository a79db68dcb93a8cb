"""Canonical JSON and hashes over it: the same content always gives the same digest."""

import hashlib
import json
import math
from typing import Any

EXACT_MAX = 2**53  # above, a float has no decimals, and PostgreSQL writes it as a whole number


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON bytes with sorted keys, no spaces, UTF-8, and no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """Return `sha256:<hex>` over the canonical JSON of `value`."""
    return "sha256:" + sha256_hex(canonical_json(value))


def settled(value: Any) -> Any:
    """The JSON-able `value` in the one form that every database gives back, so that a hash over it stays true.

    PostgreSQL keeps numbers of `jsonb` as decimals: it knows no NaN, no infinity and no negative zero, and writes a
    large float without its exponent. NaN and infinity become None.
    """
    if isinstance(value, dict):
        return {str(key): settled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [settled(one) for one in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if abs(value) >= EXACT_MAX else value + 0.0
