"""Model cards as pages, REST and releases read them. Everything here reads the database."""

from dataclasses import dataclass, field
from typing import Any

from mlorch_site.lib.errors import NotFound
from registry.cards.card_comparison import CardDifference, compare_cards
from registry.cards.card_content import CARD_FIELDS, CardField, missing_fields
from registry.cards.card_document import card_document
from registry.models import ArtifactSet, CardRevision, Version

README = "readme"  # the key of an artifact set's facts


def card_in_force(version: Version) -> CardRevision | None:
    """The newest revision of a version's card, None when it has no card."""
    return version.card_revisions.select_related("author", "version__model").first()


def card_revision(version: Version, number: int) -> CardRevision:
    """One revision of a version's card. Raises NotFound."""
    found = version.card_revisions.select_related("author", "version__model").filter(number=number).first()
    if found is None:
        raise NotFound(f"The card of {version} has no revision {number}.")
    return found


def card_said(version: Version) -> dict[str, str]:
    """What the card in force says of the standard schema: name → text, those that say nothing left out."""
    card = card_in_force(version) if version.pk else None
    said = {one.name: card.content[one.name] for one in CARD_FIELDS if one.required} if card else {}
    return {name: text for name, text in said.items() if text}


def readme_of(version: Version) -> str:
    """The README.md among a version's files, empty when there is none. Whoever registered the version wrote it."""
    rows = ArtifactSet.objects.filter(pk=version.digest) if version.digest else ArtifactSet.objects.none()
    facts = rows.values_list("facts", flat=True).first() or {}
    return str(facts.get(README, ""))


def document_of(card: CardRevision) -> str:
    """A revision as a document for Hugging Face, and for everybody who reads Markdown."""
    version = card.version
    about = {"model": version.model.name, "version": version.number, "revision": card.number}
    about |= {"files": card.files_digest} if card.files_digest else {}
    return card_document(title=str(version), about=about, content=card.content)


def frozen_card(version: Version) -> dict[str, Any] | None:
    """What a release freezes of the card that is in force when it is requested."""
    card = card_in_force(version)
    return {"revision": card.number, "digest": card.digest} if card else None


@dataclass(frozen=True)
class CardEvidence:
    """The card that a release froze, None when there was none, and what became of it since."""

    frozen: CardRevision | None
    newest: CardRevision | None
    missing: list[CardField] = field(default_factory=list)
    differences: list[CardDifference] = field(default_factory=list)

    @property
    def is_of_other_files(self) -> bool:
        """Whether it was written for other files than the version has."""
        return self.frozen is not None and self.frozen.files_digest != self.frozen.version.digest

    @property
    def is_changed(self) -> bool:
        """Whether another revision is in force than the one that was frozen."""
        return self.newest is not None and (self.frozen is None or self.frozen.pk != self.newest.pk)


def card_evidence(version: Version, frozen: dict[str, Any] | None) -> CardEvidence:
    """What a release that froze `frozen` shows of its version's card."""
    rows = version.card_revisions.select_related("author", "version")
    then = rows.filter(number=frozen["revision"], digest=frozen["digest"]).first() if frozen else None
    newest = rows.first()
    return CardEvidence(
        frozen=then,
        newest=newest,
        missing=missing_fields(then.content) if then else [],
        differences=compare_cards(then.content, newest.content) if then and newest and then.pk != newest.pk else [],
    )
