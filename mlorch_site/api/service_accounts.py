"""REST: service accounts and their tokens, one's sessions."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.access import person_for
from mlorch_site.accounts.models import ApiToken, User
from mlorch_site.accounts.person_sessions import OpenSession, open_sessions, person_session_end
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.accounts.service_accounts import (
    service_account_create,
    service_account_for,
    service_account_hand_over,
    service_account_switch,
    service_accounts_visible_to,
)
from mlorch_site.accounts.services import OVERLAP_MAX, token_create, token_rotate
from mlorch_site.api.idempotency import idempotent
from mlorch_site.api.views import TokenRequestSerializer, TokenSerializer
from mlorch_site.lib.api import read_body

OVERLAP_MAX_HOURS = OVERLAP_MAX // timedelta(hours=1)


class ServiceAccountSerializer(serializers.ModelSerializer[User]):
    name = serializers.CharField(source="username")
    purpose = serializers.CharField(source="last_name")
    owner = serializers.CharField(source="owner.username")
    works = serializers.BooleanField(source="may_act", read_only=True)
    used_at = serializers.DateTimeField(read_only=True, allow_null=True, default=None)

    class Meta:
        model = User
        fields = ["name", "purpose", "owner", "is_active", "works", "used_at"]


class ServiceAccountRequestSerializer(serializers.Serializer[Any]):
    """The body of `POST /service-accounts`."""

    name = serializers.CharField(max_length=60)
    purpose = serializers.CharField(max_length=150)


class SwitchSerializer(serializers.Serializer[Any]):
    active = serializers.BooleanField()
    reason = serializers.CharField(max_length=300)


class HandOverSerializer(serializers.Serializer[Any]):
    """Who answers for it; `expected` is the owner that was seen."""

    owner = serializers.CharField(max_length=150)
    expected = serializers.CharField(max_length=150)
    reason = serializers.CharField(max_length=300)


class RotationSerializer(serializers.Serializer[Any]):
    """For how many hours the token of before works on."""

    overlap_hours = serializers.IntegerField(min_value=0, max_value=OVERLAP_MAX_HOURS, default=24)


class ServiceAccountList(generics.ListAPIView[User]):
    """The service accounts one owns; all to who manages people."""

    permission = Action.VIEW
    serializer_class = ServiceAccountSerializer
    queryset = User.objects.none()

    def get_queryset(self) -> QuerySet[User]:
        return service_accounts_visible_to(actor_of(self.request._request))

    @extend_schema(request=ServiceAccountRequestSerializer, responses={201: ServiceAccountSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a service account of one's own, without any role or token."""
        body = read_body(ServiceAccountRequestSerializer, request)
        account = service_account_create(actor=actor_of(request._request), **body)
        return Response(ServiceAccountSerializer(account).data, status=status.HTTP_201_CREATED)


class ServiceAccountTokens(generics.ListAPIView[ApiToken]):
    """The tokens of a service account."""

    is_sensitive = True
    permission = Action.VIEW
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()

    def get_queryset(self) -> QuerySet[ApiToken]:
        account = service_account_for(actor_of(self.request._request), self.kwargs["name"])
        return ApiToken.objects.filter(user=account)

    @extend_schema(request=TokenRequestSerializer, responses={201: dict})
    def post(self, request: Request, name: str) -> Response:
        """Make a token of it; the secret in the answer is shown only now."""
        actor = actor_of(request._request)
        body = read_body(TokenRequestSerializer, request)
        token, secret = token_create(actor=actor, user=service_account_for(actor, name), **body)
        return Response({**TokenSerializer(token).data, "token": secret}, status=status.HTTP_201_CREATED)


class ServiceAccountSwitch(APIView):
    """Switch a service account on or off."""

    permission = Action.VIEW

    @extend_schema(request=SwitchSerializer, responses={200: ServiceAccountSerializer})
    def post(self, request: Request, name: str) -> Response:
        actor = actor_of(request._request)
        body = read_body(SwitchSerializer, request)
        account = service_account_switch(actor=actor, account=service_account_for(actor, name), **body)
        return Response(ServiceAccountSerializer(account).data)


class ServiceAccountOwner(APIView):
    """Let another person answer for a service account."""

    permission = Action.PEOPLE_MANAGE

    @extend_schema(request=HandOverSerializer, responses={200: ServiceAccountSerializer})
    def post(self, request: Request, name: str) -> Response:
        actor = actor_of(request._request)
        values = read_body(HandOverSerializer, request)
        account = service_account_hand_over(
            actor=actor,
            account=service_account_for(actor, name),
            owner=person_for(actor, values["owner"]),
            expected=person_for(actor, values["expected"]).pk,
            reason=values["reason"],
        )
        return Response(ServiceAccountSerializer(account).data)


class TokenRotate(APIView):
    """Make the successor of a token of one's own or of a service account that one owns."""

    permission = Action.VIEW

    @extend_schema(request=RotationSerializer, responses={201: dict})
    def post(self, request: Request, pk: str) -> Response:
        """Both work for a while; the secret in the answer is shown only now."""
        body = read_body(RotationSerializer, request)
        overlap = timedelta(hours=body["overlap_hours"])
        token, secret = token_rotate(actor=actor_of(request._request), token_id=pk, overlap=overlap)
        return Response({**TokenSerializer(token).data, "token": secret}, status=status.HTTP_201_CREATED)


class SessionSerializer(serializers.Serializer[OpenSession]):
    """A session at a browser."""

    id = serializers.IntegerField(source="row.pk")
    device = serializers.CharField(source="row.device")
    address = serializers.CharField(source="row.address")
    proven_by = serializers.CharField(source="row.proven_by")
    began_at = serializers.DateTimeField(source="row.began_at")
    last_seen_at = serializers.DateTimeField(source="row.last_seen_at")
    idle_end = serializers.DateTimeField()
    absolute_end = serializers.DateTimeField()
    is_this = serializers.BooleanField()


class PersonSessionList(APIView):
    """The open sessions of a person: one's own, or anybody's to who manages people."""

    is_sensitive = True
    permission = Action.VIEW

    @extend_schema(responses={200: SessionSerializer(many=True)})
    def get(self, request: Request, name: str) -> Response:
        inner = request._request
        rows = open_sessions(person_for(actor_of(inner), name), inner.session.session_key)
        return Response(SessionSerializer(rows, many=True).data)  # type: ignore[arg-type]


class PersonSessionEnd(APIView):
    """End a session of a person at once, also on open pages."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request, name: str, number: int) -> Response:
        actor = actor_of(request._request)
        person_session_end(actor=actor, user=person_for(actor, name), number=number)
        return Response(status=status.HTTP_204_NO_CONTENT)
