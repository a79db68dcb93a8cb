"""REST: the caller's own absences."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.absences import NOTE_MAX_CHARS, absence_end, absence_say, absences_of
from mlorch_site.accounts.models import Absence
from mlorch_site.accounts.route_permission import SIGNED_IN
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.api import read_body


class AbsenceSerializer(serializers.ModelSerializer[Absence]):
    """Days are those of the person's time zone, the last one included."""

    class Meta:
        model = Absence
        fields = ["id", "first_day", "last_day", "note", "said_at", "ended_at"]


class AbsenceRequestSerializer(serializers.Serializer[Any]):
    """The body of `POST /absences`."""

    first_day = serializers.DateField()
    last_day = serializers.DateField()
    note = serializers.CharField(max_length=NOTE_MAX_CHARS, allow_blank=True, default="")


class AbsenceList(APIView):
    """The caller's absences that last or are to come."""

    permission = SIGNED_IN

    @extend_schema(responses={200: AbsenceSerializer(many=True)})
    def get(self, request: Request) -> Response:
        actor = actor_of(request._request)
        assert actor.user is not None  # the permission check comes first
        standing, _ = absences_of(actor.user, clock.now())
        return Response(AbsenceSerializer(standing, many=True).data)

    @extend_schema(request=AbsenceRequestSerializer, responses={201: AbsenceSerializer})
    @idempotent
    def post(self, request: Request) -> Response:
        """Say that the caller is away; 409 when another absence covers one of the days."""
        body = read_body(AbsenceRequestSerializer, request)
        absence = absence_say(actor=actor_of(request._request), **body)
        return Response(AbsenceSerializer(absence).data, status=status.HTTP_201_CREATED)


class AbsenceEnd(APIView):
    """Take an absence back, or end it early."""

    permission = SIGNED_IN

    @extend_schema(request=None, responses={200: AbsenceSerializer})
    @idempotent
    def post(self, request: Request, number: int) -> Response:
        return Response(AbsenceSerializer(absence_end(actor=actor_of(request._request), number=number)).data)
