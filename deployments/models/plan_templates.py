"""Plans under a name, for requests that begin with them."""

import uuid

from django.db import models

from registry.models import Environment, Model


class PlanTemplate(models.Model):
    """One revision of a plan that has a name: strategy and guardrails as a request writes them. It is never changed;
    another revision, or nobody's wish for it, ends it.

    It is offered for one environment, one model, both, or everywhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=60)
    revision = models.PositiveIntegerField()
    environment = models.ForeignKey(Environment, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    strategy = models.JSONField()
    guardrails = models.JSONField(default=list)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "-revision"]
        constraints = [
            models.UniqueConstraint(fields=["name", "revision"], name="one_plan_template_revision"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(ended_at__isnull=True), name="one_plan_template_of_a_name"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}, revision {self.revision}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes it lies in; empty when it is for everywhere."""
        return [part.scope for part in (self.environment, self.model) if part is not None]

    @property
    def place(self) -> str:
        """Where it is offered, as people read it."""
        parts = [part.name for part in (self.model, self.environment) if part is not None]
        return f"for {' in '.join(parts)}" if parts else "everywhere"
