"""Recovery codes: for whoever lost the app and the passkeys. Shown once; only digests are kept; each works once."""

import base64
import hmac
import secrets

from allauth.mfa.models import Authenticator

from mlorch_site.accounts.models import User
from mlorch_site.lib import clock
from mlorch_site.lib.sealing import keyed_digest

COUNT = 10
BYTES = 10  # of chance in a code


def _digest(user: User, code: str) -> str:
    plain = "".join(code.split()).replace("-", "").lower()
    return keyed_digest(f"{user.pk}:{plain}")


def _make() -> str:
    text = base64.b32encode(secrets.token_bytes(BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def codes_renew(user: User) -> list[str]:
    """Replace a person's codes and return them; they cannot be shown again. Inside a transaction."""
    codes = [_make() for _ in range(COUNT)]
    kept = {"digests": [_digest(user, code) for code in codes]}
    Authenticator.objects.update_or_create(
        user=user,
        type=Authenticator.Type.RECOVERY_CODES,
        defaults={"data": kept, "created_at": clock.now(), "last_used_at": None},
    )
    return codes


def codes_left(user: User) -> int:
    """How many codes of a person were not used yet (reads the database)."""
    row = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(row.data["digests"]) if row else 0


def recovery_code_use(user: User, code: str) -> bool:
    """Whether `code` is one of the person's; it is not any more. Inside a transaction."""
    row = Authenticator.objects.select_for_update().filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    if row is None:
        return False
    given = _digest(user, code)
    left = [digest for digest in row.data["digests"] if not hmac.compare_digest(digest, given)]
    if len(left) == len(row.data["digests"]):
        return False
    row.data["digests"], row.last_used_at = left, clock.now()
    row.save(update_fields=["data", "last_used_at"])
    return True
