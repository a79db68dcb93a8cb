"""The Merkle tree against the recursion of RFC 6962, and its proofs against every change of them."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from mlorch_site.audit import merkle
from mlorch_site.audit.merkle import Peaks, consistency_proof, inclusion_proof, is_consistent, is_included, leaf_hash

ENTRIES = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


def naive_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


def grown(entries: list[bytes]) -> Peaks:
    peaks = Peaks()
    for entry in entries:
        peaks.add(entry)
    return peaks


def test_root__known_vectors__as_in_certificate_transparency():
    """The tree of eight entries that the tests of certificate transparency use."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    entries = [bytes.fromhex(text) for text in inputs]

    assert grown(entries[:1]).root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert grown(entries).root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(ENTRIES)
def test_peaks__grown_entry_by_entry__have_the_root_of_the_recursion(entries):
    peaks = grown(entries)

    assert (peaks.size, peaks.root(), peaks.is_whole()) == (len(entries), naive_root(entries), True)
    assert Peaks().root() == naive_root([])


@given(ENTRIES, st.data())
def test_inclusion__every_entry__is_proved_there_and_nowhere_else(entries, data):
    index = data.draw(st.integers(0, len(entries) - 1))
    leaves, root = [leaf_hash(entry) for entry in entries], naive_root(entries)
    proof = inclusion_proof(leaves, index)

    assert is_included(leaves[index], index, len(leaves), proof, root)
    assert not is_included(leaf_hash(b"another entry"), index, len(leaves), proof, root)
    assert not is_included(leaves[index], len(leaves), len(leaves), proof, root)
    assert not is_included(leaves[index], index, len(leaves), [*proof, root], root)
    assert not proof or not is_included(leaves[index], index, len(leaves), proof[1:], root)


@given(ENTRIES, st.data())
def test_consistency__tree_that_grew__is_proved_and_a_rewritten_one_is_not(entries, data):
    before = data.draw(st.integers(1, len(entries)))
    leaves = [leaf_hash(entry) for entry in entries]
    old, new = naive_root(entries[:before]), naive_root(entries)
    proof = consistency_proof(leaves, before)

    assert is_consistent(before, len(leaves), old, new, proof)
    rewritten = naive_root([b"another entry", *entries[1:before]])
    assert not is_consistent(before, len(leaves), rewritten, new, proof)
    assert not is_consistent(before, len(leaves), old, rewritten, [*proof, old])


@given(ENTRIES, st.data())
def test_proofs__one_bit_of_them_flipped__prove_nothing(entries, data):
    leaves = [leaf_hash(entry) for entry in entries]
    before = data.draw(st.integers(1, len(entries)))
    old, new = naive_root(entries[:before]), naive_root(entries)
    for index, one in enumerate(consistency_proof(leaves, before)):
        broken = list(consistency_proof(leaves, before))
        broken[index] = bytes([one[0] ^ 1]) + one[1:]
        assert not is_consistent(before, len(leaves), old, new, broken)
    for index, one in enumerate(inclusion_proof(leaves, before - 1)):
        broken = list(inclusion_proof(leaves, before - 1))
        broken[index] = bytes([one[0] ^ 1]) + one[1:]
        assert not is_included(leaves[before - 1], before - 1, len(leaves), broken, new)


def test_leaf_and_node__same_bytes__have_different_hashes():
    assert merkle.leaf_hash(b"ab") != merkle.node_hash(b"a", b"b")
