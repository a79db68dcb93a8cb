"""One-time codes of an authenticator app (TOTP, RFC 6238): the formula is allauth's, which code was used is kept here.

A code counts once, in whatever process: the row remembers the newest period of which a code was used.
"""

import hmac

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.utils.safestring import SafeString, mark_safe

from mlorch_site.accounts.models import User
from mlorch_site.lib import clock
from mlorch_site.lib.sealing import unseal

PERIOD_S = 30
TOLERANCE = 1  # periods that a clock may be wrong by
NEWEST_USED = "newest_used"


def secret_make() -> str:
    """A secret for an app to be set up with."""
    return str(generate_totp_secret())


def setup_picture(user: User, secret: str) -> tuple[SafeString, str]:
    """The address an app is set up with, as a picture and as text."""
    adapter = get_adapter()
    url = adapter.build_totp_url(user, secret)
    svg = adapter.build_totp_svg(url)
    return mark_safe(svg[svg.index("<svg") :]), url  # noqa: S308 - drawn by qrcode out of the address


def period_of(secret: str, code: str, after: int = -1) -> int | None:
    """The period whose code `code` is, near the present one and later than `after`; None when it is of none."""
    present = int(clock.now().timestamp()) // PERIOD_S
    found = None
    for period in range(present - TOLERANCE, present + TOLERANCE + 1):
        is_it = hmac.compare_digest(format_hotp_value(hotp_value(secret, period)).encode(), code.encode())
        found = period if is_it and period > after else found
    return found


def app_add(user: User, secret: str, used: int) -> Authenticator:
    """Keep the secret of a person's app, sealed, with the period whose code proved it."""
    row = TOTP.activate(user, secret).instance
    row.data[NEWEST_USED] = used
    row.save(update_fields=["data"])
    return row


def code_use(user: User, code: str) -> bool:
    """Whether `code` is one of the person's app that was not used yet; from now on it was. Inside a transaction."""
    row = Authenticator.objects.select_for_update().filter(user=user, type=Authenticator.Type.TOTP).first()
    period = period_of(unseal(row.data["secret"]), code, row.data.get(NEWEST_USED, -1)) if row else None
    if row is None or period is None:
        return False
    row.data[NEWEST_USED], row.last_used_at = period, clock.now()
    row.save(update_fields=["data", "last_used_at"])
    return True
