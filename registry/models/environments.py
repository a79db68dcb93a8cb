"""Environments and the policies that rule them."""

from datetime import datetime

from django.conf import settings
from django.db import models

from dataplane.wire.sandbox import LEVELS
from registry.lifecycle import AuthorUnknown, ChangedOutside, RiskTier, WhenAlerting, WhenClosed
from registry.models.mirror import Model


class Environment(models.Model):
    """A place to run in. `aliases` says whether a promotion here moves MLflow's aliases."""

    name = models.SlugField(max_length=40, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    platform = models.CharField(max_length=20, default="local")
    description = models.CharField(max_length=300, blank=True)
    aliases = models.BooleanField(
        default=False, help_text="Promotions move champion, challenger and previous in MLflow."
    )

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> str:
        """The permission scope this environment forms."""
        return self.scope_of(self.name)

    @staticmethod
    def scope_of(name: str) -> str:
        """The scope of the environment with that name."""
        return f"environment:{name}"


class PolicyQuerySet(models.QuerySet["Policy"]):
    def in_force(self) -> "PolicyQuerySet":
        """The revision of each line that rules what is requested now."""
        return self.filter(retired_at=None)

    def at(self, instant: datetime) -> "PolicyQuerySet":
        """The revision of each line that was in force at `instant`."""
        return self.filter(models.Q(retired_at=None) | models.Q(retired_at__gt=instant), created_at__lte=instant)


class Policy(models.Model):
    """One immutable revision of a line of an environment's policy: its rules for one model, for one risk tier, for
    both, or (without either) for everything that no other line covers.

    Revisions are counted over all lines of the environment, so that a number names one text. One is in force from
    `created_at` until `retired_at`, null for the one in force. `model_made_at` is when MLflow had made the model of
    the line: the line is not taken to mean another one that was made later under its name. `published_by` is who
    brought it into force, `created_by` who wrote it.

    `protected`: what one administrator writes, another one publishes; an environment is protected when one of its lines
    says so.
    `approval_rules`: `[{"role": "reviewer", "count": 1}, …]`, all required.
    `gates`: names of the gates that run; `guardrails_required`: a release without guardrail is refused.
    `max_first_weight_pct`: upper bound of a plan's first weight, 100 for none. `allowed_strategies`: kinds.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="policies")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.PROTECT, related_name="policies")
    tier = models.CharField(max_length=8, blank=True, choices=[(tier.value, tier.value) for tier in RiskTier])
    model_made_at = models.DateTimeField(null=True, blank=True, editable=False)
    revision = models.PositiveIntegerField()
    protected = models.BooleanField(default=False, help_text="What one administrator writes, another one publishes.")
    approval_rules = models.JSONField(default=list, blank=True)
    approval_days = models.PositiveSmallIntegerField(default=30)
    gates = models.JSONField(default=list, blank=True)
    guardrails_required = models.BooleanField(default=False)
    default_guardrails = models.JSONField(default=list, blank=True)
    allowed_strategies = models.JSONField(default=list, blank=True)
    max_first_weight_pct = models.PositiveSmallIntegerField(default=100)
    sandbox_level_min = models.CharField(
        max_length=10,
        choices=[(level, level) for level in LEVELS],
        default="none",
        help_text="A replica does not start on a machine whose sandboxes are worse.",
    )
    judge_deadline_s = models.PositiveIntegerField(default=900)
    when_changed_outside = models.CharField(
        max_length=8,
        choices=[(c.value, c.value.replace("_", " ")) for c in ChangedOutside],
        default=ChangedOutside.GO_BACK,
        help_text="What a rollout does when its version is deleted or changed in MLflow meanwhile.",
    )
    refuse_taken_back = models.BooleanField(
        default=False,
        help_text="The gate not_taken_back refuses a version that was taken back somewhere, not only warns.",
    )
    windows = models.JSONField(
        default=list,
        blank=True,
        help_text="When rollouts may begin: freezes and release windows, docs/configuration.md.",
    )
    when_closed = models.CharField(
        max_length=8,
        choices=[(c.value, c.value.replace("_", " ")) for c in WhenClosed],
        default=WhenClosed.GO_ON,
        help_text="What a rollout that runs does when the environment closes.",
    )
    when_alerting = models.CharField(
        max_length=9,
        choices=[(c.value, c.value.replace("_", " ")) for c in WhenAlerting],
        default=WhenAlerting.GO_ON,
        help_text="What a rollout does while an alert fires on its endpoint that did not when it began.",
    )
    gate_parameters = models.JSONField(default=dict, blank=True, help_text="Gate → parameter → value.")
    required_metadata = models.JSONField(default=list, blank=True, help_text="Names of what a version has to say.")
    waiver_role = models.CharField(max_length=20, blank=True, help_text="Who may waive a gate; nobody when empty.")
    waiver_days_max = models.PositiveSmallIntegerField(default=30)
    reauthenticate_minutes = models.PositiveSmallIntegerField(
        default=0, help_text="A decision needs a sign-in confirmed within so many minutes; 0 asks for none."
    )
    remind_hours = models.PositiveSmallIntegerField(default=24)
    escalate_hours = models.PositiveSmallIntegerField(default=0, help_text="0 escalates never.")
    escalate_to = models.CharField(max_length=20, blank=True)
    bulk_decisions = models.BooleanField(default=False, help_text="Several releases may be decided at once.")
    when_author_unknown = models.CharField(
        max_length=8,
        choices=[(c.value, c.value.replace("_", " ")) for c in AuthorUnknown],
        default=AuthorUnknown.ANYONE,
        help_text="What is asked for when nobody here is known as who made a version.",
    )
    emergency_allowed = models.BooleanField(default=False, help_text="A release may begin without its approvals.")
    bake_s_min = models.PositiveIntegerField(default=0, help_text="Seconds that each step of a plan bakes at least.")
    requests_min = models.PositiveIntegerField(default=0, help_text="Requests that each step asks for at least.")
    margins_max = models.JSONField(default=dict, blank=True, help_text="Metric → widest margin of its guardrail.")
    hold_required = models.BooleanField(default=False, help_text="A person promotes; no plan does it by itself.")
    operators = models.JSONField(
        default=dict, blank=True, help_text="Rollback, pause, promote, abort → the roles that may, out of those able."
    )
    replicas_max = models.PositiveIntegerField(
        null=True, blank=True, help_text="Replicas that may run at the same time in the environment."
    )
    endpoints_max = models.PositiveIntegerField(
        null=True, blank=True, help_text="Endpoints that the environment may have, retired ones not counted."
    )
    cost_per_day_max = models.FloatField(
        null=True, blank=True, help_text="What all replicas of the environment may cost a day."
    )
    artifacts_kept_days = models.PositiveSmallIntegerField(
        default=0, help_text="Days for which what served stays restorable; 0: as long as the installation keeps it."
    )
    note = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="published_policies"
    )
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = PolicyQuerySet.as_manager()

    class Meta:
        ordering = ["environment", "-revision"]
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(fields=["environment", "revision"], name="one_policy_revision"),
            models.UniqueConstraint(
                fields=["environment", "tier"],
                condition=models.Q(model=None, retired_at=None),
                name="one_policy_in_force_of_a_tier",
            ),
            models.UniqueConstraint(
                fields=["environment", "model", "tier"],
                condition=models.Q(model__isnull=False, retired_at=None),
                name="one_policy_in_force_of_a_model",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} policy {self.revision}"
