"""What everybody on the first page should know of how people came in (reads the database)."""

from datetime import timedelta

from django.conf import settings

from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock

TOLD_FOR = timedelta(days=7)
EMERGENCY = "session.begun_in_emergency"


def break_glass_notices() -> list[str]:
    """A sentence when the break-glass password was used lately; nothing is read where there is no such account."""
    if not settings.BREAK_GLASS:
        return []
    uses = AuditRecord.objects.filter(action=EMERGENCY, at__gte=clock.now() - TOLD_FOR).order_by("-sequence")
    newest = uses.first()
    if newest is None:
        return []
    times = uses.count()
    often = "once" if times == 1 else f"{times} times"
    return [
        f"{newest.actor} signed in with the break-glass password on {newest.at:%Y-%m-%d at %H:%M} UTC, "
        f"{often} in {TOLD_FOR.days} days."
    ]
