"""Pages of model cards: read, written with a preview, compared, imported, exported and printed."""

import json
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.http import status_of
from mlorch_site.lib.lists import listed
from mlorch_site.lib.readable import read_json, whole_number
from registry import services
from registry.cards.card_comparison import compare_cards
from registry.cards.card_content import (
    CARD_FIELDS,
    EXTRA,
    CardField,
    FieldKind,
    read_content,
    result_line,
    type_Content,
    written_list,
    written_results,
)
from registry.cards.card_document import ReadCard, read_document
from registry.cards.card_prefill import fitting, prefilled
from registry.cards.card_printing import print_page, shown
from registry.cards.selectors import card_in_force, card_revision, document_of, readme_of
from registry.lifecycle import RiskTier
from registry.models import CardPdf, CardRevision, Version
from registry.selectors import version_for


def _version(request: HttpRequest, name: str, number: int, action: Action = Action.VIEW) -> Version:
    row = whole_number(request.GET.get("row", ""))
    return version_for(actor_of(request), name, number, row=row, action=action, gone=True)


def _asked_revision(request: HttpRequest, version: Version) -> CardRevision | None:
    """The revision that the address names, else the one in force; None for a version without a card."""
    asked = request.GET.get("revision", "")
    if not asked:
        return card_in_force(version)
    number = whole_number(asked)
    if number is None:
        raise NotFound(f"The card of {version} has no revision {asked[:20]}.")
    return card_revision(version, number)


def _needed_revision(request: HttpRequest, version: Version) -> CardRevision:
    card = _asked_revision(request, version)
    if card is None:
        raise NotFound(f"{version} has no card yet.")
    return card


@requires(Action.VIEW)
def card(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show the card of a version; without one, what MLflow says, as a proposal."""
    found = _version(request, name, number)
    revision = _asked_revision(request, found)
    newest = card_in_force(found)
    context = {
        "version": found,
        "card": revision,
        "newest": newest,
        "pdf": CardPdf.objects.filter(revision=revision).defer("data").first() if revision else None,
        "why_not_edit": actor_of(request).why_not(Action.MODEL_EDIT, [found.model.scope]),
        "other_tier": _other_tier(found, revision),
        **shown(revision.content if revision else prefilled(found)),
    }
    return render_page(request, "registry/card.html", "registry/_card.html", context)


def _other_tier(version: Version, revision: CardRevision | None) -> str:
    """The model's risk tier when the card names another one."""
    said = revision.content["risk_tier"] if revision else ""
    return version.model.risk_tier if said not in ("", version.model.risk_tier) else ""


@dataclass(frozen=True)
class FormRow:
    """A field of the form with what is written in it and what is wrong with that."""

    field: CardField
    text: str
    problem: str


def _form_rows(texts: dict[str, str], problems: dict[str, str]) -> list[FormRow]:
    return [FormRow(field, texts.get(field.name, ""), problems.get(field.name, "")) for field in CARD_FIELDS]


def _texts(content: type_Content) -> dict[str, str]:
    """The content as the form's fields hold it."""
    texts = {}
    for field in CARD_FIELDS:
        value = content[field.name]
        if field.kind is FieldKind.LIST:
            texts[field.name] = ", ".join(value)
        elif field.kind is FieldKind.RESULTS:
            texts[field.name] = "\n".join(result_line(row) for row in value)
        else:
            texts[field.name] = value
    texts[EXTRA] = json.dumps(content[EXTRA], ensure_ascii=False)
    return texts


def _written(given: QueryDict) -> type_Content:
    """The content that the form says, not checked yet. Raises Invalid for what cannot be read."""
    try:
        content: type_Content = {EXTRA: read_json(given.get(EXTRA, "{}").encode())}
    except ValueError as error:
        raise Invalid(f"The other front matter cannot be read: {error}.", details={EXTRA: str(error)}) from error
    for field in CARD_FIELDS:
        text = given.get(field.name, "").replace("\r\n", "\n")
        if field.kind is FieldKind.LIST:
            content[field.name] = written_list(text)
        elif field.kind is FieldKind.RESULTS:
            try:
                content[field.name] = written_results(text)
            except ValueError as error:
                raise Invalid(str(error), details={field.name: str(error)}) from error
        else:
            content[field.name] = text
    return content


def _edit_page(request: HttpRequest, version: Version, texts: dict[str, str], **more: Any) -> HttpResponse:
    problems = more.pop("problems", {})
    status = more.pop("status", 200)
    context = {
        "version": version,
        "rows": _form_rows(texts, problems),
        "extra": texts.get(EXTRA, "{}"),
        "extra_problem": problems.get(EXTRA, ""),
        "tiers": [tier.value for tier in RiskTier],
        "has_readme": bool(readme_of(version)),
        **more,
    }
    return render(request, "registry/card_edit.html", context, status=status)


@requires(Action.MODEL_EDIT)
def card_edit(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The form of a card, and its saving; whatever goes wrong, what was written stays in it."""
    found = _version(request, name, number, Action.MODEL_EDIT)
    newest = card_in_force(found)
    if request.method != "POST":
        content = newest.content if newest else prefilled(found)
        return _edit_page(request, found, _texts(content), based_on=newest.number if newest else 0, newest=newest)
    given = request.POST
    based_on = whole_number(given.get("based_on", "")) or 0
    try:
        content = _written(given)
        saved = services.card_save(
            actor=actor_of(request), version=found, content=content, based_on=based_on, note=given.get("note", "")
        )
    except (Invalid, services.CardRevisedMeanwhile) as error:
        return _not_saved(request, found, based_on, error)
    messages.success(request, f"Saved as revision {saved.number}.")
    return redirect_to(request, _address(found))


def _not_saved(
    request: HttpRequest, version: Version, based_on: int, error: Invalid | services.CardRevisedMeanwhile
) -> HttpResponse:
    note, newest = request.POST.get("note", ""), card_in_force(version)
    if not isinstance(error, services.CardRevisedMeanwhile) or newest is None:
        texts, problem = request.POST.dict(), "Nothing is saved yet; see the fields below."
        more = {"based_on": based_on, "newest": newest, "note": note, "problem": problem}
        return _edit_page(request, version, texts, problems=error.details, status=status_of(error), **more)
    base = card_revision(version, based_on).content if based_on else prefilled(version)
    texts, both = _merged(_texts(base), request.POST.dict(), _texts(newest.content))
    said = f"{newest.author.username} changed this too, as is shown above; what is written here replaces it."
    return _edit_page(
        request,
        version,
        texts,
        problems=dict.fromkeys(both, said),
        problem=error.message,
        theirs=compare_cards(base, newest.content),
        note=note,
        based_on=newest.number,  # whoever has seen what others saved goes on from that
        newest=newest,
        status=status_of(error),
    )


def _merged(base: dict[str, str], mine: dict[str, str], theirs: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The form after somebody else saved: fields that only one of the two changed hold that change, and where both
    did, what is written here stays. The second list names those.
    """
    texts, both = dict(mine), []
    for name, old in base.items():
        written = mine.get(name, "").replace("\r\n", "\n").strip()
        if written == old.strip():
            texts[name] = theirs[name]
        elif theirs[name] not in (old, written):
            both.append(name)
    return texts, both


def _address(version: Version, route: str = "card", **query: int) -> str:
    """An address of the card; of a version whose number was given again it says which row is meant."""
    url = reverse(route, args=[version.model.name, version.number])
    asked = {**({"row": version.pk} if version.superseded_at else {}), **query}
    return f"{url}?{'&'.join(f'{key}={value}' for key, value in asked.items())}" if asked else url


@requires(Action.MODEL_EDIT)
@require_POST
def card_preview(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """What the form would show, as far as it can be taken; nothing is written."""
    found = _version(request, name, number, Action.MODEL_EDIT)
    problem, content = "", None
    try:
        content = read_content(_written(request.POST))
    except Invalid as error:
        problem = error.message
    context = {"version": found, "problem": problem, **(shown(content) if content is not None else {})}
    return render(request, "registry/_card_preview.html", context)


@requires(Action.MODEL_EDIT)
@require_POST
def card_import(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Fill the form with a document, or with the README of the version's files. Nothing is saved; fields about which
    the document says nothing stay as they are written.
    """
    found = _version(request, name, number, Action.MODEL_EDIT)
    is_readme = "readme" in request.POST
    more: dict[str, Any] = {
        "based_on": whole_number(request.POST.get("based_on", "")) or 0,
        "newest": card_in_force(found),
        "note": request.POST.get("note", ""),
        "document": request.POST.get("document", ""),
    }
    try:
        read = read_document(readme_of(found) if is_readme else more["document"])
    except Invalid as error:
        texts = request.POST.dict()
        return _edit_page(request, found, texts, document_problem=error.message, status=status_of(error), **more)
    content = fitting(read.content)
    said = {key: text for key, text in _texts(content).items() if text not in ("", "{}")}
    source = "README.md of the version's files" if is_readme else "the document"
    more |= {"imported": source, "notes": _import_notes(read, content), "document": ""}
    return _edit_page(request, found, {**request.POST.dict(), **said}, **more)


def _import_notes(read: ReadCard, content: type_Content) -> list[str]:
    """What of a document was not understood, not taken, or has no field in the form."""
    lost = [field.label for field in CARD_FIELDS if read.content[field.name] and not content[field.name]]
    kept = [f"Kept beside the fields: {', '.join(sorted(content[EXTRA]))}."] if content[EXTRA] else []
    return [*read.notes, *(f"{label} could not be taken." for label in lost), *kept]


@requires(Action.VIEW)
def card_revisions(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """List the revisions of a card, and what differs between two of them."""
    found = _version(request, name, number)
    context = listed(request, found.card_revisions.select_related("author").defer("content"))
    newest = card_in_force(found)
    pair = [whole_number(request.GET.get(key, "")) for key in ("before", "after")]
    if newest is not None and pair == [None, None]:
        pair = [newest.number - 1 or None, newest.number]
    before, after = (card_revision(found, one) if one else None for one in pair)
    context |= {
        "version": found,
        "before": before,
        "after": after,
        "differences": compare_cards(before.content, after.content) if before and after else None,
    }
    return render(request, "registry/card_revisions.html", context)


@requires(Action.VIEW)
def card_export(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The card as a Markdown file with YAML front matter."""
    revision = _needed_revision(request, _version(request, name, number))
    return _file(document_of(revision).encode(), "text/markdown; charset=utf-8", revision, "md")


@requires(Action.VIEW)
def card_print(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The card as a page for paper."""
    return HttpResponse(print_page(_needed_revision(request, _version(request, name, number)), is_pdf=False))


@requires(Action.VIEW)
def card_pdf(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The card as PDF/UA: asked for by POST, and given when it is made."""
    found = _version(request, name, number)
    revision = _needed_revision(request, found)
    if request.method == "POST":
        services.card_pdf_want(actor=actor_of(request), card=revision)
        return redirect_to(request, _address(found, revision=revision.number))
    pdf = CardPdf.objects.filter(revision=revision).exclude(made_at=None).first()
    if pdf is None or pdf.data is None:
        raise NotFound("The PDF is not made yet; ask for it on the card's page.")
    return _file(bytes(pdf.data), "application/pdf", revision, "pdf")


def _file(data: bytes, kind: str, revision: CardRevision, ending: str) -> HttpResponse:
    version = revision.version
    name = f"{slugify(version.model.name) or 'model'}-{version.number}-card-{revision.number}.{ending}"
    disposition = f'attachment; filename="{name}"'
    return HttpResponse(data, content_type=kind, headers={"Content-Disposition": disposition})
