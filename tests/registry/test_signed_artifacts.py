"""Signed artifacts: a signature made by the standard's own tool, and what else may lie in its place."""

import base64
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from dataplane.wire.digest import digest
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry import artifacts
from registry.evidence.services import signing_key_add, signing_key_end
from registry.gates import GATES, GateInput, run
from registry.models import Policy, SigningKey
from tests.registry.test_gates import given
from tests.support.model_signing import PAYLOAD_TYPE, pem_of, sign, statement

HERE = Path(__file__).parent
# Made by `model_signing sign key` 1.1.1 over tests/registry/signed_model; the private key is gone.
SIGNED, PUBLIC = HERE / "signed_model", (HERE / "signed_model_key.pem").read_text()


@pytest.fixture
def key(people):
    return signing_key_add(actor=people.ada.actor, name="release key", pem=PUBLIC, reason="of the training team")


@pytest.fixture
def taken(store, tmp_path):
    """A function that takes the signed model into the store, changed by `change`, and gives what the gate is given."""

    def take(change=lambda root: None, key_name: str = "") -> GateInput:
        folder = tmp_path / "made"
        shutil.copytree(SIGNED, folder)
        change(folder)
        number = digest(folder)
        artifacts.path_of(number).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, artifacts.path_of(number))
        what = given(digest=number)
        return replace(what, policy=Policy(gate_parameters={"artifact_signed": {"key": key_name}}))

    return take


def found(what: GateInput) -> tuple[str, str]:
    (row,) = run(["artifact_signed"], what)
    return row.outcome.value, row.sentence


def test_signed__by_the_standards_tool_with_a_known_key__passes(key, taken):
    assert found(taken()) == ("pass", "2 files are as release key signed them.")


def changed(root: Path) -> None:
    (root / "data" / "weights.txt").write_text("9 9\n")


def added(root: Path) -> None:
    (root / "data" / "more.py").write_text("x = 1\n")


def missing(root: Path) -> None:
    (root / "data" / "weights.txt").unlink()


def hidden_from_git(root: Path) -> None:
    """The signer's tool leaves such files out; a loader would read them."""
    (root / ".gitattributes").write_text("x")


def unsigned(root: Path) -> None:
    (root / "model.sig").unlink()


def nonsense(root: Path) -> None:
    (root / "model.sig").write_text("[" * 100_000)


def gigantic(root: Path) -> None:
    (root / "model.sig").write_bytes(b" " * (5 * 1024 * 1024))


def cut(root: Path) -> None:
    value = json.loads((root / "model.sig").read_text())
    value["dsseEnvelope"]["signatures"][0]["sig"] = "!!"
    (root / "model.sig").write_text(json.dumps(value))


def other_payload(root: Path) -> None:
    """Who knows the signed file of one model puts another list of files into it."""
    value = json.loads((root / "model.sig").read_text())
    changed(root)
    value["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement(root)).encode()).decode()
    (root / "model.sig").write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed, "data/weights.txt was changed"),
        (added, "data/more.py was added"),
        (missing, "data/weights.txt is missing"),
        (hidden_from_git, ".gitattributes was added"),
        (unsigned, "There is no signature"),
        (nonsense, "no signature in the form"),
        (gigantic, "larger than 4 MiB"),
        (cut, "no base64"),
        (other_payload, "that key did not make it"),
    ],
)
def test_signed__files_that_are_not_what_was_signed__fail_with_a_sentence(key, taken, change, words):
    outcome, sentence = found(taken(change))
    assert (outcome, words in sentence) == ("fail", True), sentence


def test_signed__unknown_ended_and_other_key__say_which(people, key, taken):
    other = signing_key_add(
        actor=people.ada.actor, name="other", pem=pem_of(ec.generate_private_key(ec.SECP384R1())), reason="also"
    )
    what = taken()
    only = replace(what, policy=Policy(gate_parameters={"artifact_signed": {"key": "other"}}))
    assert "another one is wanted" in found(only)[1]
    before = GATES["artifact_signed"].fingerprints(what)
    signing_key_end(actor=people.ada.actor, key=key, reason="it leaked")
    assert before != GATES["artifact_signed"].fingerprints(what)  # what was found with it does not hold any more
    assert "release key, which was ended" in found(what)[1]
    SigningKey.objects.filter(pk=key.pk).delete()
    assert "a key that is not registered" in found(what)[1]
    signing_key_end(actor=people.ada.actor, key=other, reason="too")
    assert found(what) == (
        "error",
        "No signing key is registered, so nothing can be verified; an administrator adds one under Signing keys.",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "is not a model"),
        ({"_type": "other"}, "is not a model"),
        ({"subject": [{"name": "m", "digest": {"sha256": "00"}}]}, "contradicts its own digest"),
        ({"predicate": {"resources": []}}, "not a list of files"),
        ({"predicate": {"serialization": {"method": "shards"}, "resources": []}}, "not a list of files"),
    ],
)
def test_signed__with_a_known_key_something_else_than_a_model__fails(people, taken, changes, words):
    private = ec.generate_private_key(ec.SECP256R1())
    signing_key_add(actor=people.ada.actor, name="own", pem=pem_of(private), reason="a test")
    outcome, sentence = found(taken(lambda root: sign(root, private, statement(root, **changes))))
    assert (outcome, words in sentence) == ("fail", True), sentence


def test_signed__as_another_type_of_message__does_not_count(people, taken):
    private = ec.generate_private_key(ec.SECP256R1())
    signing_key_add(actor=people.ada.actor, name="own", pem=pem_of(private), reason="a test")
    whole = taken(lambda root: sign(root, private, statement(root)))
    assert found(whole)[0] == "pass"
    shutil.rmtree(artifacts.path_of(whole.version.digest))
    other = taken(lambda root: sign(root, private, statement(root), payload_type="text/x", said_type=PAYLOAD_TYPE))
    assert found(other)[0] == "fail"


def test_signed__store_was_tampered_with__is_an_error(key, taken):
    what = taken()
    path = artifacts.path_of(what.version.digest) / "data" / "weights.txt"
    path.write_text("9 9\n")
    assert found(what) == ("error", "The files in the store are not those of the digest any more.")


def test_key__added_and_ended__each_with_a_record(people, key):
    signing_key_end(actor=people.ada.actor, key=key, reason=" it leaked ")
    again = signing_key_add(actor=people.ada.actor, name="release key", pem=PUBLIC, reason="found again")
    records = AuditRecord.objects.filter(action__startswith="signing_key.").order_by("sequence")
    assert [(row.action, row.reason) for row in records] == [
        ("signing_key.added", "of the training team"),
        ("signing_key.ended", "it leaked"),
        ("signing_key.added", "found again"),
    ]
    with pytest.raises(Conflict):
        signing_key_end(actor=people.ada.actor, key=key, reason="twice")
    with pytest.raises(Conflict):
        signing_key_add(actor=people.ada.actor, name="a second name", pem=PUBLIC, reason="the same key")
    assert SigningKey.objects.filter(ended_at=None).get() == again


@pytest.mark.parametrize(
    ("name", "pem", "reason", "field"),
    [
        ("", PUBLIC, "why", "name"),
        ("a\nb", PUBLIC, "why", "name"),
        ("k", "no key", "why", "pem"),
        ("k", "x" * 5_000, "why", "pem"),
        ("k", pem_of(ed25519.Ed25519PrivateKey.generate()), "why", "pem"),
        ("k", pem_of(ec.generate_private_key(ec.SECP256K1())), "why", "pem"),
        ("k", PUBLIC, " ", "reason"),
    ],
)
def test_key__that_cannot_be_taken__refused_at_its_field(people, name, pem, reason, field):
    with pytest.raises(Invalid) as refused:
        signing_key_add(actor=people.ada.actor, name=name, pem=pem, reason=reason)
    assert field in refused.value.details
    with pytest.raises(Forbidden):
        signing_key_add(actor=people.rita.actor, name="k", pem=PUBLIC, reason="why")
