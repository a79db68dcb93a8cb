"""REST: people and their access, giving and ending roles, the access review."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.access import (
    HeldBinding,
    access_of,
    binding_for,
    held_at,
    held_bindings,
    people_with_roles,
    person_for,
)
from mlorch_site.accounts.access_review import COLUMNS, access_review_note, access_review_rows
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import REASON_MAX_CHARS, role_bind, role_extend, role_unbind
from mlorch_site.accounts.filters import PersonFilter
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.accounts.route_permission import SIGNED_IN
from mlorch_site.accounts.scopes import SCOPE_MAX_CHARS
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.api import read_body
from mlorch_site.lib.spreadsheet import csv_lines


class RoleInScopeSerializer(serializers.ModelSerializer[RoleBinding]):
    class Meta:
        model = RoleBinding
        fields = ["role", "scope", "expires_at"]


class PersonSerializer(serializers.ModelSerializer[User]):
    full_name = serializers.CharField(source="get_full_name", read_only=True)
    roles = RoleInScopeSerializer(source="held", many=True, read_only=True)

    class Meta:
        model = User
        fields = ["username", "full_name", "is_active", "last_login", "roles"]


class BindingSerializer(serializers.Serializer[HeldBinding]):
    """A role in a scope: `state` is `in force`, `expired` or `ended`."""

    id = serializers.IntegerField(source="binding.pk")
    role = serializers.CharField(source="binding.role")
    scope = serializers.CharField(source="binding.scope")
    state = serializers.CharField()
    leads_nowhere = serializers.BooleanField()
    reason = serializers.CharField(source="binding.reason")
    given_at = serializers.DateTimeField(source="binding.given_at", allow_null=True)
    given_by = serializers.CharField()
    given_by_oneself = serializers.BooleanField(source="binding.is_given_by_oneself")
    expires_at = serializers.DateTimeField(source="binding.expires_at", allow_null=True)
    ended_at = serializers.DateTimeField(source="binding.ended_at", allow_null=True)
    ended_by = serializers.CharField(source="binding.ended_by.username", default="")
    end_reason = serializers.CharField(source="binding.end_reason")


class AllowedSerializer(serializers.Serializer[Any]):
    """Where an action is allowed, and through which role."""

    binding = serializers.IntegerField(source="binding.pk")
    role = serializers.CharField(source="binding.role")
    scope = serializers.CharField(source="binding.scope")


class AllowanceSerializer(serializers.Serializer[Any]):
    """One action: what allows it, nothing when it is not allowed, and the roles that would."""

    action = serializers.CharField()
    words = serializers.CharField(source="action.words")
    allowed = AllowedSerializer(source="through", many=True)
    roles_that_allow = serializers.ListField(source="roles", child=serializers.CharField())


class AccessSerializer(serializers.Serializer[Any]):
    """What a person may do, and through which bindings."""

    username = serializers.CharField(source="person.username")
    full_name = serializers.CharField(source="person.get_full_name")
    is_active = serializers.BooleanField(source="person.is_active")
    last_login = serializers.DateTimeField(source="person.last_login", allow_null=True)
    bindings = BindingSerializer(many=True)
    past = BindingSerializer(many=True)
    actions = AllowanceSerializer(source="allowances", many=True)


class BindRequestSerializer(serializers.Serializer[Any]):
    """The body that gives a role; `scope` is `environment:<name>`, `model:<name>`, or `*` for everything."""

    role = serializers.ChoiceField(choices=[role.value for role in Role])
    scope = serializers.CharField(max_length=SCOPE_MAX_CHARS)
    reason = serializers.CharField(max_length=REASON_MAX_CHARS)
    expires_at = serializers.DateTimeField(allow_null=True)


class ExtendRequestSerializer(serializers.Serializer[Any]):
    """The body that extends a binding; `expected` is the expiry that the caller has seen."""

    reason = serializers.CharField(max_length=REASON_MAX_CHARS)
    expires_at = serializers.DateTimeField(allow_null=True)
    expected = serializers.DateTimeField(allow_null=True)


class EndRequestSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=REASON_MAX_CHARS)


def actor(request: Request) -> Actor:
    """Who asks."""
    return actor_of(request._request)


def _answer(binding: RoleBinding, code: int = status.HTTP_200_OK) -> Response:
    return Response(BindingSerializer(held_at(binding, clock.now())).data, status=code)


class PersonList(generics.ListAPIView[User]):
    """People with the roles that are in force."""

    is_sensitive = True
    permission = Action.PEOPLE_MANAGE
    serializer_class = PersonSerializer
    filterset_class = PersonFilter
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        actor(self.request).require(Action.PEOPLE_MANAGE)
        return people_with_roles(actor(self.request), clock.now())


class OwnAccess(APIView):
    """What the caller may do, whatever the roles. A token may do less: see its scopes."""

    permission = SIGNED_IN

    @extend_schema(responses={200: AccessSerializer})
    def get(self, request: Request) -> Response:
        asking = actor(request)
        assert asking.user is not None
        return Response(AccessSerializer(access_of(asking, asking.user)).data)


class PersonAccess(APIView):
    """What a person may do: for those who give roles, and for the person."""

    is_sensitive = True
    permission = SIGNED_IN

    @extend_schema(responses={200: AccessSerializer})
    def get(self, request: Request, name: str) -> Response:
        return Response(AccessSerializer(access_of(actor(request), person_for(actor(request), name))).data)


class PersonBindings(APIView):
    """Give a person a role."""

    permission = {"GET": Action.PEOPLE_MANAGE, "POST": Action.PEOPLE_MANAGE}

    @extend_schema(responses={200: BindingSerializer(many=True)})
    def get(self, request: Request, name: str) -> Response:
        """The bindings in force, and after them those of the past."""
        bindings = held_bindings(person_for(actor(request), name), clock.now())
        return Response([BindingSerializer(row).data for row in bindings])

    @extend_schema(request=BindRequestSerializer, responses={201: BindingSerializer})
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        body = read_body(BindRequestSerializer, request)
        values = {**body, "role": Role(body["role"])}
        binding = role_bind(actor=actor(request), user=person_for(actor(request), name), **values)
        return _answer(binding, status.HTTP_201_CREATED)


class BindingExtend(APIView):
    """Let a binding hold until a later moment, or without an end (`expires_at` null)."""

    permission = Action.PEOPLE_MANAGE

    @extend_schema(request=ExtendRequestSerializer, responses={200: BindingSerializer})
    @idempotent
    def post(self, request: Request, name: str, number: int) -> Response:
        body = read_body(ExtendRequestSerializer, request)
        found = binding_for(actor(request), name, number)
        return _answer(role_extend(actor=actor(request), binding=found, **body))


class BindingEnd(APIView):
    """End a binding; it stays as history."""

    permission = Action.PEOPLE_MANAGE

    @extend_schema(request=EndRequestSerializer, responses={200: BindingSerializer})
    @idempotent
    def post(self, request: Request, name: str, number: int) -> Response:
        body = read_body(EndRequestSerializer, request)
        found = binding_for(actor(request), name, number)
        return _answer(role_unbind(actor=actor(request), binding=found, **body))


class AccessReview(APIView):
    """Every binding of today and of the past, with its person and that person's last use."""

    permission = Action.AUDIT_VIEW

    @extend_schema(responses={200: dict})
    def get(self, request: Request) -> Response:
        access_review_note(actor=actor(request), form="json")
        return Response({"bindings": list(access_review_rows(clock.now()))})


class AccessReviewTable(APIView):
    """The access review as CSV."""

    permission = Action.AUDIT_VIEW

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        access_review_note(actor=actor(request), form="csv")
        lines: Iterator[str] = csv_lines(COLUMNS, access_review_rows(clock.now()))
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
