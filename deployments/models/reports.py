"""Reports, and their PDFs."""

from django.db import models

from deployments.models.releases import Release
from registry.models import Environment, Model


class Report(models.Model):
    """The record of an ended release or rollback, or of a period. Written once, never changed: `digest` covers the
    document, and the audit record has it too.

    `kind` is `release`, `rollback` or `period`, or what another part adds. Without a `release` it is about the releases
    of `environment` and `model`, of all where one is None.
    """

    release = models.OneToOneField(Release, null=True, blank=True, on_delete=models.CASCADE, related_name="report")
    kind = models.CharField(max_length=12)
    environment = models.ForeignKey(Environment, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    model = models.ForeignKey(Model, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    document = models.JSONField()
    digest = models.CharField(max_length=80)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["created_at"], name="report_by_time")]

    def __str__(self) -> str:
        return f"report of {self.release or self.about}"

    @property
    def about(self) -> str:
        """What a report without a release is about."""
        parts = [str(part) for part in (self.environment, self.model) if part is not None]
        return f"{self.kind} of {' and '.join(parts) or 'all environments'}"

    @property
    def scopes(self) -> list[str]:
        """The permission scopes that it lies in; without any it is for those who see everything."""
        if self.release is not None:
            return self.release.scopes
        return [part.scope for part in (self.environment, self.model) if part is not None]


class ReportPdf(models.Model):
    """A report as a PDF: asked for, made by the work queue, kept. `error` says why it could not be made."""

    report = models.OneToOneField(Report, on_delete=models.CASCADE, related_name="pdf")
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    made_at = models.DateTimeField(null=True, blank=True)
    data = models.BinaryField(null=True)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"PDF of the {self.report}"
