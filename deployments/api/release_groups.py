"""REST resources of coordinated releases."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import services
from deployments.api.serializers import ReasonSerializer, StrictSerializer
from deployments.api.views import actor
from deployments.filters import ReleaseGroupFilter
from deployments.group_selectors import group_for, groups_visible_to
from deployments.models import ReleaseGroup
from deployments.selectors import releases_visible_to
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body


class ReleaseGroupSerializer(serializers.ModelSerializer[ReleaseGroup]):
    """A group: open until `closed_at`, then its members go together; `failed_at` is since when it goes back. `members`
    are those that the caller may see.
    """

    members = serializers.SerializerMethodField()

    class Meta:
        model = ReleaseGroup
        fields = [
            *("id", "name", "reason", "created_by", "created_at", "closed_at", "failed_at", "sentence"),
            *("outcome", "ended_at", "members"),
        ]

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_members(self, group: ReleaseGroup) -> list[dict[str, Any]]:
        seen = releases_visible_to(actor(self.context["request"])).filter(group=group).order_by("created_at")
        return [
            {"release": str(one.pk), "endpoint": str(one.endpoint), "version": one.version.number, "status": one.status}
            for one in seen
        ]


class GroupWishSerializer(StrictSerializer):
    """The body of `POST /release-groups`."""

    name = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=2000, allow_blank=True, default="")


class ReleaseGroupList(generics.ListAPIView[ReleaseGroup]):
    """Groups, newest first."""

    permission = {"GET": Action.VIEW, "POST": Action.RELEASE_REQUEST}
    serializer_class = ReleaseGroupSerializer
    filterset_class = ReleaseGroupFilter
    queryset = ReleaseGroup.objects.none()

    def get_queryset(self) -> QuerySet[ReleaseGroup]:
        return groups_visible_to(actor(self.request))

    @extend_schema(request=GroupWishSerializer, responses={201: ReleaseGroupSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Begin a group; `POST /releases` with its id as `group` requests releases into it."""
        body = read_body(GroupWishSerializer, request)
        made = services.release_group_open(actor=actor(request), **body)
        return _told(request, made, status.HTTP_201_CREATED)


class ReleaseGroupDetail(APIView):
    """One group with its members."""

    permission = Action.VIEW

    @extend_schema(responses={200: ReleaseGroupSerializer})
    def get(self, request: Request, pk: UUID) -> Response:
        return _told(request, group_for(actor(request), pk))


class ReleaseGroupClose(APIView):
    """Release the group: its members begin as soon as all may."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={200: ReleaseGroupSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        found = group_for(actor(request), pk)
        return _told(request, services.release_group_close(actor=actor(request), group=found))


class ReleaseGroupAbort(APIView):
    """End the group: what has not begun ends, what has goes back."""

    permission = Action.VIEW

    @extend_schema(request=ReasonSerializer, responses={200: ReleaseGroupSerializer})
    @idempotent
    def post(self, request: Request, pk: UUID) -> Response:
        body = read_body(ReasonSerializer, request)
        found = group_for(actor(request), pk)
        return _told(request, services.release_group_abort(actor=actor(request), group=found, **body))


def _told(request: Request, group: ReleaseGroup, code: int = status.HTTP_200_OK) -> Response:
    return Response(ReleaseGroupSerializer(group, context={"request": request}).data, status=code)
