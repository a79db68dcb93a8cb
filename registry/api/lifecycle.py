"""REST: the lifecycle of a version."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.api.idempotency import idempotent
from mlorch_site.lib.api import read_body
from registry.lifecycle import LifecycleAct, VersionLifecycle
from registry.models import Version
from registry.selectors import version_for
from registry.services import version_act
from registry.services.version_lifecycle import LIFECYCLE_REASON_MAX_CHARS
from registry.version_lifecycle import acts_offered, lifecycle_changes, why_out_of_use
from registry.version_uses import uses_of, uses_seen


class LifecycleActSerializer(serializers.Serializer[Any]):
    """The body of `POST …/lifecycle`. `expects` is what GET said, or the refusal of an earlier try."""

    act = serializers.ChoiceField(choices=[act.value for act in LifecycleAct])
    reason = serializers.CharField(max_length=LIFECYCLE_REASON_MAX_CHARS)
    expects = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)


class VersionUseSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    sentence = serializers.CharField()
    url = serializers.CharField()


class ActOfferedSerializer(serializers.Serializer[Any]):
    act = serializers.ChoiceField(choices=[act.value for act in LifecycleAct])
    effect = serializers.CharField()
    why_not = serializers.CharField()


class LifecycleChangeSerializer(serializers.Serializer[Any]):
    act = serializers.CharField()
    old = serializers.CharField()
    new = serializers.CharField()
    reason = serializers.CharField()
    person = serializers.CharField(source="person.username")
    at = serializers.DateTimeField()


class LifecycleSerializer(serializers.Serializer[Any]):
    """Where a version stands, where it is used, and what the caller may do."""

    lifecycle = serializers.ChoiceField(choices=[state.value for state in VersionLifecycle])
    out_of_use = serializers.CharField()
    uses = VersionUseSerializer(many=True)
    expects = serializers.CharField()
    acts = ActOfferedSerializer(many=True)
    changes = LifecycleChangeSerializer(many=True)


def lifecycle_told(actor: Actor, version: Version) -> dict[str, Any]:
    """A version as `LifecycleSerializer` describes it."""
    uses = uses_of(version, actor)
    return dict(
        LifecycleSerializer(
            {
                "lifecycle": version.lifecycle,
                "out_of_use": why_out_of_use(version),
                "uses": uses,
                "expects": uses_seen(uses),
                "acts": acts_offered(actor, version),
                "changes": lifecycle_changes(version),
            }
        ).data
    )


class VersionLifecycleView(APIView):
    """What people decided about a version, and the acts that decide."""

    permission = Action.VIEW

    @extend_schema(responses={200: LifecycleSerializer})
    def get(self, request: Request, name: str, number: int) -> Response:
        """Where the version stands, why and by whom, where it is used, and what the caller may do."""
        actor = actor_of(request._request)
        return Response(lifecycle_told(actor, version_for(actor, name, number, gone=True)))

    @extend_schema(request=LifecycleActSerializer, responses={200: LifecycleSerializer})
    @idempotent
    def post(self, request: Request, name: str, number: int) -> Response:
        """Deprecate, retire, restore, block or unblock. 409 with where it is used when that was not seen."""
        actor = actor_of(request._request)
        body = read_body(LifecycleActSerializer, request)
        version = version_for(actor, name, number, gone=True)
        return Response(lifecycle_told(actor, version_act(actor=actor, version=version, **body)))
