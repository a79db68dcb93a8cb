"""What the traffic of an endpoint was from a moment on."""

from django.db import models

from deployments.models.endpoints import Endpoint
from deployments.models.releases import Release


class TrafficChange(models.Model):
    """How an endpoint stood after one change of its traffic. Written with the change, and never changed.

    `arms`: `[{"arm", "release", "weight_pct", "mirror_pct"}, …]`; a release froze version and digest, so its id is
    enough. `release` is the one whose rollout made the change. `route_revision` is the route table that carried it.
    `is_derived`: it was put together from the histories of releases, for changes before these rows were kept.
    """

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="traffic_changes")
    at = models.DateTimeField(db_index=True)
    sentence = models.CharField(max_length=500)
    actor = models.CharField(max_length=150)
    release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    stable_release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    arms = models.JSONField(default=list)
    is_retired = models.BooleanField(default=False)
    route_revision = models.PositiveIntegerField(default=0)
    is_derived = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        # By the id and not by the time: the clock may have been put back.
        indexes = [models.Index(fields=["endpoint", "id"], name="traffic_of_endpoint")]

    def __str__(self) -> str:
        return f"{self.endpoint} at {self.at}: {self.sentence}"
