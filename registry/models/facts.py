"""What was known of models and versions, and since when."""

from django.db import models

from registry.lifecycle import FactKind
from registry.models.mirror import Model, Version


class Fact(models.Model):
    """What became known of a model, or of one of its versions, at a moment. Written with the change, never changed.

    What was known at a time is the newest fact of each kind (and `key`, the name of an alias) by then. `value` is a
    text: of an alias the version's number, empty for nowhere; of `deleted` the word `yes` or nothing.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="facts")
    version = models.ForeignKey(Version, null=True, blank=True, on_delete=models.CASCADE, related_name="facts")
    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in FactKind])
    key = models.CharField(max_length=255, blank=True)
    value = models.CharField(max_length=256, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        # By the id and not by the time: the clock may have been put back.
        indexes = [
            models.Index(fields=["model", "version", "id"], name="fact_of_model"),
            models.Index(fields=["version", "id"], name="fact_of_version"),
        ]

    def __str__(self) -> str:
        return f"{self.version or self.model}: {self.kind} {self.key} {self.value}"
