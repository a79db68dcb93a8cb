"""Objectives, rules and alerts as REST shows them."""

from typing import Any

from rest_framework import serializers

from monitoring.models import Alert, AlertEvent, AlertRule, Objective, Silence


class OfEndpointSerializer(serializers.ModelSerializer[Any]):
    """Where it belongs, by names."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    model = serializers.CharField(source="model.name", read_only=True)


class ObjectiveSerializer(OfEndpointSerializer):
    """An objective and its budget. Shares are 0–1, null without requests, which is no pass."""

    kind = serializers.CharField(read_only=True, help_text="availability or latency")
    sentence = serializers.CharField(read_only=True)
    target_pct = serializers.FloatField(read_only=True)
    status = serializers.CharField(source="standing.budget.status", read_only=True)
    requests = serializers.IntegerField(source="standing.requests", read_only=True)
    bad = serializers.IntegerField(source="standing.bad", read_only=True)
    good_share = serializers.FloatField(source="standing.budget.good_share", read_only=True, allow_null=True)
    budget_requests = serializers.FloatField(source="standing.budget.total", read_only=True)
    budget_left_requests = serializers.FloatField(source="standing.budget.left", read_only=True)
    budget_spent_share = serializers.FloatField(source="standing.budget.spent_share", read_only=True, allow_null=True)
    burn_rate = serializers.FloatField(source="standing.burn_rate", read_only=True, allow_null=True)
    measured_days = serializers.IntegerField(source="standing.measured_days", read_only=True)
    measured_at = serializers.DateTimeField(source="standing.at", read_only=True)

    class Meta:
        model = Objective
        fields = [
            *("id", "environment", "endpoint", "model", "kind", "sentence", "target_pct", "slo_ms", "window_days"),
            *("created_at", "created_by", "ended_at", "status", "requests", "bad", "good_share", "budget_requests"),
            *("budget_left_requests", "budget_spent_share", "burn_rate", "measured_days", "measured_at"),
        ]


class AlertRuleSerializer(OfEndpointSerializer):
    """A rule and how it stands."""

    kind = serializers.CharField(read_only=True, help_text="burn_fast, burn_slow, threshold, change or absence")
    escalate_to = serializers.CharField(read_only=True)
    sentence = serializers.CharField(read_only=True)
    state = serializers.CharField(source="standing.state", read_only=True)
    state_since = serializers.DateTimeField(source="standing.since", read_only=True)
    found = serializers.CharField(source="standing.sentence", read_only=True)
    looked_at = serializers.DateTimeField(source="standing.looked_at", read_only=True, allow_null=True)

    class Meta:
        model = AlertRule
        fields = [
            *(
                "id",
                "environment",
                "endpoint",
                "model",
                "objective",
                "kind",
                "sentence",
                "metric",
                "direction",
                "watched_act",
                "bound",
            ),
            *("over_min", "minimum", "for_min", "clear_min", "severity", "escalate_after_min", "escalate_to"),
            *("created_at", "created_by", "ended_at", "state", "state_since", "found", "looked_at"),
        ]


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """An alert: `state` is firing, acknowledged or resolved."""

    environment = serializers.CharField(source="rule.environment.name", read_only=True)
    endpoint = serializers.CharField(source="rule.endpoint", read_only=True)
    model = serializers.CharField(source="rule.model.name", read_only=True)
    rule_sentence = serializers.CharField(source="rule.sentence", read_only=True)
    severity = serializers.CharField(source="rule.severity", read_only=True)
    state = serializers.CharField(read_only=True)
    is_silent = serializers.BooleanField(read_only=True)

    class Meta:
        model = Alert
        fields = [
            *("id", "environment", "endpoint", "model", "rule", "rule_sentence", "severity", "state", "is_silent"),
            *("fired_at", "sentence", "numbers", "acknowledged_at", "acknowledged_by", "escalated_at"),
            *("resolved_at", "resolution"),
        ]


class AlertEventSerializer(serializers.ModelSerializer[AlertEvent]):
    class Meta:
        model = AlertEvent
        fields = ["at", "kind", "actor", "sentence"]


class AlertDetailSerializer(AlertSerializer):
    """An alert with its history."""

    events = AlertEventSerializer(many=True, read_only=True)

    class Meta(AlertSerializer.Meta):
        fields = [*AlertSerializer.Meta.fields, "events"]


class SilenceSerializer(serializers.ModelSerializer[Silence]):
    class Meta:
        model = Silence
        fields = ["id", "rule", "until", "reason", "created_by", "created_at", "ended_at"]


class AcknowledgeSerializer(serializers.Serializer[Any]):
    """The body of `POST /alerts/{id}/acknowledge`."""

    note = serializers.CharField(max_length=2000, allow_blank=True, default="")


class SilenceWishSerializer(serializers.Serializer[Any]):
    """The body of `POST /alerts/{id}/silence`."""

    until = serializers.DateTimeField()
    reason = serializers.CharField(max_length=2000)
