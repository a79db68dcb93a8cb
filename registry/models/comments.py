"""What people say about an approval request, and whom they name."""

from django.conf import settings
from django.db import models

from registry.models.approvals import ApprovalRequest


class Comment(models.Model):
    """A comment on a request, Markdown. `parent` is the comment that it replies to; replies have no replies."""

    request = models.ForeignKey(ApprovalRequest, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approval_comments")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="replies")
    text = models.TextField()
    at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.author} on {self.request}"


class CommentEdit(models.Model):
    """What a comment said before it was edited."""

    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, related_name="edits")
    text = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.comment} until {self.at:%Y-%m-%d %H:%M}"


class Mention(models.Model):
    """A person was named in a comment. It waits for them until `done_at`: they answered, decided, or said so."""

    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, related_name="mentions")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="approval_mentions")
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comment", "person"], name="one_mention_per_comment")]
        indexes = [models.Index(fields=["person", "done_at"], name="mention_by_person")]

    def __str__(self) -> str:
        return f"{self.person} in {self.comment}"
