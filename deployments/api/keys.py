"""REST resources of gateway keys."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors, services
from deployments.api.serializers import StrictSerializer
from deployments.api.views import actor
from deployments.models import GatewayKey
from mlorch_site.accounts.roles import Action
from mlorch_site.lib.api import read_body


class KeyRequestSerializer(StrictSerializer):
    """The body of `POST /gateway-keys`."""

    name = serializers.CharField(max_length=80)
    environments = serializers.ListField(child=serializers.CharField(max_length=40), default=lambda: ["*"])
    endpoints = serializers.ListField(child=serializers.CharField(max_length=63), default=lambda: ["*"])
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class KeySerializer(serializers.ModelSerializer[GatewayKey]):
    class Meta:
        model = GatewayKey
        fields = ["id", "name", "prefix", "environments", "endpoints", "created_at", "expires_at", "revoked_at"]


class KeyList(generics.ListAPIView[GatewayKey]):
    """Gateway keys; the keys themselves are shown once, when they are made."""

    is_sensitive = True
    permission = Action.KEY_MANAGE
    serializer_class = KeySerializer
    queryset = GatewayKey.objects.none()

    def get_queryset(self) -> QuerySet[GatewayKey]:
        return selectors.gateway_keys_visible_to(actor(self.request))

    @extend_schema(request=KeyRequestSerializer, responses={201: dict})
    def post(self, request: Request) -> Response:
        body = read_body(KeyRequestSerializer, request)
        key, secret = services.gateway_key_create(actor=actor(request), **body)
        return Response({**KeySerializer(key).data, "key": secret}, status=status.HTTP_201_CREATED)


class KeyRevoke(APIView):
    """Revoke a gateway key; gateways refuse it within seconds."""

    permission = Action.KEY_MANAGE

    @extend_schema(request=None, responses={200: KeySerializer})
    def post(self, request: Request, pk: str) -> Response:
        return Response(KeySerializer(services.gateway_key_revoke(actor=actor(request), key_id=pk)).data)
