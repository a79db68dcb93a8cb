"""Plans that were tried by simulation."""

import uuid

from django.db import models

from deployments.models.endpoints import Endpoint


class PlanSimulation(models.Model):
    """A plan tried with the traffic of an endpoint and some truths about the candidate.

    `inputs` is all that it rests on and never changes: the strategy and guardrails, the deadline, the traffic, the
    truths in points of errors, how many rollouts, the seed; the same inputs give the same results. `done` of `total`
    rollouts have ended. `due_at` is when it is taken up again should whoever works on it have ended; None when there is
    nothing to do.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="simulations")
    asked_by = models.CharField(max_length=150)
    inputs = models.JSONField()
    created_at = models.DateTimeField(db_index=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField()
    results = models.JSONField(default=list)
    error = models.CharField(max_length=500, blank=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"a plan for {self.endpoint}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes it lies in."""
        return self.endpoint.scopes
