"""Reading what people fill in about themselves."""

import zoneinfo
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import PasswordChangeForm

from mlorch_site.accounts.models import THEMES
from mlorch_site.lib import clock

EXPIRIES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "One year")]


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(
        max_length=80, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )
    scope = forms.ChoiceField(
        choices=[("write", "Read and write"), ("read", "Read only")],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    days = forms.ChoiceField(
        choices=EXPIRIES, initial="90", label="Ends after", widget=forms.Select(attrs={"class": "form-select"})
    )

    def arguments(self) -> dict[str, Any]:
        """Name, scopes and expiry for the service."""
        scopes = ["read"] if self.cleaned_data["scope"] == "read" else ["read", "write"]
        expires_at = clock.now() + timedelta(days=int(self.cleaned_data["days"]))
        return {"name": self.cleaned_data["name"], "scopes": scopes, "expires_at": expires_at}


class PasswordForm(PasswordChangeForm):
    """A new password for oneself, with the old one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for bound in self.fields.values():
            bound.widget.attrs["class"] = "form-control"


class PreferencesForm(forms.Form):
    """Theme and time zone."""

    theme = forms.ChoiceField(choices=THEMES, widget=forms.Select(attrs={"class": "form-select"}))
    time_zone = forms.ChoiceField(widget=forms.Select(attrs={"class": "form-select"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone or zone == "UTC")
        self.fields["time_zone"].choices = [(zone, zone.replace("_", " ")) for zone in zones]  # type: ignore[attr-defined]
