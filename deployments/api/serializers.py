"""How releases and endpoints look over REST, and how requests are read."""

from dataclasses import fields as fields_of
from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework import serializers

from deployments import selectors
from deployments.models import Endpoint, QueuedRequest, Release, ReleaseEvent, Rollout, ServingConfig
from deployments.routes.acknowledgement import live_gateways
from deployments.routes.revisions import newest_revision
from deployments.services import ReleaseCommand
from deployments.services.endpoints import ServingWish
from deployments.watch_standing import watch_values
from mlorch_site.lib import clock
from registry.approvals.selectors import approval_progress

NAME_MAX = 256


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: a misspelt field must not be ignored in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            raise serializers.ValidationError(dict.fromkeys(sorted(unknown), "This field is not known."))
        return super().to_internal_value(data)


class ReleaseRequestSerializer(StrictSerializer):
    """The body of `POST /releases`."""

    model = serializers.CharField(max_length=NAME_MAX)
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    environment = serializers.CharField(max_length=40)
    endpoint = serializers.RegexField(r"^[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?$")
    reason = serializers.CharField(max_length=2000, allow_blank=True, default="")
    strategy = serializers.DictField(default=dict, help_text="Empty: that of the template.")
    guardrails = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        allow_null=True,
        default=None,
        help_text="Kinds, methods and options are in docs/strategies.md; null takes those of the policy.",
    )
    ticket = serializers.CharField(max_length=200, allow_blank=True, default="")
    supersedes = serializers.CharField(max_length=36, allow_blank=True, default="")
    template = serializers.CharField(max_length=36, allow_blank=True, default="")
    group = serializers.CharField(max_length=36, allow_blank=True, default="")
    queue = serializers.BooleanField(
        default=False, help_text="Wait behind the endpoint's open release when there is one: 202 with the place."
    )

    @property
    def may_wait(self) -> bool:
        return bool(self.validated_data["queue"])

    def command(self) -> ReleaseCommand:
        """The validated body as a command."""
        return ReleaseCommand(**{name: value for name, value in self.validated_data.items() if name != "queue"})


class QueuedRequestSerializer(serializers.ModelSerializer[QueuedRequest]):
    """A request that waits for its turn, or waited: `outcome` is empty, `requested`, `refused` or `withdrawn`; `place`
    orders those of an endpoint, the lowest is next.
    """

    environment = serializers.CharField(source="endpoint.environment.name")
    endpoint = serializers.CharField(source="endpoint.name")
    requester = serializers.CharField(source="requester.username")

    class Meta:
        model = QueuedRequest
        fields = [
            *("id", "environment", "endpoint", "version", "requester", "place", "command", "created_at"),
            *("ended_at", "outcome", "sentence", "release"),
        ]


class ReasonSerializer(StrictSerializer):
    """A body that holds only a reason."""

    reason = serializers.CharField(max_length=2000, allow_blank=True, default="")


class ReleaseIdField(serializers.UUIDField):
    """The id of a release, as the services take it."""

    def to_internal_value(self, data: Any) -> Any:
        return str(super().to_internal_value(data))


class RollbackSerializer(ReasonSerializer):
    """The body of `POST /endpoints/{environment}/{name}/rollback`.

    `expects` is the release to take back: the endpoint's `live_release`, or without one its `stable_release`.
    """

    expects = ReleaseIdField()


class RetireSerializer(ReasonSerializer):
    """The body of `POST /endpoints/{environment}/{name}/retire`: `expects` is its `stable_release`, null for none."""

    expects = ReleaseIdField(allow_null=True)


class DecisionSerializer(StrictSerializer):
    """The body of `POST /releases/{id}/decisions`."""

    decision = serializers.CharField(max_length=20)
    comment = serializers.CharField(max_length=4000, allow_blank=True, default="")
    on_behalf_of = serializers.CharField(max_length=150, allow_blank=True, default="")


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    class Meta:
        model = Rollout
        fields = [
            "phase",
            "step",
            "weight_pct",
            "waiting_for",
            "assessment",
            "began_at",
            "deadline_at",
            "held_at",
            "outcome",
            "outcome_reason",
        ]


def emergency_of(release: Release | None) -> dict[str, Any] | None:
    """The emergency in which what a release brings began without its approvals, for ever; null without one."""
    used = release.emergency if release else None
    if used is None:
        return None
    return {
        "id": str(used.pk),
        "used_by": used.used_by.username,
        "used_at": used.used_at,
        "ticket": used.ticket,
        "review_is_open": used.is_open,
    }


class ReleaseSerializer(serializers.ModelSerializer[Release]):
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    environment = serializers.CharField(source="endpoint.environment.name")
    endpoint = serializers.CharField(source="endpoint.name")
    requester = serializers.CharField(source="requester.username")
    plan_hash = serializers.CharField(source="content_hash")
    policy = serializers.SerializerMethodField()
    replaces = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()
    rollout = serializers.SerializerMethodField()
    emergency = serializers.SerializerMethodField()

    class Meta:
        model = Release
        fields = [
            "id",
            "kind",
            "status",
            "status_reason",
            "model",
            "version",
            "environment",
            "endpoint",
            "digest",
            "strategy",
            "guardrails",
            "plan",
            "plan_hash",
            "policy",
            "requester",
            "reason",
            "replaces",
            "rollout",
            "emergency",
            "created_at",
            "started_at",
            "ended_at",
            "url",
        ]

    def get_policy(self, release: Release) -> int:
        return release.policy.revision

    def get_emergency(self, release: Release) -> dict[str, Any] | None:
        return emergency_of(release)

    def get_replaces(self, release: Release) -> int | None:
        return release.replaces.version.number if release.replaces else None

    def get_url(self, release: Release) -> str:
        return f"{settings.WEB_URL}{reverse('release', args=[release.pk])}"

    def get_rollout(self, release: Release) -> dict[str, Any] | None:
        rollout = getattr(release, "rollout", None)
        return dict(RolloutSerializer(rollout).data) if rollout else None


class ReleaseDetailSerializer(ReleaseSerializer):
    """A release with its approval, its rollback target and its history."""

    approval = serializers.SerializerMethodField()
    rollback_target = serializers.SerializerMethodField()
    events = serializers.SerializerMethodField()
    watch = serializers.SerializerMethodField()

    class Meta(ReleaseSerializer.Meta):
        fields = [*ReleaseSerializer.Meta.fields, "approval", "rollback_target", "watch", "events"]

    def get_watch(self, release: Release) -> dict[str, Any] | None:
        """How the watch after the promotion stands: shares from 0 to 1, the sum of the CUSUM and its limit."""
        return watch_values(release)

    def get_approval(self, release: Release) -> dict[str, Any] | None:
        request = release.approval
        if request is None:
            return None
        progress, timer = approval_progress(request), getattr(request, "timer", None)
        return {
            "id": str(request.pk),
            "status": request.status,
            "missing": progress.missing,
            "expires_at": request.expires_at,
            "escalated_at": timer.escalated_at if timer else None,
            "escalated_to": timer.escalated_to if timer else "",
            "rules": [
                {"role": r.role, "group": r.group, "name": r.name, "count": r.needed, "given_by": r.given_by}
                for r in progress.rules
            ],
            "decisions": [
                {
                    "person": d.by,
                    "decision": d.kind,
                    "comment": d.comment,
                    "at": d.at,
                    "proven_by": d.proven_by,
                    "proven_at": d.proven_at,
                }
                for d in request.decisions.select_related("person", "on_behalf_of")
            ],
        }

    def get_rollback_target(self, release: Release) -> dict[str, Any]:
        target = selectors.original_of(release.replaces) if release.replaces else None
        if target is None:
            return {"version": None, "sentence": "First release of this endpoint: there is no version to roll back to."}
        return {"version": target.version.number, "sentence": f"A rollback returns to version {target.version.number}."}

    def get_events(self, release: Release) -> list[dict[str, Any]]:
        return [dict(EventSerializer(event).data) for event in release.events.all()]


class EventSerializer(serializers.ModelSerializer[ReleaseEvent]):
    class Meta:
        model = ReleaseEvent
        fields = ["at", "kind", "old", "new", "sentence", "actor", "data"]


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    environment = serializers.CharField(source="environment.name")
    model = serializers.CharField(source="model.name")
    stable_version = serializers.SerializerMethodField()
    arms = serializers.SerializerMethodField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Endpoint
        fields = [
            "environment",
            "name",
            "model",
            "stable_version",
            "stable_release",
            "arms",
            "created_at",
            "retired_at",
            "url",
        ]

    def get_stable_version(self, endpoint: Endpoint) -> int | None:
        return endpoint.stable_release.version.number if endpoint.stable_release else None

    def get_arms(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        arms = endpoint.arms.all()
        return [
            {
                "arm": a.arm,
                "version": a.version.number,
                "weight_pct": a.weight_pct,
                "mirror_pct": a.mirror_pct,
                "release": str(a.release_id),
            }
            for a in arms
        ]

    def get_url(self, endpoint: Endpoint) -> str:
        return f"{settings.GATEWAY_URL}/{endpoint.environment.name}/endpoints/{endpoint.name}/invocations"


class ServingConfigSerializer(serializers.ModelSerializer[ServingConfig]):
    """The newest revision of how an endpoint is served."""

    class Meta:
        model = ServingConfig
        fields = ["revision", *(field.name for field in fields_of(ServingWish)), "created_at", "created_by"]


class ServingChangesSerializer(StrictSerializer):
    """What is to change; what is left out stays. Bounds are the service's."""

    replicas = serializers.IntegerField(required=False)
    timeout_ms = serializers.IntegerField(required=False)
    max_in_flight = serializers.IntegerField(required=False)
    max_body_bytes = serializers.IntegerField(required=False)
    memory_limit_mb = serializers.IntegerField(required=False)
    cpu_threads = serializers.IntegerField(required=False)
    start_timeout_s = serializers.IntegerField(required=False)
    drain_s = serializers.IntegerField(required=False)
    max_restarts = serializers.IntegerField(required=False)
    keep_previous_s = serializers.IntegerField(required=False)
    max_batch_rows = serializers.IntegerField(required=False)
    max_batch_delay_ms = serializers.IntegerField(required=False)
    rows_independent = serializers.BooleanField(required=False)
    nan_literal = serializers.BooleanField(required=False)
    retry_on_stable = serializers.BooleanField(required=False)
    network = serializers.BooleanField(required=False)
    log_share_pct = serializers.DecimalField(required=False, max_digits=6, decimal_places=3)
    log_redacted = serializers.ListField(required=False, child=serializers.CharField(max_length=200))
    cost_per_replica_hour = serializers.DecimalField(required=False, max_digits=9, decimal_places=4)
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)
    expects_revision = serializers.IntegerField(required=False, min_value=1)


class EndpointDetailSerializer(EndpointSerializer):
    """An endpoint with its replicas, routes and rollback target."""

    replicas = serializers.SerializerMethodField()
    routes = serializers.SerializerMethodField()
    live_release = serializers.SerializerMethodField()
    rollback_target = serializers.SerializerMethodField()
    emergency = serializers.SerializerMethodField()

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "emergency", "live_release", "replicas", "routes", "rollback_target"]

    def get_emergency(self, endpoint: Endpoint) -> dict[str, Any] | None:
        return emergency_of(endpoint.stable_release)

    def get_live_release(self, endpoint: Endpoint) -> str | None:
        live = selectors.live_release(endpoint)
        return str(live.pk) if live else None

    def get_replicas(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        return [
            {
                "id": row.replica.pk,
                "version": row.replica.version.number,
                "purpose": row.purpose,
                "state": row.state,
                "message": row.message,
                "profile": row.profile,
                "restarts": row.observed.restarts if row.observed else 0,
                "memory_mb": row.observed.memory_mb if row.observed else 0,
            }
            for row in selectors.replicas_of(endpoint)
        ]

    def get_routes(self, endpoint: Endpoint) -> dict[str, Any]:
        gateways = live_gateways(clock.now())
        name = endpoint.environment.name
        return {
            "wanted": newest_revision(endpoint.environment),
            "applied": {gateway.gateway: gateway.applied.get(name, 0) for gateway in gateways},
        }

    def get_rollback_target(self, endpoint: Endpoint) -> int | None:
        target = selectors.rollback_target(endpoint)
        return target.version.number if target else None
