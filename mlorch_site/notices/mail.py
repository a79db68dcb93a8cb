"""E-mail: written from what is true when it leaves, and handed to the mail server.

Nothing of what it says can become a header, and it carries no secret: a line about the thing, and the way to its page.
"""

import smtplib
import unicodedata
from email.headerregistry import Address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.utils import timezone

from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import zone_of
from mlorch_site.lib.errors import Unavailable
from mlorch_site.notices import limits
from mlorch_site.notices.kinds import DIGEST, TEST, kind_label, notice_kind
from mlorch_site.notices.models import Delivery, Notice
from mlorch_site.notices.selectors import why_not_told
from mlorch_site.notices.send_results import NothingToTell, RefusedForGood

SUBJECT_MAX_CHARS = 150
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # what could break a line, or turn the text around


def is_mail_configured() -> bool:
    """Whether there is a mail server to hand anything to."""
    return bool(settings.MAIL_IS_CONFIGURED)


def mail_send(delivery: Delivery) -> None:
    """Write the e-mail of a delivery and hand it over.

    Raises NothingToTell when nobody is to be told any more, RefusedForGood when the server says that it never will be
    taken, Unavailable when it may be later.
    """
    person = delivery.person
    if not is_mail_configured():
        raise Unavailable("No mail server is configured (MLORCH_SMTP_URL).")
    if person is None or not person.email:
        raise NothingToTell("The person has no e-mail address.")
    notices = [] if delivery.kind == TEST else _told(delivery)
    with timezone.override(zone_of(person)):
        message = _message(delivery, person, notices)
    _hand_over(message)


def _told(delivery: Delivery) -> list[Notice]:
    """The notices that the e-mail is still about. Raises NothingToTell with the reason when there is none."""
    rows = delivery.notices.select_related("person__notice_settings").order_by("created_at")
    reasons: list[str] = []
    told = []
    for notice in rows[: limits.DIGEST_ROWS]:
        is_done = delivery.kind == DIGEST and not notice.is_unread
        if reason := "It was read or done with already." if is_done else why_not_told(notice):
            reasons.append(reason)
        else:
            told.append(notice)
    if not told:
        raise NothingToTell(reasons[0] if len(set(reasons)) == 1 else "Nothing of it is to be told any more.")
    return told


def _message(delivery: Delivery, person: User, notices: list[Notice]) -> EmailMultiAlternatives:
    rows = [
        {
            "title": one_line(notice.title),
            "sentence": one_line(notice.sentence),
            "label": kind_label(notice.kind),
            "url": address_of(notice.path),
            "at": notice.created_at,
        }
        for notice in notices
    ]
    context = {"rows": rows, "person": person, "delivery": delivery, "settings_url": address_of("/notices/settings/")}
    message = EmailMultiAlternatives(
        subject=_subject(delivery, notices),
        body=render_to_string("notices/mail.txt", context),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[_mailbox(person)],
        headers={"Message-ID": f"<{delivery.pk}@{_host()}>", "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string("notices/mail.html", context), "text/html")
    return message


def _subject(delivery: Delivery, notices: list[Notice]) -> str:
    if delivery.kind == TEST:
        return "mlorch: a test of e-mail"
    if delivery.kind == DIGEST:
        waiting = sum(bool((kind := notice_kind(notice.kind)) and kind.waits) for notice in notices)
        things = f"{len(notices)} thing{'s' if len(notices) != 1 else ''}"
        return f"mlorch: {things}, {waiting} waiting for you"
    return one_line(f"mlorch: {kind_label(delivery.kind)}: {delivery.title}")[:SUBJECT_MAX_CHARS]


def one_line(text: str) -> str:
    """The text on one line, without characters that cannot be seen."""
    shown = "".join(" " if unicodedata.category(letter) in INVISIBLE else letter for letter in text)
    return " ".join(shown.split())


def address_of(path: str) -> str:
    """The whole address of a page of the site."""
    return str(settings.WEB_URL).rstrip("/") + path


def _host() -> str:
    return urlsplit(settings.WEB_URL).hostname or "localhost"


def _mailbox(person: User) -> str:
    """Name and address as a header takes them. Raises RefusedForGood when the address is none."""
    try:
        return str(Address(one_line(str(person)), addr_spec=person.email))
    except (ValueError, IndexError) as error:
        raise RefusedForGood(f"{person.username} has no valid e-mail address.") from error


def _hand_over(message: EmailMultiAlternatives) -> None:
    """Give the message to the mail server. Raises RefusedForGood or Unavailable with what it said."""
    connection: Any = get_connection(timeout=settings.MAIL_TIMEOUT_S)
    try:
        connection.send_messages([message])
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _verdict(code, said) from error
    except smtplib.SMTPAuthenticationError as error:
        raise Unavailable(f"The mail server refused the sign-in ({error.smtp_code}).") from error
    except smtplib.SMTPResponseException as error:
        raise _verdict(error.smtp_code, error.smtp_error) from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unavailable(f"The mail server could not be talked to ({type(error).__name__}).") from error


def _verdict(code: int, said: bytes | str) -> RefusedForGood | Unavailable:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    sentence = f"The mail server answered {code}: {one_line(text)}"[:400]
    return RefusedForGood(sentence) if code >= 500 else Unavailable(sentence)
