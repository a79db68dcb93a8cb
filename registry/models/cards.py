"""Model cards: what people say of a version, revision by revision."""

from django.conf import settings
from django.db import models

from registry.models.mirror import Version


class CardRevision(models.Model):
    """One revision of a version's model card; the newest is in force. Written once, never changed.

    `content` has the fields of `registry.cards.card_content`; `digest` is over it. `files_digest` is that of the
    version's files when it was written, empty when it was not known.
    """

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="card_revisions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    digest = models.CharField(max_length=80)
    files_digest = models.CharField(max_length=80, blank=True)
    note = models.CharField(max_length=300, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="card_revisions")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["version", "number"], name="one_row_per_card_revision")]

    def __str__(self) -> str:
        return f"card of {self.version}, revision {self.number}"


class CardPdf(models.Model):
    """A revision as a PDF: asked for, made by the work queue, kept. `error` says why it could not be made."""

    revision = models.OneToOneField(CardRevision, on_delete=models.CASCADE, related_name="pdf")
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    made_at = models.DateTimeField(null=True, blank=True)
    data = models.BinaryField(null=True)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"PDF of the {self.revision}"
