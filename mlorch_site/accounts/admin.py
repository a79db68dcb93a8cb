"""People and their roles in the admin.

Every save goes through the services, so that it is checked and audited as anywhere else.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_bind
from mlorch_site.accounts.consequences import consequences
from mlorch_site.accounts.forms import scope_options
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Action, Role
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.accounts.services import person_create, person_edit
from mlorch_site.lib.errors import DomainError

admin.site.unregister(Group)
# allauth's rows are written by what signs people on; a page that writes them would go past the record.
for unwanted in [
    model for model in admin.site._registry if model._meta.app_label in ("account", "socialaccount", "mfa")
]:
    admin.site.unregister(unwanted)


class PersonForm(forms.ModelForm):  # type: ignore[type-arg]
    """A person. The password is asked for when the person is new; later an empty field leaves it as it is."""

    full_name = forms.CharField(max_length=200, required=False)
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), required=False)

    class Meta:
        model = User
        fields = ["username", "full_name", "password", "is_active", "is_staff", "mlflow_names"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["full_name"].initial = self.instance.get_full_name()
        self.fields["password"].required = self.instance.pk is None
        self.fields["is_staff"].help_text = "May open these pages; what may be changed here is decided by roles."
        self.fields["mlflow_names"].help_text = (
            "With commas between them. Whoever MLflow names as who made a version does not decide on it; user name and "
            "e-mail address are looked at by themselves."
        )

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=username).exclude(pk=self.instance.pk).exists():
            raise ValidationError(f"There is a person called {username} already.")
        return username

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if password:
            validate_password(password, self.instance)
        return password


class NewBindingForm(forms.ModelForm):  # type: ignore[type-arg]
    """One role in one scope, given anew. Scope and role are picked; neither has a default."""

    scope = forms.ChoiceField()

    class Meta:
        model = RoleBinding
        fields = ["role", "scope", "reason", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scope" in self.fields:
            self.fields["scope"].choices = scope_options()  # type: ignore[attr-defined]
            self.fields["reason"].required = True


class ByPeopleManagers:
    """Permissions of these pages: those who manage people, and nobody else."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may(Action.PEOPLE_MANAGE)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(Action.PEOPLE_MANAGE)

    has_change_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may(Action.PEOPLE_MANAGE)


class BindingInline(ByPeopleManagers, admin.TabularInline):  # type: ignore[type-arg]
    """The roles of a person: those of today and of the past to read, new ones to give.

    They are extended and ended on the person's page, where a reason is asked for.
    """

    model = RoleBinding
    form = NewBindingForm
    fk_name = "user"
    extra = 0
    max_num = 1000  # of rows that are shown; how many roles a person may hold is the service's
    can_delete = False
    readonly_fields = ["given_at", "given_by", "ended_at", "ended_by"]
    ordering = ["-pk"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(ByPeopleManagers, admin.ModelAdmin):  # type: ignore[type-arg]
    """People. Nobody is deleted, because the record names them; who leaves is made inactive."""

    form = PersonForm
    inlines = [BindingInline]
    list_display = ["username", "full_name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active"]
    search_fields = ["username", "first_name", "last_name"]

    @admin.display(description="Full name")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["username"] if obj else []

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        values = form.cleaned_data
        actor = actor_of(request)
        if not change:
            made = person_create(
                actor=actor,
                username=values["username"],
                password=values["password"],
                full_name=values["full_name"],
                staff=values["is_staff"],
            )
            obj.pk = made.pk
            obj._state.adding = False
            values = {**values, "password": ""}
        if change or not values["is_active"] or values["mlflow_names"]:
            self._edit(request, actor, User.objects.get(pk=obj.pk), values)

    def _edit(self, request: HttpRequest, actor: Actor, person: User, values: dict[str, Any]) -> None:
        try:
            with transaction.atomic():
                person_edit(
                    actor=actor,
                    user=person,
                    full_name=values["full_name"],
                    active=values["is_active"],
                    staff=values["is_staff"],
                    password=values["password"],
                    mlflow_names=values["mlflow_names"],
                )
        except DomainError as error:
            messages.error(request, error.message)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        for sentence in consequences():
            messages.warning(request, sentence)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Give the new roles by the service. Nothing else can be posted: what was given is not changed here."""
        formset.save(commit=False)
        actor, person = actor_of(request), User.objects.get(pk=formset.instance.pk)
        for row in formset.new_objects:
            given = {"role": Role(row.role), "scope": row.scope, "reason": row.reason, "expires_at": row.expires_at}
            try:
                role_bind(actor=actor, user=person, **given)
            except DomainError as error:
                messages.error(request, error.message)
