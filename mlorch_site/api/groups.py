"""REST: groups of people, and who is in them."""

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.access import person_for
from mlorch_site.accounts.groups import (
    NAME_MAX_CHARS,
    REASON_MAX_CHARS,
    group_create,
    group_for,
    groups_visible_to,
    member_add,
    member_remove,
)
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body


class GroupSerializer(serializers.Serializer[Group]):
    name = serializers.CharField()
    members = serializers.SerializerMethodField()

    def get_members(self, group: Group) -> list[str]:
        return [person.username for person in group.members]  # type: ignore[attr-defined]


class GroupRequestSerializer(serializers.Serializer[Any]):
    """The body of `POST /groups`."""

    name = serializers.CharField(max_length=NAME_MAX_CHARS)


class MemberRequestSerializer(serializers.Serializer[Any]):
    """The body that puts a person into a group, or takes them out."""

    person = serializers.CharField(max_length=150)
    reason = serializers.CharField(max_length=REASON_MAX_CHARS)


class GroupList(generics.ListAPIView[Group]):
    """Groups with the people in them."""

    is_sensitive = True
    permission = {"GET": Action.PEOPLE_MANAGE, "POST": Action.PEOPLE_MANAGE}
    serializer_class = GroupSerializer
    queryset = Group.objects.none()

    def get_queryset(self) -> QuerySet[Group]:
        return groups_visible_to(actor_of(self.request._request))

    @extend_schema(request=GroupRequestSerializer, responses={201: GroupSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make an empty group."""
        body = read_body(GroupRequestSerializer, request)
        actor = actor_of(request._request)
        made = group_create(actor=actor, name=body["name"])
        return Response(GroupSerializer(group_for(actor, made.name)).data, status=status.HTTP_201_CREATED)


class GroupMembers(APIView):
    """Put a person into a group."""

    permission = Action.PEOPLE_MANAGE
    service: Any = staticmethod(member_add)

    @extend_schema(request=MemberRequestSerializer, responses={200: GroupSerializer})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        given = read_body(MemberRequestSerializer, request)
        actor = actor_of(request._request)
        group, user = group_for(actor, name), person_for(actor, given["person"])
        self.service(actor=actor, group=group, user=user, reason=given["reason"])
        return Response(GroupSerializer(group_for(actor, name)).data)


class GroupMemberRemove(GroupMembers):
    """Take a person out of a group."""

    service = staticmethod(member_remove)
