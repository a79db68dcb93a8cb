"""How the registry looks over REST."""

from typing import Any

from rest_framework import serializers

from registry.models import Environment, Model, Policy, Version
from registry.policy_fields import POLICY_FIELDS
from registry.rename_candidates import RenameCandidate, RenameEffect

ORIGIN = (
    "params",
    "datasets",
    "git_commit",
    "run_user",
    "run_url",
    "experiment",
    "flavors",
    "requirements",
    "python",
)


class ModelSerializer(serializers.ModelSerializer[Model]):
    aliases = serializers.SerializerMethodField()

    class Meta:
        model = Model
        fields = ["name", "description", "tags", "risk_tier", "owner", "aliases", "created_at", "updated_at"]

    def get_aliases(self, model: Model) -> dict[str, int]:
        return {alias.name: alias.version_number for alias in model.aliases.all()}


class RenameCandidateSerializer(serializers.Serializer[Any]):
    """A model that a missing one may be, and what saying so changes."""

    model = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    why_not = serializers.CharField()
    arriving = serializers.ListField(child=serializers.IntegerField())
    superseded = serializers.ListField(child=serializers.IntegerField())
    absent = serializers.ListField(child=serializers.IntegerField())
    rewritten_aliases = serializers.DictField(child=serializers.IntegerField())
    expects = serializers.CharField()


def rename_told(candidate: RenameCandidate, effect: RenameEffect) -> dict[str, Any]:
    """A candidate as `RenameCandidateSerializer` describes it."""
    return {
        "model": candidate.model.name,
        "reasons": candidate.reasons,
        "why_not": candidate.why_not,
        "arriving": effect.arriving,
        "superseded": effect.superseded,
        "absent": effect.absent,
        "rewritten_aliases": effect.aliases,
        "expects": effect.expects,
    }


class RenameDeclarationSerializer(serializers.Serializer[Any]):
    """The body of `POST /models/{name}/renames`."""

    model = serializers.CharField(max_length=256)
    expects = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=300)


class VersionSerializer(serializers.ModelSerializer[Version]):
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    metrics = serializers.SerializerMethodField()
    origin = serializers.SerializerMethodField()

    class Meta:
        model = Version
        fields = [
            "model",
            "version",
            "status",
            "status_message",
            "lifecycle",
            "run_id",
            "description",
            "tags",
            "signature",
            "metrics",
            "origin",
            "digest",
            "digest_status",
            "digest_error",
            "size_bytes",
            "created_at",
            "updated_at",
        ]

    def get_metrics(self, version: Version) -> dict[str, Any]:
        metrics: dict[str, Any] = version.evidence.get("metrics", {})
        return metrics

    def get_origin(self, version: Version) -> dict[str, Any]:
        """How the version was made and what it needs to run, as far as it is known."""
        return {key: version.evidence[key] for key in ORIGIN if key in version.evidence}


class EnvironmentSerializer(serializers.ModelSerializer[Environment]):
    class Meta:
        model = Environment
        fields = ["name", "position", "platform", "description", "aliases"]


class PolicySerializer(serializers.ModelSerializer[Policy]):
    environment = serializers.CharField(source="environment.name")
    model = serializers.CharField(source="model.name", default=None, allow_null=True)
    tier = serializers.CharField(help_text="The risk tier of the line, empty for every tier.")
    written_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    published_by = serializers.CharField(source="published_by.username", default=None, allow_null=True)

    class Meta:
        model = Policy
        fields = [
            "environment",
            "model",
            "tier",
            "revision",
            *POLICY_FIELDS,
            "created_at",
            "retired_at",
            "written_by",
            "published_by",
        ]
