"""Policy in the admin: every save writes the next revision; earlier ones can be read, never changed."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Invalid
from registry.models import Environment, Policy
from registry.sandbox_warning import SandboxWarning
from registry.services.environments import POLICY_FIELDS, check_policy, policy_revise


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a policy before it is written, and says which field is wrong."""

    class Meta:
        model = Policy
        fields = ["environment", *POLICY_FIELDS]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            check_policy({name: values[name] for name in POLICY_FIELDS if name in values})
        except Invalid as error:
            raise ValidationError(
                {name: str(text) for name, text in error.details.items() if name in self.fields}
            ) from error
        return values


@admin.register(Policy)
class PolicyAdmin(SandboxWarning):
    """Revisions of policies. "Change" shows a revision and saves the next one."""

    form = PolicyForm
    list_display = [
        "environment",
        "revision",
        "approval_rules",
        "guardrails_required",
        "created_at",
        "created_by",
        "note",
    ]
    list_filter = ["environment"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["environment"] if obj else []

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in POLICY_FIELDS if name in form.cleaned_data}
        made = policy_revise(actor=actor_of(request), environment=obj.environment, **values)
        obj.pk, obj.revision = made.pk, made.revision
        messages.info(
            request, f"Saved as revision {made.revision}. Open releases keep the revision they were requested under."
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(Action.POLICY_EDIT)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(Action.POLICY_EDIT)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(Action.POLICY_EDIT)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(Action.POLICY_EDIT)


@admin.register(Environment)
class EnvironmentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Environments, to look at; they are made by the installation and by services."""

    list_display = ["name", "position", "platform", "aliases", "replica_quota"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
