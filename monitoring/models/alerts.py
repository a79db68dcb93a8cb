"""Alert rules, how they stand, the alerts that came of them, and what was done about those."""

import uuid
from datetime import datetime

from django.db import models

from mlorch_site.accounts.roles import Role
from monitoring.alerts.alert_machine import RuleStand
from monitoring.alerts.lifecycle import AlertSeverity, BoundSide, RuleKind, RuleMetric, RuleState, WatchedAct
from monitoring.alerts.rule_terms import RuleTerms
from monitoring.models.objectives import Objective, OfEndpoint


class AlertRule(OfEndpoint):
    """A rule about one endpoint. It is never changed, only ended, so that an alert says what it was about.

    It fires when it is broken at every look for `for_min` minutes, and an alert ends when it is kept at every look for
    `clear_min` minutes. After `escalate_after_min` minutes that nobody acknowledged, holders of `escalate_to` are told.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    objective = models.ForeignKey(Objective, null=True, blank=True, on_delete=models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=10, choices=[(kind.value, kind.value) for kind in RuleKind])
    metric = models.CharField(max_length=12, blank=True, choices=[(one.value, one.value) for one in RuleMetric])
    direction = models.CharField(
        max_length=5, default=BoundSide.ABOVE, choices=[(one.value, one.value) for one in BoundSide]
    )
    watched_act = models.CharField(max_length=12, blank=True, choices=[(act.value, act.value) for act in WatchedAct])
    bound = models.FloatField(default=0)
    over_min = models.PositiveIntegerField(default=5)
    minimum = models.PositiveIntegerField(default=0)
    for_min = models.PositiveIntegerField(default=0)
    clear_min = models.PositiveIntegerField(default=5)
    severity = models.CharField(
        max_length=6, default=AlertSeverity.URGENT, choices=[(one.value, one.value) for one in AlertSeverity]
    )
    escalate_after_min = models.PositiveIntegerField(null=True, blank=True)
    escalate_to = models.CharField(max_length=20, blank=True, choices=[(role.value, role.label) for role in Role])
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["environment", "endpoint", "created_at"]
        indexes = [models.Index(fields=["environment", "endpoint"], name="alert_rule_by_endpoint")]

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}"

    @property
    def terms(self) -> RuleTerms:
        return RuleTerms(
            kind=RuleKind(self.kind),
            metric=RuleMetric(self.metric) if self.metric else None,
            direction=BoundSide(self.direction),
            bound=self.bound,
            over_min=self.over_min,
            minimum=self.minimum,
            target_share=self.objective.target_share if self.objective else None,
            slo_ms=self.objective.slo_ms if self.objective else None,
            watched_act=WatchedAct(self.watched_act) if self.watched_act else None,
        )

    @property
    def sentence(self) -> str:
        """The rule as people read it."""
        of = f"{self.objective.sentence}. " if self.objective else ""
        return f"{of}{self.terms.sentence}"


class Alert(models.Model):
    """One time that a rule fired. `sentence` and `numbers` are what it fired on; `occasion` counts how often it is told
    anew, which it is when a silence ends while it still fires.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="alerts")
    fired_at = models.DateTimeField(db_index=True)
    sentence = models.CharField(max_length=500)
    numbers = models.JSONField(default=dict)
    occasion = models.PositiveIntegerField(default=0)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-fired_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule"], condition=models.Q(resolved_at__isnull=True), name="one_open_alert_of_a_rule"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule.place}: {self.sentence}"

    @property
    def state(self) -> str:
        """`firing`, `acknowledged` or `resolved`."""
        if self.resolved_at is not None:
            return "resolved"
        return "firing" if self.acknowledged_at is None else "acknowledged"


class RuleStanding(models.Model):
    """How a rule stands, from look to look: the row that looks are serialised by. `due_at` is the next one."""

    rule = models.OneToOneField(AlertRule, primary_key=True, on_delete=models.CASCADE, related_name="standing")
    state = models.CharField(
        max_length=8, default=RuleState.NO_DATA, choices=[(state.value, state.value) for state in RuleState]
    )
    since = models.DateTimeField()
    broken_since = models.DateTimeField(null=True, blank=True)
    kept_since = models.DateTimeField(null=True, blank=True)
    alert = models.ForeignKey(Alert, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    sentence = models.CharField(max_length=500, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.state}: {self.sentence}"

    @property
    def stand(self) -> RuleStand:
        return RuleStand(
            RuleState(self.state), self.since, self.alert_id is not None, self.broken_since, self.kept_since
        )


class AlertEvent(models.Model):
    """One line of a rule's history, of an alert when there is one."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="events")
    alert = models.ForeignKey(Alert, null=True, blank=True, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    actor = models.CharField(max_length=150)
    sentence = models.CharField(max_length=2100)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.sentence


class Silence(models.Model):
    """Until `until` nobody is told of a rule's alerts. It ends by itself, or earlier when somebody ends it."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="silences")
    until = models.DateTimeField()
    reason = models.CharField(max_length=2000)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule"], condition=models.Q(ended_at__isnull=True), name="one_silence_of_a_rule"
            )
        ]

    def __str__(self) -> str:
        return f"silent until {self.until:%Y-%m-%d %H:%M}"

    def holds(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.until
