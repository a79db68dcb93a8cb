"""The export, and the program that verifies it without mlorch."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.export import VERIFIER
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.signing import RAW
from mlorch_site.audit.standalone.export_verifier import is_signed
from mlorch_site.lib import clock
from tests.support.live import signed_in
from tests.support.tampering import acts, cut, rewrite


@pytest.fixture
def folder(people, settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    acts(20)
    checkpoint_write(now=clock.now())
    acts(5)
    checkpoint_write(now=clock.now())
    return tmp_path


def exported(folder) -> list[str]:
    """The lines of an export."""
    answer = signed_in("ada").get(reverse("audit-export"))
    return b"".join(answer.streaming_content).decode().splitlines()


def verdict(folder, lines: list[str], *arguments: str) -> tuple[int, str]:
    """Exit code and words of the verifier, run as an auditor runs it: isolated, from a folder of its own."""
    (folder / "export.jsonl").write_text("\n".join(lines) + "\n")
    key = str(folder / "audit" / "public-key.pem")
    command = [sys.executable, "-I", "-S", str(VERIFIER), "export.jsonl", "--key", key, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={})
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_export__as_it_was__holds(folder):
    code, words = verdict(folder, exported(folder))
    assert code == 0
    assert "25 of them were signed" in words


def test_export__is_recorded_and_holds_that_record(folder):
    lines = [json.loads(line) for line in exported(folder)]
    assert [line["actor"] for line in lines if line.get("action") == "audit.exported"] == ["ada"]
    assert AuditRecord.objects.filter(action="audit.exported").count() == 1


def test_export__by_who_sees_only_a_part__is_refused(folder):
    assert signed_in("max").get(reverse("audit-export")).status_code == 403


def test_export__any_line_changed_or_left_out__does_not_hold(folder):
    lines = exported(folder)
    for index in (0, 7, 24):
        changed = json.loads(lines[index])
        changed["actor"] = "nobody"
        assert verdict(folder, [*lines[:index], json.dumps(changed), *lines[index + 1 :]])[0] == 1
        assert verdict(folder, [*lines[:index], *lines[index + 1 :]])[0] == 1


@pytest.mark.parametrize("harm", [lambda: cut(22), rewrite])
def test_export__of_a_record_that_was_cut_or_rewritten__does_not_hold(folder, harm):
    harm()
    code, words = verdict(folder, exported(folder), "--checkpoints", "audit/checkpoints.jsonl")
    assert code == 1
    assert words.startswith("DOES NOT HOLD: ")


def test_export__signed_by_another_key__does_not_hold(folder):
    lines = exported(folder)
    other = Ed25519PrivateKey.generate().public_key().public_bytes(*RAW).hex()
    (folder / "audit" / "public-key.pem").write_text(other)
    assert "not signed by this key" in verdict(folder, lines)[1]


def test_export__without_checkpoints__proves_nothing(folder):
    lines = [line for line in exported(folder) if "checkpoint" not in json.loads(line)]
    assert "There is no checkpoint" in verdict(folder, lines)[1]


def test_verifier__on_the_page__is_the_file(folder):
    answer = signed_in("ada").get(reverse("audit-verifier"))
    assert b"".join(answer.streaming_content) == VERIFIER.read_bytes()


# RFC 8032, 7.1: the second and third test vector.
VECTORS = [
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signature__vectors_of_the_rfc__are_verified(public, message, signature):
    assert is_signed(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@given(st.binary(max_size=80), st.integers(0, 95))
def test_signature__made_by_the_library__is_verified_until_a_byte_changes(message, place):
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key().public_bytes(*RAW), key.sign(message)
    assert is_signed(public, message, signature)
    changed = bytearray(public + signature)
    changed[place] ^= 1
    assert not is_signed(bytes(changed[:32]), message, bytes(changed[32:]))
