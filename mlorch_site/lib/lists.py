"""Lists on pages: filtered and paged in one way. An app's filters are in its filters.py, for pages and REST alike."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.choices import CallableChoiceIterator
from django_filters import FilterSet

PAGE_SIZE = 25
TEXT_MAX_CHARS = 100

Choices = list[tuple[str, str]]  # value and label


class Filters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """What a list may be filtered by."""


def listed(
    request: HttpRequest, rows: QuerySet[Any], filters: type[Filters] | None = None, *, page_size: int = PAGE_SIZE
) -> dict[str, Any]:
    """What the template of a list needs: `page`, and with filters their `filters` form and whether any is `filtered`
    by.

    Filters are in the address; those that cannot be read are left out, and the form says why.
    """
    context: dict[str, Any] = {}
    if filters is not None:
        chosen = filters(request.GET, queryset=rows, request=request)
        rows = chosen.qs
        context = {"filters": chosen.form, "filtered": any(request.GET.get(name) for name in chosen.filters)}
    return {**context, "page": Paginator(rows, page_size).get_page(request.GET.get("page"))}


def text_box(label: str, **attributes: Any) -> forms.TextInput:
    """The field of a filter that people type into."""
    return forms.TextInput(attrs={**_look("form-control", label), "placeholder": label, **attributes})


def search_box(label: str) -> forms.TextInput:
    """The field that the key `/` goes to."""
    return text_box(label, type="search", **{"data-search": True})


def day_box(label: str) -> forms.DateInput:
    """The field for a day."""
    return forms.DateInput(attrs={**_look("form-control", label), "type": "date"})


def choice_box(label: str, choices: Callable[[], Choices]) -> forms.Select:
    """A choice that filters as soon as it is made."""
    attributes = {**_look("form-select", label), "data-submit-on-change": True}
    return forms.Select(attributes, CallableChoiceIterator(choices))


def _look(kind: str, label: str) -> dict[str, Any]:
    return {"class": f"{kind} w-auto", "aria-label": label}
