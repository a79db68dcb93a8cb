"""Acts on the audit record itself are recorded too."""

from django.db import transaction

from mlorch_site import audit
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action


@transaction.atomic
def export_note(*, actor: Actor) -> None:
    """Record that the log was exported."""
    actor.require(Action.AUDIT_VIEW)
    audit.record(actor, "audit.exported", audit.Subject("audit", "log", "audit log"))
