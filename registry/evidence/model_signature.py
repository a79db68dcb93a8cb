"""Signatures of models in the form of OpenSSF model signing 1.0, made with a key: which key, and of which files.

The file `model.sig` is a Sigstore bundle with a DSSE envelope, whose payload is an in-toto statement that names each
file with its SHA-256. The same files have the same hashes in mlorch's manifest, so that nothing of the model is opened.
Only elliptic curve keys are taken, as the standard's tool makes them.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, field

from dataplane.wire import shapes
from dataplane.wire.shapes import Malformed
from mlorch_site.lib.errors import Invalid

if TYPE_CHECKING:  # the site knows the gates and starts without cryptography; functions import it where they use it
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

FILE = "model.sig"
FILE_MAX_BYTES = 4 * 1024 * 1024
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}  # curve → hash
FILES_MAX = 100_000


class BadSignature(Exception):
    """The signature does not hold; the text says why."""


class Envelope(Struct):
    """What is signed, as base64, and the signatures of it."""

    payload: Annotated[str, Meta(max_length=FILE_MAX_BYTES)]
    payloadType: str
    signatures: Annotated[list[dict[str, str]], Meta(min_length=1, max_length=10)]


class Bundle(Struct):
    """The file, as far as it is read."""

    dsseEnvelope: Envelope
    verificationMaterial: dict[str, Any] = {}


class Resource(Struct):
    """One file with its hash."""

    name: Annotated[str, Meta(max_length=4_096)]
    algorithm: str
    digest: Annotated[str, Meta(max_length=200)]


class Serialization(Struct):
    """How files were hashed. Which of them the signer left out is not believed: a file that is not named is one that
    was added.
    """

    method: Literal["files"]
    hash_type: str = ""


class Predicate(Struct):
    serialization: Serialization
    resources: Annotated[list[Resource], Meta(min_length=1, max_length=FILES_MAX)]


class StatementSubject(Struct):
    digest: dict[str, str]


class Statement(Struct):
    """Which files were signed."""

    type: str = field(name="_type")
    predicateType: str
    subject: Annotated[list[StatementSubject], Meta(min_length=1, max_length=1)]
    predicate: Predicate


def public_key_of(pem: str) -> "EllipticCurvePublicKey":
    """The key that a PEM text holds. Raises Invalid at the field `pem`."""
    from cryptography.exceptions import UnsupportedAlgorithm  # not with the site
    from cryptography.hazmat.primitives.asymmetric import ec  # not with the site
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # not with the site

    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        sentence = "This is no public key in PEM form (BEGIN PUBLIC KEY)."
        raise Invalid(sentence, details={"pem": sentence}) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        sentence = f"Only elliptic curve keys on {', '.join(CURVES)} are taken."
        raise Invalid(sentence, details={"pem": sentence})
    return key


def fingerprint_of(key: "EllipticCurvePublicKey") -> str:
    """The SHA-256 of a key's PEM form: the hint that signatures carry."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # not with the site

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_bundle(root: Path) -> Bundle:
    """The bundle beside the files of a version. Raises BadSignature when there is none, or it cannot be read."""
    path = root / FILE
    try:
        if not path.is_file() or path.is_symlink():
            raise BadSignature(f"There is no signature: no file {FILE} lies beside the artifacts.")
        with open(path, "rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise BadSignature(f"{FILE} cannot be read: {error.strerror}.") from error
    if len(raw) > FILE_MAX_BYTES:
        raise BadSignature(f"{FILE} is larger than {FILE_MAX_BYTES >> 20} MiB.")
    try:
        return shapes.read(Bundle, raw)
    except Malformed as error:
        raise BadSignature(f"{FILE} is no signature in the form of OpenSSF model signing: {error}.") from error


def hint_of(bundle: Bundle) -> str:
    """The fingerprint of the key that a bundle says it was made with, empty when it says none."""
    named = bundle.verificationMaterial.get("publicKey")
    return str(named.get("hint", ""))[:200] if isinstance(named, dict) else ""


def signed_by(bundle: Bundle, keys: Iterable["EllipticCurvePublicKey"]) -> "EllipticCurvePublicKey | None":
    """Which of the keys signed the bundle's payload, None when none of them did. Raises BadSignature."""
    from cryptography.exceptions import InvalidSignature  # not with the site
    from cryptography.hazmat.primitives import hashes  # not with the site
    from cryptography.hazmat.primitives.asymmetric import ec  # not with the site

    envelope = bundle.dsseEnvelope
    if envelope.payloadType != PAYLOAD_TYPE:
        raise BadSignature("The signature is about something else than an in-toto statement.")
    signed = _encoded(envelope.payloadType, _decoded(envelope.payload))
    signatures = [_decoded(one.get("sig", "")) for one in envelope.signatures]
    for key in keys:
        for signature in signatures:
            try:
                key.verify(signature, signed, ec.ECDSA(getattr(hashes, CURVES[key.curve.name])()))
            except InvalidSignature:
                continue
            return key
    return None


def signed_files(bundle: Bundle) -> dict[str, str]:
    """Path → SHA-256 of what was signed. To be asked once it is known who signed. Raises BadSignature."""
    try:
        found = shapes.read(Statement, _decoded(bundle.dsseEnvelope.payload))
    except Malformed as error:
        raise BadSignature(f"What was signed is not a list of files: {error}.") from error
    if found.type != STATEMENT or found.predicateType != PREDICATE:
        raise BadSignature(f"What was signed is not a model: {found.predicateType[:100]}.")
    files: dict[str, str] = {}
    whole = hashlib.sha256()
    for resource in found.predicate.resources:
        if resource.algorithm != "sha256":
            raise BadSignature(f"The files were hashed with {resource.algorithm[:30]}; only sha256 is compared.")
        if resource.name in files:
            raise BadSignature(f"{resource.name[:200]} was signed twice.")
        files[resource.name] = resource.digest.lower()
        whole.update(_bytes_of_hex(resource.digest))
    if whole.hexdigest() != found.subject[0].digest.get("sha256"):
        raise BadSignature("The signed list of files contradicts its own digest.")
    return files


def _bytes_of_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadSignature("A hash in the signed list is none.") from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSignature(f"{FILE} holds something that is no base64.") from error


def _encoded(payload_type: str, payload: bytes) -> bytes:
    """What is really signed: DSSE's encoding, which keeps a payload of one type from being taken for another."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def differences(signed: dict[str, str], present: dict[str, str]) -> tuple[list[str], list[str], list[str]]:
    """Files that changed, were added, and are missing, sorted. The signature itself is not among the signed."""
    there = {path: digest for path, digest in present.items() if path != FILE}
    changed = sorted(path for path in signed.keys() & there.keys() if signed[path] != there[path])
    return changed, sorted(there.keys() - signed.keys()), sorted(signed.keys() - there.keys())
