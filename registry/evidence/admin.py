"""Signing keys, external checks and advisories in the admin: added and ended with a reason, never changed."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.read_only_admin import ReadOnlyAdmin
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, DomainError
from registry.evidence.services import (
    external_check_add,
    external_check_end,
    signing_key_add,
    signing_key_end,
)
from registry.models import AdvisorySet, ExternalCheck, SigningKey


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """Adds or ends, by the services: what they refuse is said at its field, and what was written stays."""

    request: HttpRequest
    add: Callable[..., Any]
    end: Callable[..., Any]

    def clean(self) -> dict[str, Any]:
        """Try it and undo it: the services know everything that is wrong."""
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            with transaction.atomic():
                self.act(values)
                transaction.set_rollback(True)
        except DomainError as error:
            at_fields = {name: str(text) for name, text in error.details.items() if name in self.fields}
            raise ValidationError(at_fields or error.message) from error
        return values

    def act(self, values: dict[str, Any]) -> Any:
        """Add or end, and return what the service returns."""
        actor, kept = actor_of(self.request), type(self.instance).objects.filter(pk=self.instance.pk).first()
        if kept is None:
            return type(self).add(actor=actor, **values)
        return type(self).end(actor, kept, values["ended_reason"])

    def _post_clean(self) -> None:
        """The services decide; the model's own checks would only say it again in other words."""


def _end_key(actor: Actor, key: SigningKey, reason: str) -> SigningKey:
    return signing_key_end(actor=actor, key=key, reason=reason)


def _end_check(actor: Actor, check: ExternalCheck, reason: str) -> ExternalCheck:
    return external_check_end(actor=actor, check=check, reason=reason)


class SigningKeyForm(SourceForm):
    """A key: name and PEM text; ended with a reason."""

    add, end = staticmethod(signing_key_add), staticmethod(_end_key)

    class Meta:
        model = SigningKey
        fields = ["name", "pem", "reason", "ended_reason"]
        labels = {"pem": "Public key", "ended_reason": "Why it ends"}
        help_texts = {
            "name": "What gates and reviewers call it.",
            "pem": "In PEM form (BEGIN PUBLIC KEY), on secp256r1, secp384r1 or secp521r1.",
            "reason": "Whose key it is, and why its signatures count.",
            "ended_reason": "Signatures that were made with it before do not count any more either.",
        }
        widgets = {"pem": forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})}


class ExternalCheckForm(SourceForm):
    """Somebody who is asked: name and address; ended with a reason."""

    add, end = staticmethod(external_check_add), staticmethod(_end_check)

    class Meta:
        model = ExternalCheck
        fields = ["name", "url", "reason", "ended_reason"]
        labels = {"url": "Address", "ended_reason": "Why it ends"}
        help_texts = {
            "name": "What policies call it, in the parameter check of the gate external_check.",
            "url": "Questions are posted there. Addresses that are not public need MLORCH_OUTGOING_PRIVATE_NETWORKS.",
            "reason": "Who answers, and what the answer is good for.",
            "ended_reason": "It is asked no more, and its answers do not count. For a new secret, add it again.",
        }


class CountsFilter(admin.SimpleListFilter):
    """Whether a row still counts."""

    title, parameter_name = "whether it counts", "counts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Counts"), ("no", "Was ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        return queryset.filter(ended_at__isnull=wanted == "yes") if wanted in ("yes", "no") else queryset


class AddedAndEnded(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """A list to which administrators add, and whose rows they end."""

    action = Action.POLICY_EDIT
    add_fields: tuple[str, ...]
    shown: tuple[str, ...] = ()
    list_filter = [CountsFilter]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(self.action)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(self.action) and (obj is None or obj.ended_at is None)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        ended = ("ended_at", "ended_by", "ended_reason") if obj and obj.ended_at else ("ended_reason",)
        return (*self.add_fields, *self.shown, "added_by", "added_at", *ended) if obj else self.add_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return tuple(name for name in self.get_fields(request, obj) if name != "ended_reason") if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"request": request})

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra_context = {"show_save_and_continue": False, "show_save_and_add_another": False, **(extra_context or {})}
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Conflict as error:  # between the form's look and the act
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        done = form.act(form.cleaned_data)
        row, secret = done if isinstance(done, tuple) else (done, "")
        for field in row._meta.concrete_fields:  # what the admin says of it next
            setattr(obj, field.attname, getattr(row, field.attname))
        if secret:
            said = f"Both sides sign with this secret, which is shown this once: {secret}"
            messages.warning(request, said)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Nothing hangs on a row."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it already."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The audit log has it already."""

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        messages.info(request, f"It was ended: {obj}.")
        return HttpResponseRedirect("../../")


@admin.register(SigningKey)
class SigningKeyAdmin(AddedAndEnded):
    """Public keys whose signatures of models count."""

    form = SigningKeyForm
    add_fields = ("name", "pem", "reason")
    shown = ("fingerprint",)
    list_display = ["name", "fingerprint", "reason", "added_by", "added_at", "ended_at", "ended_reason"]


@admin.register(ExternalCheck)
class ExternalCheckAdmin(AddedAndEnded):
    """Whom the gate external_check may ask."""

    form = ExternalCheckForm
    add_fields = ("name", "url", "reason")
    list_display = ["name", "url", "reason", "added_by", "added_at", "ended_at", "ended_reason"]


@admin.register(AdvisorySet)
class AdvisorySetAdmin(ReadOnlyAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    """The advisory file in force, to look at; `manage.py advisories_load FILE` replaces it."""

    action = Action.POLICY_EDIT
    list_display = ["name", "count", "as_of", "loaded_at", "is_current", "digest"]
