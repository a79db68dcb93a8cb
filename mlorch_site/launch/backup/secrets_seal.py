"""Secrets of an installation, sealed with a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM seals.

What they are sealed beside is authenticated with them: whoever changes the backup, and does not know the passphrase,
cannot make them open.
"""

import base64
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from mlorch_site.lib.errors import Invalid

PASSPHRASE_MIN_CHARS = 12
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32
COST, BLOCK, LANES = 2**16, 8, 1  # 64 MiB and some tenths of a second for each try


def passphrase_problem(passphrase: str) -> str:
    """Why a passphrase cannot be used, empty when it can."""
    if len(passphrase) < PASSPHRASE_MIN_CHARS:
        return f"A passphrase has at least {PASSPHRASE_MIN_CHARS} characters."
    return ""


def seal_files(files: dict[str, bytes], passphrase: str, beside: bytes) -> bytes:
    """The files, by name, as one sealed text that opens only beside the same `beside`."""
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    plain = json.dumps({name: _text(data) for name, data in files.items()}).encode()
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, beside)
    return json.dumps({"salt": _text(salt), "nonce": _text(nonce), "sealed": _text(sealed)}).encode()


def open_files(sealed: bytes, passphrase: str, beside: bytes) -> dict[str, bytes]:
    """What was sealed. Raises Invalid: the passphrase is another one, or something was changed."""
    try:
        told = {name: base64.b64decode(value, validate=True) for name, value in json.loads(sealed).items()}
        plain = AESGCM(_key(passphrase, told["salt"])).decrypt(told["nonce"], told["sealed"], beside)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Invalid("The sealed secrets are damaged.") from error
    except InvalidTag:
        raise Invalid(
            "The secrets do not open: the passphrase is another one, or the backup was changed after it was made."
        ) from None
    return {name: base64.b64decode(value) for name, value in json.loads(plain).items()}


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=COST, r=BLOCK, p=LANES).derive(passphrase.encode())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
