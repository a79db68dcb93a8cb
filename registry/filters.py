"""Filters of models, for the page and for REST."""

from django.db.models import Q, QuerySet
from django_filters import CharFilter

from mlorch_site.lib.lists import TEXT_MAX_CHARS, Filters, search_box
from registry.models import Model


class ModelFilter(Filters):
    """Models whose name, description or owner holds `q`."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Search models"))

    def search(self, models: QuerySet[Model], name: str, text: str) -> QuerySet[Model]:
        return models.filter(Q(name__icontains=text) | Q(description__icontains=text) | Q(owner__icontains=text))
