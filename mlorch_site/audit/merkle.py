"""Merkle trees as in RFC 6962: one root over a list, and proofs that an entry is in it or that it only grew. Pure.

A leaf and a node are hashed with prefixes of their own, so that neither can be taken for the other.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

LEAF, NODE = b"\x00", b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf."""
    return hashlib.sha256(LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(NODE + left + right).digest()


@dataclass
class Peaks:
    """A tree that grows: the roots of the full trees it consists of, the largest first, and how many leaves it has.

    An entry costs two hashes on the average, and nothing else has to be kept.
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    def add(self, entry: bytes) -> None:
        """Append an entry."""
        found, full = leaf_hash(entry), self.size
        while full & 1:
            found = node_hash(self.hashes.pop(), found)
            full >>= 1
        self.hashes.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root over all entries so far."""
        if not self.hashes:
            return EMPTY_ROOT
        found = self.hashes[-1]
        for peak in reversed(self.hashes[:-1]):
            found = node_hash(peak, found)
        return found

    def is_whole(self) -> bool:
        """Whether there are as many peaks as a tree of this size has."""
        return len(self.hashes) == self.size.bit_count()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves that are hashed already."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return node_hash(root_of(leaves[:middle]), root_of(leaves[middle:]))


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the way from the leaf at `index` up to the root (RFC 6962, 2.1.1)."""
    if len(leaves) <= 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion_proof(leaves[:middle], index), root_of(leaves[middle:])]
    return [*inclusion_proof(leaves[middle:], index - middle), root_of(leaves[:middle])]


def inclusion_proof_after(known: Peaks, leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion proof of the leaf at `index` where only the peaks of the first leaves are known, and `leaves` are
    those after them. `index` must not be below `known.size`.
    """
    subtrees: dict[tuple[int, int], bytes] = {}
    start = 0
    for bit in range(known.size.bit_length() - 1, -1, -1):
        if known.size >> bit & 1:
            subtrees[start, start + (1 << bit)] = known.hashes[len(subtrees)]
            start += 1 << bit

    def root(first: int, end: int) -> bytes:
        if (first, end) in subtrees:
            return subtrees[first, end]
        if end - first == 1:
            return leaves[first - known.size]
        middle = first + _split(end - first)
        return node_hash(root(first, middle), root(middle, end))

    way, first, end = [], 0, known.size + len(leaves)
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            way.append(root(middle, end))
            end = middle
        else:
            way.append(root(first, middle))
            first = middle
    return way[::-1]


def consistency_proof(leaves: Sequence[bytes], before: int) -> list[bytes]:
    """The hashes that show that a tree of these leaves begins with the tree of the first `before` (RFC 6962, 2.1.2)."""
    return _subproof(leaves, before, is_known=True) if 0 < before < len(leaves) else []


def _subproof(leaves: Sequence[bytes], before: int, *, is_known: bool) -> list[bytes]:
    if before == len(leaves):
        return [] if is_known else [root_of(leaves)]
    middle = _split(len(leaves))
    if before <= middle:
        return [*_subproof(leaves[:middle], before, is_known=is_known), root_of(leaves[middle:])]
    return [*_subproof(leaves[middle:], before - middle, is_known=False), root_of(leaves[:middle])]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf is at `index` of the tree with this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(beside, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(before: int, size: int, root_before: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of `size` begins with that of `before` (RFC 9162, 2.1.4.2)."""
    if before == size:
        return not proof and root_before == root
    if not 0 < before < size:
        return before == 0 and not proof and root_before == EMPTY_ROOT
    rest = [root_before, *proof] if before & (before - 1) == 0 else list(proof)
    if not rest:
        return False
    place, last = before - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = rest[0]
    for beside in rest[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(beside, old), node_hash(beside, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and old == root_before and new == root
