"""REST: the gates of a release, letting one answer again, waiving what one found."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import selectors, services
from deployments.api.serializers import StrictSerializer
from deployments.api.views import actor
from deployments.gate_lines import gate_lines
from deployments.models import Release
from deployments.services.gates import waiver_for
from mlorch_site.accounts.roles import Action
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib import clock
from mlorch_site.lib.api import read_body


class WaiverSerializer(serializers.Serializer[Any]):
    """One waiver; `why_not_holding` is empty while it holds."""

    id = serializers.UUIDField()
    gate = serializers.CharField()
    finding = serializers.CharField()
    sentence = serializers.CharField()
    given_by = serializers.CharField()
    role = serializers.CharField()
    reason = serializers.CharField()
    given_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    withdrawn_by = serializers.CharField()
    withdrawn_reason = serializers.CharField()
    why_not_holding = serializers.CharField()


class EarlierAnswerSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    outcome = serializers.CharField()
    sentence = serializers.CharField()


class GateAnswerSerializer(serializers.Serializer[Any]):
    """One gate of a release. `state` is pending, running or ended; `outcome` is empty until it has ended. `finding` is
    the fingerprint that a waiver names; `stale` names what changed since the gate looked.
    """

    gate = serializers.CharField()
    state = serializers.CharField()
    outcome = serializers.CharField()
    sentence = serializers.CharField()
    evidence = serializers.DictField()
    finding = serializers.CharField()
    at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField()
    stale = serializers.ListField(child=serializers.CharField())
    waivers = WaiverSerializer(many=True)
    earlier = EarlierAnswerSerializer(many=True)


class GateReasonSerializer(StrictSerializer):
    """A body that says why."""

    reason = serializers.CharField(max_length=1000)


class GateWaiveSerializer(StrictSerializer):
    """The body of `POST /releases/{id}/gates/{gate}/waive`. `finding` is that of the answer which was read."""

    finding = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=1000)
    days = serializers.IntegerField(min_value=1, max_value=365)


class ReleaseGates(APIView):
    """The gates of a release."""

    permission = Action.VIEW

    @extend_schema(responses={200: GateAnswerSerializer(many=True)})
    def get(self, request: Request, pk: str) -> Response:
        """What each gate found, or how far it has come, with waivers and earlier answers."""
        return _answers(selectors.release_for(actor(request), pk))


class ReleaseGateRun(APIView):
    """Let one gate answer again."""

    permission = Action.GATE_RUN

    @extend_schema(request=GateReasonSerializer, responses={200: GateAnswerSerializer(many=True)})
    @idempotent
    def post(self, request: Request, pk: str, gate: str) -> Response:
        """What it found before stays in its history."""
        release = selectors.release_for(actor(request), pk, action=Action.GATE_RUN)
        body = read_body(GateReasonSerializer, request)
        services.gate_run_again(actor=actor(request), release=release, gate=gate, **body)
        return _answers(release)


class ReleaseGateWaive(APIView):
    """Let what a gate found pass for some time."""

    permission = Action.GATE_WAIVE

    @extend_schema(request=GateWaiveSerializer, responses={200: GateAnswerSerializer(many=True)})
    @idempotent
    def post(self, request: Request, pk: str, gate: str) -> Response:
        """Covers this very finding, of these files, at this endpoint."""
        release = selectors.release_for(actor(request), pk, action=Action.GATE_WAIVE)
        body = read_body(GateWaiveSerializer, request)
        services.gate_waive(actor=actor(request), release=release, gate=gate, **body)
        return _answers(release)


class ReleaseWaiverWithdraw(APIView):
    """Take a waiver back."""

    permission = Action.GATE_WAIVE

    @extend_schema(request=GateReasonSerializer, responses={200: GateAnswerSerializer(many=True)})
    @idempotent
    def post(self, request: Request, pk: str, waiver: str) -> Response:
        """What rests on it and has not begun its rollout ends, or waits again."""
        release = selectors.release_for(actor(request), pk, action=Action.GATE_WAIVE)
        body = read_body(GateReasonSerializer, request)
        found = waiver_for(release, waiver)
        services.waiver_take_back(actor=actor(request), release=release, waiver=found, **body)
        return _answers(release)


def _answers(release: Release) -> Response:
    lines = [line.values() for line in gate_lines(release, clock.now())]
    return Response(GateAnswerSerializer(lines, many=True).data)
