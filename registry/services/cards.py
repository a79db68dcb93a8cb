"""Model cards: each saving is a revision, and nobody's is lost."""

from typing import Any

from django.db import IntegrityError, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import TaskName, enqueue_on_commit
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.readable import is_text
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.cards.card_content import card_digest, read_content
from registry.cards.selectors import card_in_force
from registry.models import CardPdf, CardRevision, Version

CARD_NOTE_MAX_CHARS = 300
PRINT_CARD = TaskName("registry.print_card", "work")


class CardRevisedMeanwhile(Conflict):
    """Another revision is in force than the one that a change started from."""

    def __init__(self, based_on: int, newest: CardRevision | None) -> None:
        number, by = (newest.number, newest.author.username) if newest else (0, "nobody")
        at = f" at {newest.at:%Y-%m-%d %H:%M:%S} UTC" if newest else ""
        super().__init__(
            f"Revision {number} of the card was saved by {by}{at}, and yours started from revision {based_on}. Look at "
            "what differs, then save again.",
            code="revised_meanwhile",
            details={"based_on": based_on, "in_force": number, "saved_by": by},
        )


@transaction.atomic
def card_save(
    *, actor: Actor, version: Version, content: dict[str, Any], based_on: int, note: str = ""
) -> CardRevision:
    """Save the next revision of a version's card; `based_on` is the number of the one that was changed, 0 for none.

    Saving what is there already is harmless. Raises Invalid with a sentence for each field, Forbidden, and
    CardRevisedMeanwhile when somebody else saved first.
    """
    actor.require(Action.MODEL_EDIT, [version.model.scope])
    if actor.user is None:
        raise Forbidden("A card is written by a person.")
    clean = read_content(content)
    if len(note) > CARD_NOTE_MAX_CHARS or not is_text(note):
        text = f"What was changed is said in {CARD_NOTE_MAX_CHARS} characters at most."
        raise Invalid(text, details={"note": text})
    newest = card_in_force(version)
    digest = card_digest(clean)
    if newest is not None and newest.digest == digest:
        return newest
    if (newest.number if newest else 0) != based_on:
        raise CardRevisedMeanwhile(based_on, newest)
    values = {"content": clean, "digest": digest, "files_digest": version.digest, "note": note.strip()}
    card = _insert(version, based_on, author=actor.user, at=clock.now(), **values)
    data = {"revision": card.number, "digest": digest}
    audit_record(actor, "card.saved", audit_subjects.of_version(version), reason=card.note, data=data)
    publish("registry", "version.changed", {"model": version.model.name, "version": version.number})
    return card


def _insert(version: Version, based_on: int, **values: Any) -> CardRevision:
    """The next revision; whoever comes second finds its number taken."""
    try:
        with transaction.atomic():
            return CardRevision.objects.create(version=version, number=based_on + 1, **values)
    except IntegrityError:
        raise CardRevisedMeanwhile(based_on, card_in_force(version)) from None


@transaction.atomic
def card_pdf_want(*, actor: Actor, card: CardRevision) -> CardPdf:
    """Want a revision as a PDF: the work queue makes it. Asking again is harmless; after a failure it is tried anew."""
    actor.require_write()
    now = clock.now()
    pdf, _ = CardPdf.objects.select_for_update().get_or_create(revision=card, defaults={"asked_at": now, "due_at": now})
    if pdf.error:
        CardPdf.objects.filter(pk=pdf.pk).update(error="", asked_at=now, due_at=now)
        pdf.refresh_from_db()
    if pdf.due_at is not None:
        enqueue_on_commit(PRINT_CARD, str(pdf.pk))
    return pdf


@transaction.atomic
def card_pdf_made(*, pdf: CardPdf, data: bytes) -> None:
    """Keep a PDF that was made. An observation: a copy of what is there already."""
    CardPdf.objects.filter(pk=pdf.pk).update(data=data, made_at=clock.now(), due_at=None, error="")
    _told(pdf)


@transaction.atomic
def card_pdf_failed(*, pdf: CardPdf, error: str) -> None:
    """Note why a PDF could not be made; it is tried again when somebody asks."""
    CardPdf.objects.filter(pk=pdf.pk).update(error=error[:500], due_at=None)
    _told(pdf)


def _told(pdf: CardPdf) -> None:
    version = pdf.revision.version
    publish("registry", "version.changed", {"model": version.model.name, "version": version.number})
