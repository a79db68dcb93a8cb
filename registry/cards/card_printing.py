"""A card on paper: the HTML that browsers print, and the PDF that a process of its own makes of it."""

import os
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from mlorch_site.lib.markdown import render
from registry.cards.card_content import CARD_FIELDS, FieldKind, missing_fields, type_Content
from registry.cards.card_printer import MISSING
from registry.models import CardRevision

PRINT_WITHIN_S = 120
PDF_MAX_BYTES = 20 * 1024 * 1024
STYLE = settings.BASE_DIR / "static" / "css" / "card-print.css"
NO_PANGO = (
    "PDF cannot be made here: WeasyPrint does not find Pango. On Debian: apt-get install libpango-1.0-0 "
    "libpangoft2-1.0-0 libharfbuzz-subset0. The print view needs nothing."
)


class NotPrinted(Exception):
    """The PDF could not be made; the text says why, for people."""


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
    command = [sys.executable, "-m", "registry.cards.card_printer", str(STYLE)]
    env = {"PATH": os.defpath, "PYTHONPATH": str(settings.BASE_DIR), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    page = print_page(card, is_pdf=True).encode()
    try:
        done = subprocess.run(
            command, input=page, env=env, cwd="/", capture_output=True, timeout=PRINT_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotPrinted(f"The PDF was not made within {PRINT_WITHIN_S} s.") from None
    if done.returncode == MISSING:
        raise NotPrinted(NO_PANGO)
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise NotPrinted(f"The PDF could not be made: its process ended with {done.returncode}.")
    if len(done.stdout) > PDF_MAX_BYTES:
        raise NotPrinted(f"The PDF is larger than {PDF_MAX_BYTES >> 20} MiB.")
    return done.stdout
