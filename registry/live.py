"""The handlers of the registry's own events: who is told of approvals, emergencies and drafts of policies."""

from mlorch_site.live.models import Event
from mlorch_site.live.outbox import on_event
from registry import draft_notices
from registry.approvals import approval_notices
from registry.approvals.approval_timers import timer_ensure
from registry.models import ApprovalRequest


def on_approval_opened(event: Event) -> None:
    """Set the deadlines of a request that is open."""
    request = ApprovalRequest.objects.select_related("policy").filter(pk=event.data["request"]).first()
    if request is not None:
        timer_ensure(request=request)


def register_all() -> None:
    """Register the kinds of notices and the event handlers; called once, when the app is ready."""
    approval_notices.register_kinds()
    draft_notices.register_kinds()
    on_event("approval.changed", on_approval_opened)
    on_event("approval.changed", approval_notices.on_approval_changed)
    on_event("approval.mentioned", approval_notices.on_approval_mentioned)
    on_event("emergency.changed", approval_notices.on_emergency_changed)
    on_event("policy.draft", draft_notices.on_draft_changed)
