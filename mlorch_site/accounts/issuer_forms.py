"""Reading what administrators fill in about issuers and what their groups give."""

from typing import Any

from django import forms

from mlorch_site.accounts.forms import scope_options
from mlorch_site.accounts.models import SignOnIssuer
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.scopes import SCOPE_MAX_CHARS
from mlorch_site.accounts.sign_on.issuers import GROUP_MAX_CHARS
from mlorch_site.lib.lists import TEXT_MAX_CHARS


def _text(label: str, max_length: int, help_text: str = "", required: bool = True, **attrs: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", **attrs})
    return forms.CharField(label=label, max_length=max_length, help_text=help_text, required=required, widget=widget)


def _switch(label: str, help_text: str) -> forms.BooleanField:
    widget = forms.CheckboxInput(attrs={"class": "form-check-input"})
    return forms.BooleanField(label=label, help_text=help_text, required=False, widget=widget)


class IssuerForm(forms.Form):
    """An issuer. The secret is written and never shown; empty, it stays as it is."""

    slug = _text("Short name", 40, "Small letters, digits, hyphens. It stands in addresses and records, and stays.")
    name = _text("Name on the button", 40)
    url = _text("Address", 200, "As the issuer calls itself, to the letter.", inputmode="url")
    client_id = _text("Client id", 191)
    secret = forms.CharField(
        label="Client secret",
        max_length=500,
        required=False,
        widget=forms.PasswordInput(attrs={"class": "form-control", "autocomplete": "new-password"}),
    )
    groups_claim = _text("Claim with the groups", 80)
    binding_days = forms.IntegerField(
        label="Days that roles by sign-on hold",
        min_value=1,
        max_value=366,
        help_text="Each sign-on extends them; who stays away longer loses them, also their tokens.",
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )
    is_enabled = _switch("People can sign on with it", "Switched off, what it gave and its sessions end at once.")
    links_verified_address = _switch(
        "It knows people of ours by their verified e-mail address",
        "Only for an issuer that gives nobody another one's address.",
    )
    counts_as_second_factor = _switch("It asks for a second factor itself", "We then do not ask for ours.")
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        start = {"groups_claim": "groups", "binding_days": 30, "is_enabled": True}
        super().__init__(data, **{**kwargs, "initial": {**start, **kwargs.get("initial", {})}})

    @classmethod
    def of(cls, row: SignOnIssuer, data: Any = None) -> "IssuerForm":
        """The form of an issuer that was written down."""
        names = [name for name in cls.base_fields if name not in ("secret", "seen")]
        form = cls(data, initial={**{name: getattr(row, name) for name in names}, "seen": row.version})
        form.fields["slug"].disabled = True
        form.fields["secret"].help_text = "Empty: as it is." if row.secret else "None is kept."
        return form

    def arguments(self) -> dict[str, Any]:
        """What a new issuer is, for the service."""
        return {name: value for name, value in self.cleaned_data.items() if name != "seen"}

    def changes(self) -> dict[str, Any]:
        """What an issuer becomes, and the version that was seen, for the service."""
        values = {name: value for name, value in self.cleaned_data.items() if name not in ("slug", "seen")}
        return {**values, "expected": self.cleaned_data["seen"] or 0}


class RuleForm(forms.Form):
    """What a group of an issuer gives: a role somewhere, or being in a group of ours."""

    group = _text("Group of the issuer", GROUP_MAX_CHARS, "To the letter.")
    role = forms.ChoiceField(
        required=False,
        choices=[("", "No role"), *((role.value, role.label) for role in Role)],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    scope = forms.CharField(
        label="Where",
        required=False,
        max_length=SCOPE_MAX_CHARS,
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    member_of = _text("Or: in our group", 150, "It is made when somebody comes into it.", required=False)
    seen = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope"].widget.choices = scope_options(self.data.get("find", "")[:TEXT_MAX_CHARS])

    def arguments(self) -> dict[str, Any]:
        """The rule, and the version that was seen, for the service."""
        values = dict(self.cleaned_data)
        seen = values.pop("seen")
        return {**values, "expected": seen}
