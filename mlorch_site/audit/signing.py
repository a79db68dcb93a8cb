"""The key that signs checkpoints: made once, readable by its owner only, never in the database."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from mlorch_site.lib.errors import Unavailable

KEY_FILE = "audit-signing-key.pem"
KEY_ID_CHARS = 16
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(public: Ed25519PublicKey) -> str:
    """The name of a key: the beginning of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public.public_bytes(*RAW)).hexdigest()[:KEY_ID_CHARS]


def public_pem(public: Ed25519PublicKey) -> str:
    """The public key as a file that OpenSSL and the stand-alone verifier read."""
    return public.public_bytes(*PEM).decode()


def key_path() -> Path:
    """Where the private key lies: the operator's file, or one in the data directory."""
    return Path(settings.AUDIT_KEY_FILE) if settings.AUDIT_KEY_FILE else settings.DATA_DIR / KEY_FILE


def signing_key_make() -> None:
    """Make a key of our own unless there is one, or the operator gave one. Raises OSError."""
    if not settings.AUDIT_KEY_FILE and not key_path().exists():
        _make(key_path())


def signing_key() -> Ed25519PrivateKey:
    """The private key. Raises Unavailable."""
    path = key_path()
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(
            f"The key that signs checkpoints, {path}, cannot be read ({type(error).__name__})."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(f"The key in {path} is not an Ed25519 key.")
    return key


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    try:
        os.link(temporary, path)  # whoever comes second keeps the first one's key
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def trusted_keys() -> dict[str, Ed25519PublicKey]:
    """Key id → public key of everybody whose checkpoints count: ours, and those the operator names as former ones.

    Raises Unavailable.
    """
    own = [signing_key().public_key()] if settings.AUDIT_KEY_FILE or key_path().exists() else []
    keys = [*own, *(_former_key(Path(path)) for path in settings.AUDIT_FORMER_KEYS)]
    return {key_id(key): key for key in keys}


def _former_key(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unavailable(f"The former key {path} cannot be read ({type(error).__name__}).") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unavailable(f"The former key in {path} is not an Ed25519 key.")
    return key


def is_signed(keys: Iterable[Ed25519PublicKey], signature: bytes, content: bytes) -> bool:
    """Whether one of the keys made the signature over `content`."""
    for key in keys:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return True
    return False
