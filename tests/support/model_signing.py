"""Sign the files of a model in the form of OpenSSF model signing."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dataplane.wire.digest import manifest

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pem_of(key: Any) -> str:
    """The public half of a key in PEM form."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def statement(root: Path, **changes: Any) -> dict[str, Any]:
    """What the standard's tool would sign of a folder."""
    entries = [entry for entry in manifest(root) if entry.path != "model.sig"]
    whole = hashlib.sha256(b"".join(bytes.fromhex(entry.sha256) for entry in entries)).hexdigest()
    resources = [{"name": entry.path, "algorithm": "sha256", "digest": entry.sha256} for entry in entries]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "m", "digest": {"sha256": whole}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": {"method": "files", "hash_type": "sha256"}, "resources": resources},
        **changes,
    }


def sign(
    root: Path, private: Any, value: dict[str, Any], *, payload_type: str = PAYLOAD_TYPE, said_type: str = ""
) -> None:
    """Put the signature of a statement beside the files."""
    payload = json.dumps(value).encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type.encode(), len(payload), payload)
    signature = private.sign(signed, ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": said_type or payload_type,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    hint = hashlib.sha256(pem_of(private).encode()).hexdigest()
    bundle = {"verificationMaterial": {"publicKey": {"hint": hint}}, "dsseEnvelope": envelope}
    (root / "model.sig").write_text(json.dumps(bundle))
