"""Reading what people fill in about themselves, and about the roles of others."""

import zoneinfo
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import PasswordChangeForm

from mlorch_site.accounts.absences import NOTE_MAX_CHARS
from mlorch_site.accounts.actor import OUTCOMES
from mlorch_site.accounts.bindings import REASON_MAX_CHARS
from mlorch_site.accounts.groups import NAME_MAX_CHARS as GROUP_NAME_MAX_CHARS
from mlorch_site.accounts.models import THEMES, RoleBinding
from mlorch_site.accounts.proof import DECIDE
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.accounts.scopes import SCOPE_MAX_CHARS, scope_choices
from mlorch_site.lib import clock
from mlorch_site.lib.lists import TEXT_MAX_CHARS

EXPIRIES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "One year")]


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )
    scope = forms.ChoiceField(
        choices=[
            ("write", "Read and write"),
            ("read", "Read only"),
            (OUTCOMES, "Read, and post outcomes of requests"),
            (DECIDE, "Read, write, and decide where a decision asks for a new proof of who you are"),
        ],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    days = forms.ChoiceField(
        choices=EXPIRIES, initial="90", label="Ends after", widget=forms.Select(attrs={"class": "form-select"})
    )

    def arguments(self) -> dict[str, Any]:
        """Name, scopes and expiry for the service."""
        more: dict[str, list[str]] = {"read": [], "write": ["write"], OUTCOMES: [OUTCOMES], DECIDE: ["write", DECIDE]}
        scopes = ["read", *more[self.cleaned_data["scope"]]]
        expires_at = clock.now() + timedelta(days=int(self.cleaned_data["days"]))
        return {"name": self.cleaned_data["name"], "scopes": scopes, "expires_at": expires_at}


class ServiceTokenForm(TokenForm):
    """A new token of a service account, which never decides."""

    scope = forms.ChoiceField(
        choices=[
            ("write", "Read and write"),
            ("read", "Read only"),
            (OUTCOMES, "Read, and post outcomes of requests"),
        ],
        widget=forms.Select(attrs={"class": "form-select"}),
    )


class ServiceAccountForm(forms.Form):
    """A new service account of one's own."""

    name = forms.CharField(
        max_length=60, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )
    purpose = forms.CharField(
        label="What it is for",
        max_length=150,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


class HandOverForm(forms.Form):
    """Who answers for a service account from now on, and why."""

    owner = forms.CharField(
        label="Name of the person",
        max_length=150,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    reason = forms.CharField(
        max_length=REASON_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )
    seen = forms.IntegerField(widget=forms.HiddenInput)


class AppForm(forms.Form):
    """The code that proves an authenticator app."""

    code = forms.CharField(
        label="Code that the app shows",
        max_length=20,
        widget=forms.TextInput(
            attrs={"class": "form-control", "autocomplete": "one-time-code", "inputmode": "numeric"}
        ),
    )


class PasskeyForm(forms.Form):
    """A passkey that the browser made, and how its person calls it."""

    name = forms.CharField(
        label="Name of the passkey",
        max_length=60,
        help_text="For example the device that keeps it.",
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
    passkey = forms.CharField(widget=forms.HiddenInput)


WITHOUT_END = "never"
BINDING_EXPIRIES = [("", "Choose…"), ("1", "1 day"), *EXPIRIES, (WITHOUT_END, "Never: it holds until somebody ends it")]
EVERYTHING_WARNING = "Everything: all environments and all models, of today and of the future"


def scope_options(text: str = "") -> list[Any]:
    """What a role can be bound to, to pick from: what exists and holds `text`, and everything as the last of all."""
    return [("", "Choose…"), *scope_choices(text), ("All", [(EVERYWHERE, EVERYTHING_WARNING)])]


class ExpiryForm(forms.Form):
    """When a binding expires, and why."""

    expires = forms.ChoiceField(
        choices=BINDING_EXPIRIES, label="Expires after", widget=forms.Select(attrs={"class": "form-select"})
    )
    reason = forms.CharField(
        max_length=REASON_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )

    def expires_at(self) -> datetime | None:
        """The moment that was chosen, None for never."""
        days = self.cleaned_data["expires"]
        return None if days == WITHOUT_END else clock.now() + timedelta(days=int(days))


class ExtendForm(ExpiryForm):
    """Until when a binding holds from now on. `seen` is the expiry that the person saw when the page was made."""

    seen = forms.DateTimeField(required=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, binding: RoleBinding) -> "ExtendForm":
        """The form for a binding, not filled in yet."""
        seen = binding.expires_at.isoformat() if binding.expires_at else ""
        return cls(prefix="extend", initial={"seen": seen})

    def arguments(self) -> dict[str, Any]:
        """Reason, new expiry and the one that was seen, for the service."""
        values = self.cleaned_data
        return {"reason": values["reason"], "expires_at": self.expires_at(), "expected": values["seen"]}


class EndForm(forms.Form):
    """Why a binding ends."""

    end_reason = forms.CharField(
        label="Reason",
        max_length=REASON_MAX_CHARS,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


class BindingForm(ExpiryForm):
    """A role for a person. Scope and role are picked; neither has a default."""

    role = forms.ChoiceField(
        choices=[("", "Choose…"), *((role.value, role.label) for role in Role)],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    scope = forms.CharField(
        label="Where", max_length=SCOPE_MAX_CHARS, widget=forms.Select(attrs={"class": "form-select"})
    )
    field_order = ("role", "scope", "expires", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What is offered is what a search found; that it exists is for the service to judge.
        self.fields["scope"].widget.choices = scope_options(self.data.get("find", "")[:TEXT_MAX_CHARS])

    def arguments(self) -> dict[str, Any]:
        """Role, scope, reason and expiry for the service."""
        values = self.cleaned_data
        role = Role(values["role"])
        return {"role": role, "scope": values["scope"], "reason": values["reason"], "expires_at": self.expires_at()}


class PasswordForm(PasswordChangeForm):
    """A new password for oneself, with the old one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for bound in self.fields.values():
            bound.widget.attrs["class"] = "form-control"


class GroupForm(forms.Form):
    """A new group."""

    name = forms.CharField(
        max_length=GROUP_NAME_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )


class MemberForm(forms.Form):
    """A person who is put into a group, or taken out of it, and why."""

    person = forms.CharField(
        max_length=150,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "list": "people-offered"}),
    )
    reason = forms.CharField(
        max_length=REASON_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )


class AbsenceForm(forms.Form):
    """From which day to which somebody is away."""

    first_day = forms.DateField(widget=forms.DateInput(attrs={"class": "form-control", "type": "date"}))
    last_day = forms.DateField(
        help_text="You are back on the day after.",
        widget=forms.DateInput(attrs={"class": "form-control", "type": "date"}),
    )
    note = forms.CharField(
        required=False,
        max_length=NOTE_MAX_CHARS,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


class PreferencesForm(forms.Form):
    """Theme, time zone, and single keys."""

    theme = forms.ChoiceField(choices=THEMES, widget=forms.Select(attrs={"class": "form-select"}))
    time_zone = forms.ChoiceField(widget=forms.Select(attrs={"class": "form-select"}))
    shortcuts = forms.TypedChoiceField(
        label="Single-key shortcuts",
        choices=[("on", "On (j, k, a, r, g, /, ?)"), ("off", "Off")],
        coerce=lambda value: value == "on",
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone or zone == "UTC")
        self.fields["time_zone"].choices = [(zone, zone.replace("_", " ")) for zone in zones]  # type: ignore[attr-defined]
