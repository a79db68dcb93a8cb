"""What the preview of a release answers."""

from typing import Any

from rest_framework import serializers


class ApproverSerializer(serializers.Serializer[Any]):
    """Somebody who could approve; `absent_until` is the last day of an absence, null for who is there."""

    name = serializers.CharField()
    absent_until = serializers.DateField(allow_null=True)


class RuleOutlookSerializer(serializers.Serializer[Any]):
    """One approval rule with those who could meet it."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not its label
    people = ApproverSerializer(many=True)
    problem = serializers.CharField()
    warning = serializers.CharField()


class PreviewStepSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    title = serializers.CharField()
    detail = serializers.CharField()
    weight_pct = serializers.IntegerField(allow_null=True)
    starts_after_s = serializers.IntegerField()


class OfferSerializer(serializers.Serializer[Any]):
    """A strategy that would see enough, as a request takes it, and what it changes in a few words."""

    label = serializers.CharField()  # type: ignore[assignment]  # as above
    strategy = serializers.DictField()


class PreviewSerializer(serializers.Serializer[Any]):
    """What a release would do and need; with any of the `problems` (field → sentence) its request would be refused."""

    problems = serializers.DictField(child=serializers.CharField())
    warnings = serializers.ListField(child=serializers.CharField())
    steps = PreviewStepSerializer(many=True)
    shortest_s = serializers.IntegerField()
    rules = RuleOutlookSerializer(many=True)
    gates = serializers.ListField(child=serializers.CharField())
    guardrails = serializers.ListField(child=serializers.DictField())
    forecast = serializers.ListField(child=serializers.CharField())
    offers = OfferSerializer(many=True)
    rollback_target = serializers.CharField()
    plan_hash = serializers.CharField()
