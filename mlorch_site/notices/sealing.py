"""Secrets that have to be read again, kept so that the database alone does not give them away."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from mlorch_site.lib.errors import Unavailable

PURPOSE = b"mlorch webhook secrets"


def seal(secret: str) -> str:
    """The secret under a key that is derived from DJANGO_SECRET_KEY."""
    return _box().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """The secret that was sealed. Raises Unavailable when DJANGO_SECRET_KEY is another one by now."""
    try:
        return _box().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unavailable(
            "The secret cannot be read: DJANGO_SECRET_KEY is another one than when it was made. Rotate the secret."
        ) from error


def _box() -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key))
