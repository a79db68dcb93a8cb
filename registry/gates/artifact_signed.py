"""The files of the version were signed, in the form of OpenSSF model signing, with a key that an administrator
registered, and are what was signed.
"""

from collections.abc import Mapping
from typing import Any

from dataplane.wire.digest import digest_of
from mlorch_site.lib.errors import Invalid
from registry import artifacts
from registry.evidence.model_signature import (
    FILE,
    BadSignature,
    Bundle,
    differences,
    fingerprint_of,
    hint_of,
    public_key_of,
    read_bundle,
    signed_by,
    signed_files,
)
from registry.gates.base import Found, GateInput, erred, failed, passed
from registry.gates.parameters import GateParameter
from registry.models import SigningKey

LABEL = "Artifacts are signed"
HELP = (
    f"Beside the artifacts lies {FILE}, made by OpenSSF model signing with an elliptic curve key, and the key is one "
    "that an administrator registered. A changed, an added and a missing file fail."
)
PARAMETERS = {
    "key": GateParameter("text", "", "Name of the key that has to have signed; empty: any registered key."),
}
LOOKS_AT = ("digest",)
DEADLINE_S = 900
NAMED_MAX, SHOWN_MAX = 3, 100


def looked_at(given: GateInput) -> Mapping[str, Any]:
    """Which keys count now."""
    return {"keys": [[key.name, key.fingerprint] for key in _keys(given)]}


def _keys(given: GateInput) -> list[SigningKey]:
    wanted = given.parameters.get("key", "")
    rows = SigningKey.objects.filter(ended_at=None).order_by("fingerprint")
    return list(rows.filter(name=wanted) if wanted else rows)


def check(given: GateInput) -> Found:
    digest = given.version.digest
    root = artifacts.path_of(digest) if digest else None
    if root is None or not root.is_dir():
        return failed("The artifacts are not in the store, so their signature cannot be looked at.")
    keys = _keys(given)
    if not keys:
        named = f"There is no signing key {given.parameters['key']!r}" if given.parameters["key"] else "No signing key"
        words = named if given.parameters["key"] else f"{named} is registered"
        return erred(f"{words}, so nothing can be verified; an administrator adds one under Signing keys.")
    try:
        bundle = read_bundle(root)
        signer = _signer(bundle, keys)
        if signer is None:
            return failed(_stranger(bundle), hint=hint_of(bundle))
        signed = signed_files(bundle)
    except BadSignature as error:
        return failed(str(error))
    given.progress(f"comparing {len(signed)} files with what was signed")
    entries = artifacts.manifest_of(root)
    if digest_of(entries) != digest:
        return erred("The files in the store are not those of the digest any more.")
    return _compared(signer, signed, {entry.path: entry.sha256 for entry in entries})


def _signer(bundle: Bundle, keys: list[SigningKey]) -> SigningKey | None:
    by_fingerprint = {key.fingerprint: key for key in keys}
    known = []
    for key in keys:
        try:
            known.append(public_key_of(key.pem))
        except Invalid:  # a curve that an earlier version took
            continue
    found = signed_by(bundle, known)
    return by_fingerprint[fingerprint_of(found)] if found else None


def _stranger(bundle: Bundle) -> str:
    """The sentence about a signature that none of the keys made."""
    hint = hint_of(bundle)
    ended = SigningKey.objects.filter(fingerprint=hint).exclude(ended_at=None).order_by("-ended_at").first()
    if ended is not None and not SigningKey.objects.filter(fingerprint=hint, ended_at=None).exists():
        return f"It was signed with the key {ended.name}, which was ended on {ended.ended_at:%Y-%m-%d}."
    known = SigningKey.objects.filter(fingerprint=hint, ended_at=None).first()
    if known is not None:
        return f"The signature names the key {known.name}, but that key did not make it, or another one is wanted."
    return f"It was signed with a key that is not registered{f' ({hint[:16]}…)' if hint else ''}."


def _compared(signer: SigningKey, signed: dict[str, str], present: dict[str, str]) -> Found:
    changed, added, missing = differences(signed, present)
    evidence = {"key": signer.name, "fingerprint": signer.fingerprint, "files": len(signed)}
    problems = {"changed": changed, "added": added, "missing": missing}
    if not any(problems.values()):
        return passed(f"{len(signed)} files are as {signer.name} signed them.", **evidence)
    words = {"changed": "was changed", "added": "was added", "missing": "is missing"}
    said = [_said(paths, words[kind]) for kind, paths in problems.items() if paths]
    shown = {kind: paths[:SHOWN_MAX] for kind, paths in problems.items()}
    return failed(f"The files are not those that {signer.name} signed: {'; '.join(said)}.", **evidence, **shown)


def _said(paths: list[str], words: str) -> str:
    more = f" (and {len(paths) - NAMED_MAX} more)" if len(paths) > NAMED_MAX else ""
    return f"{', '.join(paths[:NAMED_MAX])} {words}{more}"
