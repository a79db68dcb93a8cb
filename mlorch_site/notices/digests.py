"""The daily digest: what waits for one person's, put into one e-mail."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.lib.swap import swap
from mlorch_site.notices.kinds import DIGEST
from mlorch_site.notices.lifecycle import Channel
from mlorch_site.notices.mail import is_mail_configured
from mlorch_site.notices.models import Delivery, Notice, NoticeSettings


def digests_due(now: datetime) -> QuerySet[NoticeSettings]:
    """The people whose digest is to leave."""
    return NoticeSettings.objects.filter(digest_due_at__lte=now)


def digests_make(*, now: datetime) -> int:
    """Plan the digests that are due; return how many. Each leaves once, whoever asks at the same time."""
    return sum(_digest_make(due, now) for due in digests_due(now).select_related("person"))


@transaction.atomic
def _digest_make(due: NoticeSettings, now: datetime) -> int:
    if not swap(due, "digest_due_at", digest_due_at=None):
        return 0
    waiting = Notice.objects.filter(person=due.person, wants_digest=True, mail=None)
    if not is_mail_configured() or not due.person.email or not waiting.exists():
        waiting.update(wants_digest=False)
        return 0
    made = Delivery.objects.create(
        channel=Channel.MAIL,
        person=due.person,
        kind=DIGEST,
        thing=now.strftime("%Y-%m-%d"),
        title=f"Daily digest of {now:%Y-%m-%d}",
        created_at=now,
        due_at=now,
    )
    waiting.update(mail=made, wants_digest=False)
    return 1
