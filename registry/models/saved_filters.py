"""Filters of the inbox that a person keeps under a name."""

from django.conf import settings
from django.db import models


class SavedFilter(models.Model):
    """What a person filters the inbox by, under a name of their own. `query` is as it stands in the address."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_filters")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=500)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="one_saved_filter_per_name")]

    def __str__(self) -> str:
        return self.name
