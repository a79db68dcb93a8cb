"""The audit record in the admin: to read, never to write."""

from django.contrib import admin

from mlorch_site.accounts.read_only_admin import ReadOnlyAdmin
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.models import AuditRecord


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """Records, newest first."""

    action = Action.AUDIT_VIEW
    list_display = ["sequence", "at", "actor", "action", "subject_kind", "subject_label", "reason"]
    list_filter = ["actor_kind", "subject_kind"]
    search_fields = ["actor", "action", "subject_id", "subject_label"]
    show_full_result_count = False
