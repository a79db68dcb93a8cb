"""Reads of the record that take the actor."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.models import AuditRecord, AuditScope


def audit_visible_to(actor: Actor) -> QuerySet[AuditRecord]:
    """The records an actor may see: all with a binding everywhere, else those of its scopes and of its own acts."""
    scopes = actor.visible_scopes()
    if scopes is None:
        return AuditRecord.objects.all()
    own = Q(actor=actor.name, actor_kind__in=("person", "token"))
    return AuditRecord.objects.filter(own | Exists(AuditScope.objects.filter(record=OuterRef("pk"), scope__in=scopes)))
