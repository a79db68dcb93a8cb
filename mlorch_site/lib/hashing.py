"""Canonical JSON and hashes over it: the same content always gives the same digest."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return `value` as JSON bytes with sorted keys, no spaces, UTF-8, and no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """Return `sha256:<hex>` over the canonical JSON of `value`."""
    return "sha256:" + sha256_hex(canonical_json(value))
