"""REST resources of delegations, and of the caller's own filters of the inbox."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.api.serializers import StrictSerializer
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.api import read_body
from registry.approvals.delegations import (
    delegation_end,
    delegation_for,
    delegation_give,
    delegations_visible_to,
)
from registry.models import Delegation, SavedFilter
from registry.services import saved_filter_keep, saved_filter_remove


class DelegationSerializer(serializers.ModelSerializer[Delegation]):
    """A delegation."""

    delegator = serializers.CharField(source="delegator.username")
    delegate = serializers.CharField(source="delegate.username")
    in_force = serializers.SerializerMethodField()

    class Meta:
        model = Delegation
        fields = ["id", "delegator", "delegate", "scopes", "reason", "starts_at", "ends_at", "ended_at"]
        fields += ["created_at", "in_force"]

    def get_in_force(self, delegation: Delegation) -> bool:
        return delegation.is_in_force(clock.now())


class DelegationRequestSerializer(StrictSerializer):
    """The body of `POST /delegations`."""

    delegate = serializers.CharField(max_length=150)
    scopes = serializers.ListField(child=serializers.CharField(max_length=300), max_length=50)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=300)


class SavedFilterSerializer(StrictSerializer):
    """A filter of the inbox: a name, and what stands in the address after the question mark."""

    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=60)
    query = serializers.CharField(max_length=500, allow_blank=True)


class DelegationList(generics.ListAPIView[Delegation]):
    """What the caller delegated and what others delegated to them; all delegations for administrators."""

    permission = Action.VIEW
    serializer_class = DelegationSerializer
    queryset = Delegation.objects.none()

    def get_queryset(self) -> QuerySet[Delegation]:
        return delegations_visible_to(actor_of(self.request._request))

    @extend_schema(request=DelegationRequestSerializer, responses={201: DelegationSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Let another person decide with the caller's power for a time."""
        body = read_body(DelegationRequestSerializer, request)
        delegation = delegation_give(actor=actor_of(request._request), **body)
        return Response(DelegationSerializer(delegation).data, status=status.HTTP_201_CREATED)


class DelegationEnd(APIView):
    """End a delegation; approvals that were given with it do not hold any more."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={200: DelegationSerializer})
    def post(self, request: Request, pk: str) -> Response:
        actor = actor_of(request._request)
        delegation = delegation_end(actor=actor, delegation=delegation_for(actor, pk))
        return Response(DelegationSerializer(delegation).data)


class SavedFilterList(generics.ListAPIView[SavedFilter]):
    """The caller's own filters of the inbox."""

    permission = Action.VIEW
    serializer_class = SavedFilterSerializer
    queryset = SavedFilter.objects.none()

    def get_queryset(self) -> QuerySet[SavedFilter]:
        return SavedFilter.objects.filter(person=actor_of(self.request._request).user)

    @extend_schema(request=SavedFilterSerializer, responses={201: SavedFilterSerializer})
    def post(self, request: Request) -> Response:
        """Keep a filter; the name again replaces it."""
        given = read_body(SavedFilterSerializer, request)
        kept = saved_filter_keep(actor=actor_of(request._request), name=given["name"], query=given["query"])
        return Response(SavedFilterSerializer(kept).data, status=status.HTTP_201_CREATED)


class SavedFilterRemove(APIView):
    """Remove a filter of one's own."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        saved_filter_remove(actor=actor_of(request._request), number=number)
        return Response(status=status.HTTP_204_NO_CONTENT)
