"""A card on paper: the HTML that browsers print, and the PDF that a process of its own makes of it."""

from typing import Any

from django.template.loader import render_to_string

from mlorch_site.lib import paper
from mlorch_site.lib.markdown import render
from registry.cards.card_content import CARD_FIELDS, FieldKind, missing_fields, type_Content
from registry.models import CardRevision


def shown(content: type_Content) -> dict[str, Any]:
    """What a template needs of a card's content: short fields, sections as HTML, results, and what is missing. The
    headings inside of sections begin at ###, which is what stands below the section's own <h2>.
    """
    missing = {field.name for field in missing_fields(content)}
    short = [
        (field, ", ".join(content[field.name]) if field.kind is FieldKind.LIST else content[field.name])
        for field in CARD_FIELDS
        if field.kind in (FieldKind.LINE, FieldKind.CHOICE, FieldKind.LIST)
    ]
    sections = [
        (field, render(content[field.name], heading_first=1))
        for field in CARD_FIELDS
        if field.kind is FieldKind.SECTION and (content[field.name] or field.name in missing)
    ]
    return {
        "short": [(field, text) for field, text in short if text or field.name in missing],
        "sections": sections,
        "results": content["results"],
        "missing": missing_fields(content),
        "extra": sorted(content["extra"]),
    }


def print_page(card: CardRevision, *, is_pdf: bool) -> str:
    """The page of a revision for paper; for a PDF without anything that has to be fetched."""
    context = {"card": card, "version": card.version, "is_pdf": is_pdf, **shown(card.content)}
    return render_to_string("registry/card_print.html", context)


def printed(card: CardRevision) -> bytes:
    """A revision as PDF/UA. Raises NotPrinted."""
    return paper.printed(print_page(card, is_pdf=True))
