"""The audit record in the admin: to read, never to write."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.models import AuditRecord


@admin.register(AuditRecord)
class AuditRecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Records, newest first."""

    list_display = ["sequence", "at", "actor", "action", "subject_kind", "subject_label", "reason"]
    list_filter = ["actor_kind", "subject_kind"]
    search_fields = ["actor", "action", "subject_id", "subject_label"]
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(Action.AUDIT_VIEW)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(Action.AUDIT_VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
