"""REST: an endpoint, a model, an environment as they were at an instant."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors
from deployments.past.provenance import Provenance
from deployments.past.selectors import (
    endpoint_past,
    environment_past,
    model_past,
    why_facts_unknown,
    why_traffic_unknown,
)
from deployments.past.standing import standings
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of, zone_of
from mlorch_site.lib import clock
from mlorch_site.lib.api import Pages
from mlorch_site.lib.instant import read_instant
from registry.facts import VersionThen
from registry.selectors import environment_for, model_for

AT = OpenApiParameter(
    "at",
    str,
    required=True,
    description=(
        "The moment, in ISO 8601: `2026-11-03T14:00+01:00`. Without an offset it is in the time zone of your "
        "preferences; a date alone is the end of that day, and the present moment while the day lasts."
    ),
)
PAGE = OpenApiParameter("page", int, description="Which page of the list.")


class PlacePages(Pages):
    """Fewer to a page than elsewhere: each endpoint comes with the releases of its arms."""

    page_size = 10
    max_page_size = 25


def instant_of(request: Request) -> datetime:
    """The instant that a request names. Raises Invalid."""
    zone = zone_of(actor_of(request._request).user)
    return read_instant(request.query_params.get("at", ""), zone=zone, now=clock.now())


class DecisionThenSerializer(serializers.Serializer[Any]):
    person = serializers.CharField(source="person.username")
    at = serializers.DateTimeField()
    roles = serializers.ListField(child=serializers.CharField())


class ProvenanceSerializer(serializers.Serializer[Any]):
    """The release that brought a version. `status` is what it was then, empty where that is not recorded; `restores` is
    the release whose version it restored: what was approved. `report` is null while none was written.
    """

    release = serializers.UUIDField(source="release.pk")
    kind = serializers.CharField(source="release.kind")
    status = serializers.CharField()
    model = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="release.version.number")
    digest = serializers.CharField(source="release.digest")
    released_by = serializers.CharField(source="release.requester.username")
    reason = serializers.CharField(source="release.reason")
    requested_at = serializers.DateTimeField(source="release.created_at")
    restores = serializers.SerializerMethodField()
    approved_by = DecisionThenSerializer(many=True)
    approval = serializers.CharField()
    policy = serializers.IntegerField(source="release.policy.revision")
    serving_config = serializers.IntegerField(source="release.serving_config.revision")
    emergency = serializers.SerializerMethodField()
    report = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    def get_emergency(self, one: Provenance) -> str | None:
        """The id of the emergency in which it had begun without its approvals."""
        return str(one.emergency.pk) if one.emergency else None

    def get_model(self, one: Provenance) -> str:
        """The name that the model had when the release was requested."""
        return str(one.original.plan.get("model", one.release.version.model.name))

    def get_restores(self, one: Provenance) -> str | None:
        return str(one.original.pk) if one.original.pk != one.release.pk else None

    def get_report(self, one: Provenance) -> str | None:
        return f"{settings.WEB_URL}{reverse('release-report', args=[one.release.pk])}" if one.report else None

    def get_url(self, one: Provenance) -> str:
        return f"{settings.WEB_URL}{reverse('release', args=[one.release.pk])}"


class ArmThenSerializer(serializers.Serializer[Any]):
    arm = serializers.CharField()
    version = serializers.IntegerField(source="version.number")
    digest = serializers.CharField()
    weight_pct = serializers.IntegerField()
    mirror_pct = serializers.IntegerField()
    brought_by = ProvenanceSerializer()


class TrafficChangeSerializer(serializers.Serializer[Any]):
    """The change since which the traffic was like this."""

    at = serializers.DateTimeField()
    sentence = serializers.CharField()
    actor = serializers.CharField()
    route_revision = serializers.IntegerField()
    is_derived = serializers.BooleanField()


class StandingSerializer(serializers.Serializer[Any]):
    """How an endpoint stood; `change` is null where its traffic is not recorded for the time."""

    environment = serializers.CharField(source="endpoint.environment.name")
    endpoint = serializers.CharField(source="endpoint.name")
    change = TrafficChangeSerializer(allow_null=True)
    arms = ArmThenSerializer(many=True)
    stable_release = serializers.UUIDField(source="change.stable_release_id", default=None, allow_null=True)
    retired_at = serializers.DateTimeField(allow_null=True)
    open_releases = ProvenanceSerializer(source="open", many=True)


class VersionThenSerializer(serializers.Serializer[Any]):
    """A version; `status` and `digest` are null where they are not recorded, or were not known."""

    version = serializers.IntegerField(source="version.number")
    status = serializers.CharField(allow_null=True)
    digest = serializers.CharField(allow_null=True)
    aliases = serializers.ListField(child=serializers.CharField())


class ModelThenSerializer(serializers.Serializer[Any]):
    """What was known of a model; null where it is not recorded. It is kept since `since`."""

    since = serializers.DateTimeField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    owner = serializers.CharField(allow_null=True)
    risk_tier = serializers.CharField(allow_null=True)
    is_deleted = serializers.BooleanField()
    aliases = serializers.DictField(child=serializers.IntegerField())
    versions = serializers.SerializerMethodField()

    def get_versions(self, known: Any) -> list[dict[str, Any]]:
        then: list[VersionThen] = list(known.versions.values())
        return [dict(VersionThenSerializer(one).data) for one in then]


class FindingThenSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    summary = serializers.CharField()
    found_at = serializers.DateTimeField()


class PastSerializer(serializers.Serializer[Any]):
    """What answers about the past have. `earlier` and `later` are the nearest changes of what is shown; `unknown` says
    in sentences what is not recorded for the time.
    """

    at = serializers.DateTimeField(source="instant")
    earlier = serializers.DateTimeField(source="near.earlier", allow_null=True)
    later = serializers.DateTimeField(source="near.later", allow_null=True)
    findings = FindingThenSerializer(many=True)


class EndpointPastSerializer(PastSerializer):
    unknown = serializers.ListField(child=serializers.CharField())
    standing = StandingSerializer()
    policy = serializers.IntegerField(source="policy.revision", default=None, allow_null=True)
    serving_config = serializers.IntegerField(source="config.revision", default=None, allow_null=True)
    model = ModelThenSerializer()


class ModelPastSerializer(PastSerializer):
    """`count`, `next` and `previous` are of the versions, which come in pages."""

    unknown = serializers.ListField(child=serializers.CharField())
    standings = StandingSerializer(many=True)
    model = ModelThenSerializer()
    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class EnvironmentPastSerializer(serializers.Serializer[Any]):
    """`count`, `next` and `previous` are of the endpoints, which come in pages."""

    at = serializers.DateTimeField(source="instant")
    earlier = serializers.DateTimeField(source="near.earlier", allow_null=True)
    later = serializers.DateTimeField(source="near.later", allow_null=True)
    unknown = serializers.ListField(child=serializers.CharField())
    policy = serializers.IntegerField(source="policy.revision")
    policy_lines = serializers.ListField(child=serializers.IntegerField(), help_text="Revisions of other lines.")
    standings = StandingSerializer(many=True)
    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class EndpointPastDetail(APIView):
    """An endpoint as it was at an instant."""

    permission = Action.VIEW

    @extend_schema(parameters=[AT], responses={200: EndpointPastSerializer})
    def get(self, request: Request, environment: str, name: str) -> Response:
        """What served then with which weights, through which releases, and what was known of the versions."""
        found = selectors.endpoint_for(actor_of(request._request), environment, name)
        return Response(EndpointPastSerializer(endpoint_past(found, instant_of(request))).data)


class ModelPastDetail(APIView):
    """A model as it was at an instant."""

    permission = Action.VIEW

    @extend_schema(parameters=[AT, PAGE], responses={200: ModelPastSerializer})
    def get(self, request: Request, name: str) -> Response:
        """Where the model served then, and what was known of it and its versions."""
        actor = actor_of(request._request)
        past = model_past(actor, model_for(actor, name, gone=True), instant_of(request))
        pages = Pages()
        known = past.known(pages.paginate_queryset(past.versions, request) or [])
        stood = standings(list(past.endpoints), past.instant)
        unknown = [*map(why_traffic_unknown, stood), why_facts_unknown(known)]
        return Response(ModelPastSerializer(_paged(past, pages, unknown, model=known, standings=stood)).data)


class EnvironmentPastDetail(APIView):
    """An environment as it was at an instant."""

    permission = Action.VIEW

    @extend_schema(parameters=[AT, PAGE], responses={200: EnvironmentPastSerializer})
    def get(self, request: Request, name: str) -> Response:
        """What its endpoints served then, and the policy revision in force."""
        actor = actor_of(request._request)
        past = environment_past(actor, environment_for(actor, name), instant_of(request))
        pages = PlacePages()
        stood = standings(pages.paginate_queryset(past.endpoints, request) or [], past.instant)
        unknown = [why_traffic_unknown(standing) for standing in stood]
        lines = [policy.revision for policy in past.lines]
        found = _paged(past, pages, unknown, standings=stood, policy_lines=lines)
        return Response(EnvironmentPastSerializer(found).data)


def _paged(past: Any, pages: Pages, unknown: list[str], **more: Any) -> dict[str, Any]:
    """What a serializer reads: the past with the page of its list that is asked for."""
    said = [sentence for sentence in unknown if sentence]
    links = {"next": pages.get_next_link(), "previous": pages.get_previous_link()}
    return {**vars(past), "unknown": said, "count": pages.page.paginator.count if pages.page else 0, **links, **more}
