"""Passkeys (WebAuthn): the browser's side asks and answers in JSON, allauth and fido2 check it.

The challenge is kept in the session, counts once, and is taken away by whatever answer comes.
"""

import ipaddress
import json
from typing import Any

from allauth.core.context import request_context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from mlorch_site.accounts.models import User
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.sealing import seal, unseal

ANSWER_MAX_CHARS = 32_768
REFUSED = "The passkey was not accepted. Try once more."


class PasskeyAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth has no types
    """How people and this site are called by authenticators, and how secrets are kept."""

    def _get_site_name(self) -> str:
        return "mlorch"

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def _get_user_identifier(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text)


def why_none_here(request: HttpRequest) -> str:
    """Why the site's address has no passkeys; empty where they work."""
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        secure = request.is_secure() or host == "localhost" or host.endswith(".localhost")
        return "" if secure else "Passkeys need HTTPS."
    return "Passkeys need the site's name: they do not work at an address of numbers."


def registration_options(request: HttpRequest, user: User) -> dict[str, Any]:
    """What a browser is asked to make a passkey with."""
    from allauth.mfa.webauthn.internal import auth  # brings fido2, which the site starts without

    with request_context(request):
        return dict(auth.begin_registration(user, passwordless=True))


def passkey_made(request: HttpRequest, user: User, answer: str, name: str) -> Any:
    """Keep the passkey that the browser made. Raises Invalid when it is none, or answers another question."""
    from allauth.mfa.webauthn.internal import auth  # brings fido2, which the site starts without

    credential = _read(answer)
    with request_context(request):
        try:
            auth.complete_registration(credential)
        except (ValidationError, ValueError, TypeError, KeyError) as error:
            raise Invalid(REFUSED, details={"passkey": "not accepted"}) from error
        finally:
            auth.clear_state()
    return auth.WebAuthn.add(user, name, credential).instance


def proof_options(request: HttpRequest, user: User | None) -> dict[str, Any]:
    """What a browser is asked to prove a passkey with: one of `user`, or any that it has for this site."""
    from allauth.mfa.webauthn.internal import auth  # brings fido2, which the site starts without

    with request_context(request):
        return dict(auth.begin_authentication(user))


def passkey_owner(answer: str) -> User | None:
    """Whose passkey an answer says it is, before anything is proved."""
    from allauth.mfa.webauthn.internal import auth  # brings fido2, which the site starts without

    try:
        found = auth.extract_user_from_response(_read(answer))
    except (ValidationError, ValueError, TypeError, AttributeError):
        return None
    return found if isinstance(found, User) else None


def passkey_use(request: HttpRequest, user: User, answer: str) -> bool:
    """Whether the answer proves one of the person's passkeys. The question is not asked again, whatever it says."""
    from allauth.mfa.webauthn.internal import auth  # brings fido2, which the site starts without

    with request_context(request):
        try:
            row = auth.complete_authentication(user, _read(answer))
        except (ValidationError, ValueError, TypeError, KeyError, AttributeError):
            return False
        finally:
            auth.clear_state()
    row.record_usage()
    return True


def _read(answer: str) -> dict[str, Any]:
    """The browser's answer. Raises Invalid."""
    try:
        found = json.loads(answer[: ANSWER_MAX_CHARS + 1]) if len(answer) <= ANSWER_MAX_CHARS else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(REFUSED, details={"passkey": "not readable"})
    return found
