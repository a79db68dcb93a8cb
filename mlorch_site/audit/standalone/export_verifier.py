"""Verify an export of the audit record, without mlorch and with the standard library alone.

    python verify_export.py audit.jsonl --key public-key.pem [--checkpoints checkpoints.jsonl]

Take the key and, best of all, the checkpoints from elsewhere than the export: what somebody could have made together
proves nothing. Ends with 0 when every record is as it was signed, otherwise with 1 and a sentence.
"""

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

RECORD_DOMAIN = b"mlorch.audit.v1\n"
CHECKPOINT_DOMAIN = b"mlorch.audit.checkpoint.v1\n"
PEM_PREFIX = bytes.fromhex("302a300506032b6570032100")  # an Ed25519 public key as SubjectPublicKeyInfo (RFC 8410)

# Ed25519, RFC 8032, section 5.1 and appendix A.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


class Wrong(Exception):
    """What does not hold, in a sentence."""


def add(a: Point, b: Point) -> Point:
    """The sum of two points in extended coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return (w * x % P, y * z % P, x * y % P, w * z % P)


def times(scalar: int, point: Point) -> Point:
    """A point added to itself `scalar` times."""
    found = NEUTRAL
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


def is_same(a: Point, b: Point) -> bool:
    """Whether two points are one."""
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def decompress(text: bytes) -> Point | None:
    """The point that 32 bytes stand for, None when they stand for none."""
    value = int.from_bytes(text, "little")
    y, sign = value & ((1 << 255) - 1), value >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, content: bytes, signature: bytes) -> bool:
    """Whether the key made the signature over the content."""
    if len(public) != 32 or len(signature) != 64 or BASE is None:
        return False
    key, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + content).digest(), "little") % ORDER
    return is_same(times(s, BASE), add(r, times(h, key)))


def canonical(value: object) -> bytes:
    """JSON in its one form: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def node(left: bytes, right: bytes) -> bytes:
    """A node of the Merkle tree (RFC 6962)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """The Merkle tree over all hashes so far, as the roots of its full parts."""

    def __init__(self) -> None:
        self.size, self.peaks = 0, list[bytes]()

    def add(self, entry: bytes) -> None:
        found, full = hashlib.sha256(b"\x00" + entry).digest(), self.size
        while full & 1:
            found, full = node(self.peaks.pop(), found), full >> 1
        self.peaks.append(found)
        self.size += 1

    def root(self) -> str:
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = node(peak, found)
        return found.hex()


def read_key(path: str) -> bytes:
    """The 32 bytes of the key in a PEM file, or in a file with them in hexadecimal."""
    text = Path(path).read_text()
    if "BEGIN" not in text:
        return bytes.fromhex(text.strip())
    inner = base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))
    if not inner.startswith(PEM_PREFIX) or len(inner) != len(PEM_PREFIX) + 32:
        raise Wrong(f"{path} holds no Ed25519 public key.")
    return inner[len(PEM_PREFIX) :]


def parsed(lines: Iterable[str], name: str) -> Iterator[dict]:  # type: ignore[type-arg]
    """The JSON object of each line."""
    for number, line in enumerate(lines, 1):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise Wrong(f"Line {number} of {name} cannot be read.") from error
        if not isinstance(found, dict):
            raise Wrong(f"Line {number} of {name} is no object.")
        yield found


def trusted(checkpoints: list[dict], key: bytes) -> dict[int, dict]:  # type: ignore[type-arg]
    """Size → checkpoint. The newest has to be signed; one that is named by the one after it needs nothing more."""
    found, awaited = {}, ""
    for checkpoint in reversed(checkpoints):
        content = {name: value for name, value in checkpoint.items() if name != "signature"}
        signature = base64.b64decode(str(checkpoint.get("signature", "")))
        is_named = awaited == hashlib.sha256(canonical(checkpoint)).hexdigest()
        if not is_named and not is_signed(key, CHECKPOINT_DOMAIN + canonical(content), signature):
            raise Wrong(f"The checkpoint of {checkpoint.get('size')} records is not signed by this key.")
        awaited = str(checkpoint.get("previous", ""))
        found[int(checkpoint["size"])] = checkpoint
    return found


def walk(records: Iterable[dict], signed: dict[int, dict]) -> Tree:  # type: ignore[type-arg]
    """Go along the chain; raises Wrong at the first record that does not hold."""
    previous, tree = "0" * 64, Tree()
    for record in records:
        number, own = tree.size + 1, record.pop("hash", None)
        if record.get("sequence") != number:
            raise Wrong(f"Record #{number} is missing: the next one is #{record.get('sequence')}.")
        if record.pop("previous_hash", None) != previous:
            raise Wrong(f"Record #{number} does not follow the record before it.")
        if hashlib.sha256(RECORD_DOMAIN + previous.encode() + b"\n" + canonical(record)).hexdigest() != own:
            raise Wrong(f"Record #{number} was changed after it was written.")
        previous = str(own)
        tree.add(bytes.fromhex(previous))
        if number in signed and signed[number]["root"] != tree.root():
            raise Wrong(f"The first {number} records are not those that were signed: they were rewritten.")
    return tree


def verify(export: str, key: str, checkpoints: str | None) -> str:
    """The sentence that says what holds. Raises Wrong."""
    inner: list[dict] = []  # type: ignore[type-arg]

    def records() -> Iterator[dict]:  # type: ignore[type-arg]
        with Path(export).open(encoding="utf-8") as lines:
            yield from (found for found in parsed(lines, export) if "checkpoint" not in found)

    with Path(export).open(encoding="utf-8") as lines:
        inner = [json.loads(line)["checkpoint"] for line in lines if line.startswith('{"checkpoint":')]
    if checkpoints:
        with Path(checkpoints).open(encoding="utf-8") as lines:
            inner = list(parsed(lines, checkpoints))
    if not inner:
        raise Wrong("There is no checkpoint, so nothing says what the record was.")
    signed = trusted(inner, read_key(key))
    tree, newest = walk(records(), signed), signed[max(signed)]
    if newest["size"] > tree.size:
        raise Wrong(f"Records #{tree.size + 1} to #{newest['size']}, signed at {newest['at']}, were cut off.")
    return f"{tree.size} records hold; {newest['size']} of them were signed at {newest['at']}, root {newest['root']}."


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Verify an export of the audit record.")
    parser.add_argument("export", help="the export, JSON lines")
    parser.add_argument("--key", required=True, help="the public key, PEM or hexadecimal")
    parser.add_argument("--checkpoints", help="checkpoints kept elsewhere; without it those of the export are used")
    given = parser.parse_args()
    try:
        sentence = verify(given.export, given.key, given.checkpoints)
    except (Wrong, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
        sys.stdout.write(f"DOES NOT HOLD: {reason}\n")
        return 1
    sys.stdout.write(sentence + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
