"""When who is told again of an approval that waits."""

from django.db import models

from registry.models.approvals import ApprovalRequest


class ApprovalTimer(models.Model):
    """The deadlines of one approval request, from the policy that it froze. `due_at` is the nearest; null when there is
    none any more.

    `last_call_at` is a day before the request expires, null where that would be at its beginning. `escalated_to` is a
    role.
    """

    request = models.OneToOneField(ApprovalRequest, on_delete=models.CASCADE, related_name="timer")
    due_at = models.DateTimeField(null=True, blank=True, db_index=True)
    remind_at = models.DateTimeField(null=True, blank=True)
    reminders = models.PositiveSmallIntegerField(default=0)
    last_call_at = models.DateTimeField(null=True, blank=True)
    last_called_at = models.DateTimeField(null=True, blank=True)
    escalate_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    escalated_to = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return f"timer of {self.request}"
