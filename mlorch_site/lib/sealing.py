"""Secrets that the database keeps, sealed with a key out of the site's own: a copy of the rows opens nothing."""

import base64
import hashlib
import hmac

from django.conf import settings

from mlorch_site.lib.errors import Unavailable


def _key(purpose: str) -> bytes:
    return hmac.new(settings.SECRET_KEY.encode(), f"mlorch.sealing.{purpose}".encode(), hashlib.sha256).digest()


def seal(text: str) -> str:
    """Return `text` as the database may keep it."""
    # Imported when a secret is opened, and not with the site.
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(_key("seal"))).encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed. Raises Unavailable when the site's key is another one than it was then."""
    from cryptography.fernet import Fernet, InvalidToken  # opened seldom, and the site starts without it

    try:
        return Fernet(base64.urlsafe_b64encode(_key("seal"))).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unavailable(
            "DJANGO_SECRET_KEY is another one than when this secret was kept; set the secret anew."
        ) from error


def keyed_digest(text: str) -> str:
    """The digest under which a code is kept: without the site's key nobody can try codes against it."""
    return hmac.new(_key("digest"), text.encode(), hashlib.sha256).hexdigest()
