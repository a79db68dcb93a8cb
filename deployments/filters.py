"""Filters of releases and endpoints, for the pages and for REST."""

from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.forms import HiddenInput
from django_filters import BooleanFilter, CharFilter, DateFilter

from deployments.lifecycle import RELEASE_LOOKS
from deployments.models import Endpoint, PlanTemplate, QueuedRequest, Release, Report
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, day_box, search_box, text_box
from registry.models import Decision, Model
from registry.selectors import environments_visible_to, models_visible_to

KEPT_IN_ADDRESS = ("range", "from", "to", "order")  # `from` is no name of Python's


def statuses() -> Choices:
    return [("", "Any status"), *((status.value, look.label) for status, look in RELEASE_LOOKS.items())]


def environments(actor: Actor) -> Choices:
    names = environments_visible_to(actor).values_list("name", flat=True)
    return [("", "Any environment"), *((name, name) for name in names)]


def states() -> Choices:
    return [("", "In use and retired"), ("in_use", "In use"), ("retired", "Retired")]


def owners(actor: Actor) -> Choices:
    names = models_visible_to(actor).exclude(owner="").order_by("owner").values_list("owner", flat=True).distinct()
    return [("", "Any owner"), *((name, name) for name in names)]


class FiltersByPlace(Filters):
    """Filters of which one is an environment, out of those that the person may see."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(environments, actor_of(self.request))
            self.filters["environment"].extra["widget"] = choice_box("Environment", choices)


class ReleaseFilter(FiltersByPlace):
    """Releases by status and place; `q` is part of the model's or the endpoint's name."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Model or endpoint"))
    status = CharFilter(widget=choice_box("Status", statuses))
    environment = CharFilter("endpoint__environment__name")
    endpoint = CharFilter("endpoint__name", widget=HiddenInput)
    model = CharFilter("version__model__name", widget=HiddenInput)
    kind = CharFilter(widget=HiddenInput)

    def search(self, releases: QuerySet[Release], name: str, text: str) -> QuerySet[Release]:
        return releases.filter(Q(version__model__name__icontains=text) | Q(endpoint__name__icontains=text))


class ReleaseGroupFilter(Filters):
    """Coordinated releases by name."""

    q = CharFilter("name", "icontains", max_length=TEXT_MAX_CHARS, widget=search_box("Name"))


class PlanTemplateFilter(FiltersByPlace):
    """Plan templates by name; `ended` has earlier revisions too."""

    q = CharFilter("name", "icontains", max_length=TEXT_MAX_CHARS, widget=search_box("Name"))
    environment = CharFilter("environment__name", widget=HiddenInput)
    model = CharFilter("model__name", widget=HiddenInput)
    ended = BooleanFilter(method="with_ended", widget=HiddenInput)

    def with_ended(self, rows: QuerySet[PlanTemplate], name: str, value: bool) -> QuerySet[PlanTemplate]:
        return rows

    def filter_queryset(self, queryset: QuerySet[PlanTemplate]) -> QuerySet[PlanTemplate]:
        found: QuerySet[PlanTemplate] = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("ended") else found.filter(ended_at=None)


class QueueFilter(FiltersByPlace):
    """Requests that wait, by endpoint; `ended` has those that wait no longer too."""

    environment = CharFilter("endpoint__environment__name")
    endpoint = CharFilter("endpoint__name", widget=HiddenInput)
    model = CharFilter("endpoint__model__name", widget=HiddenInput)
    ended = BooleanFilter(method="with_ended", widget=HiddenInput)

    def with_ended(self, queued: QuerySet[QueuedRequest], name: str, value: bool) -> QuerySet[QueuedRequest]:
        return queued

    def filter_queryset(self, queryset: QuerySet[QueuedRequest]) -> QuerySet[QueuedRequest]:
        found: QuerySet[QueuedRequest] = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("ended") else found.filter(ended_at=None)


def report_kinds() -> Choices:
    return [("", "Any kind"), ("release", "Releases"), ("rollback", "Rollbacks"), ("period", "Periods")]


class ReportFilter(FiltersByPlace):
    """Reports by what they are about, how that ended, who asked or decided, and when they were written."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Model or endpoint"))
    kind = CharFilter(widget=choice_box("Kind", report_kinds))
    outcome = CharFilter("release__status", widget=choice_box("Outcome", statuses))
    environment = CharFilter(method="in_environment")
    person = CharFilter(method="by_person", max_length=TEXT_MAX_CHARS, widget=text_box("Asked or decided by"))
    since = DateFilter("created_at", "date__gte", widget=day_box("From"))
    until = DateFilter("created_at", "date__lte", widget=day_box("Until"))
    model = CharFilter(method="of_model", widget=HiddenInput)
    endpoint = CharFilter("release__endpoint__name", widget=HiddenInput)

    def search(self, reports: QuerySet[Report], name: str, text: str) -> QuerySet[Report]:
        in_model = Q(release__version__model__name__icontains=text) | Q(model__name__icontains=text)
        return reports.filter(in_model | Q(release__endpoint__name__icontains=text))

    def in_environment(self, reports: QuerySet[Report], name: str, value: str) -> QuerySet[Report]:
        return reports.filter(Q(release__endpoint__environment__name=value) | Q(environment__name=value))

    def of_model(self, reports: QuerySet[Report], name: str, value: str) -> QuerySet[Report]:
        return reports.filter(Q(release__version__model__name=value) | Q(model__name=value))

    def by_person(self, reports: QuerySet[Report], name: str, value: str) -> QuerySet[Report]:
        decided = Decision.objects.filter(request=OuterRef("release__approval"))
        said = decided.filter(Q(person__username=value) | Q(on_behalf_of__username=value))
        return reports.filter(Q(release__requester__username=value) | Q(created_by=value) | Q(Exists(said)))


class EndpointFilter(FiltersByPlace):
    """Endpoints with `q` in their name or in that of their model."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Search endpoints"))
    environment = CharFilter("environment__name")
    state = CharFilter(method="in_state", widget=choice_box("State", states))

    def in_state(self, endpoints: QuerySet[Endpoint], name: str, state: str) -> QuerySet[Endpoint]:
        return endpoints.filter(retired_at__isnull=state != "retired")

    def search(self, endpoints: QuerySet[Endpoint], name: str, text: str) -> QuerySet[Endpoint]:
        return endpoints.filter(Q(name__icontains=text) | Q(model__name__icontains=text))


class BoardFilter(Filters):
    """Models of the board with `q` in their name or in that of one of their endpoints."""

    q = CharFilter(method="search", max_length=TEXT_MAX_CHARS, widget=search_box("Model or endpoint"))

    def search(self, models: QuerySet[Model], name: str, text: str) -> QuerySet[Model]:
        in_use = Endpoint.objects.filter(model=OuterRef("pk"), name__icontains=text, retired_at=None)
        return models.filter(Q(name__icontains=text) | Q(Exists(in_use)))


class MonitoringFilter(EndpointFilter):
    """Endpoints by place, model and owner of the model; the span is in the address beside them."""

    model = CharFilter("model__name", max_length=TEXT_MAX_CHARS, widget=HiddenInput)
    owner = CharFilter("model__owner", max_length=TEXT_MAX_CHARS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.request is not None:
            choices = partial(owners, actor_of(self.request))
            self.filters["owner"].extra["widget"] = choice_box("Owner", choices)
        for name in KEPT_IN_ADDRESS:
            kept = CharFilter(name, method="kept", widget=HiddenInput)
            kept.parent, kept.model = self, Endpoint
            self.filters[name] = kept

    def kept(self, endpoints: QuerySet[Endpoint], name: str, text: str) -> QuerySet[Endpoint]:
        """All of them: what is kept in the address by a form of filters, and says nothing about endpoints."""
        return endpoints
