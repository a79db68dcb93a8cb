"""REST: the caller's own tokens, and the audit record."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.models import ApiToken
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.accounts.services import token_create, token_revoke
from mlorch_site.api.idempotency import idempotent
from mlorch_site.audit.chain import CONTENT_FIELDS
from mlorch_site.audit.filters import AuditFilter
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.selectors import audit_visible_to
from mlorch_site.audit.verification_runs import run_told, verification_ask, verification_run
from mlorch_site.lib.api import read_body


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ["id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"]


class TokenRequestSerializer(serializers.Serializer[Any]):
    """The body of `POST /tokens`."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.CharField(max_length=20))
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class TokenList(generics.ListAPIView[ApiToken]):
    """The caller's own tokens."""

    is_sensitive = True
    permission = Action.VIEW
    serializer_class = TokenSerializer
    queryset = ApiToken.objects.none()

    def get_queryset(self) -> QuerySet[ApiToken]:
        return ApiToken.objects.filter(user=actor_of(self.request._request).user)

    @extend_schema(request=TokenRequestSerializer, responses={201: dict})
    def post(self, request: Request) -> Response:
        """Make a token; the secret in the answer is shown only now."""
        actor = actor_of(request._request)
        body = read_body(TokenRequestSerializer, request)
        assert actor.user is not None
        token, secret = token_create(actor=actor, user=actor.user, **body)
        return Response({**TokenSerializer(token).data, "token": secret}, status=status.HTTP_201_CREATED)


class TokenRevoke(APIView):
    """Revoke one of the caller's own tokens."""

    permission = Action.VIEW

    @extend_schema(request=None, responses={200: TokenSerializer})
    def post(self, request: Request, pk: str) -> Response:
        return Response(TokenSerializer(token_revoke(actor=actor_of(request._request), token_id=pk)).data)


class AuditSerializer(serializers.ModelSerializer[AuditRecord]):
    class Meta:
        model = AuditRecord
        fields = [*CONTENT_FIELDS, "previous_hash", "hash"]


class AuditList(generics.ListAPIView[AuditRecord]):
    """Audit records, newest first."""

    is_sensitive = True
    permission = Action.AUDIT_VIEW
    serializer_class = AuditSerializer
    filterset_class = AuditFilter
    queryset = AuditRecord.objects.none()

    def get_queryset(self) -> QuerySet[AuditRecord]:
        return audit_visible_to(actor_of(self.request._request))


class AuditVerify(APIView):
    """The verification of the whole chain against the signed checkpoints, which all share."""

    permission = Action.AUDIT_VIEW

    @extend_schema(responses={200: dict})
    def get(self, request: Request) -> Response:
        """How far it has come, and what the last one found."""
        return Response(run_told(verification_run()))

    @extend_schema(request=None, responses={202: dict})
    @idempotent
    def post(self, request: Request) -> Response:
        """Ask for one; while one is under way, that is the one. 429 too soon after the last, unless by an
        administrator.
        """
        run = verification_ask(actor=actor_of(request._request))
        return Response(run_told(run), status=status.HTTP_202_ACCEPTED)
