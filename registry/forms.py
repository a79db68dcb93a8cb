"""Reading what people fill in about what may run."""

from typing import Any

from django import forms

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import EVERYWHERE, Action, roles_that_allow
from mlorch_site.accounts.scopes import places_of, scope_label
from mlorch_site.lib import clock
from registry.approvals.delegations import REASON_MAX_CHARS, delegable_scopes

PEOPLE_OFFERED = 200


def deciders(actor: Actor) -> list[str]:
    """The other people who hold a role that decides somewhere, by name."""
    roles = [role.value for role in roles_that_allow(Action.RELEASE_DECIDE)]
    held = RoleBinding.objects.in_force(clock.now()).filter(role__in=roles, user__is_active=True)
    others = held.exclude(user=actor.user).order_by("user__username")
    return list(others.values_list("user__username", flat=True).distinct()[:PEOPLE_OFFERED])


def offered_scopes(actor: Actor) -> list[str]:
    """The places whose decisions the actor can delegate, everything last."""
    held = delegable_scopes(actor)
    return [*sorted({*held, *places_of(actor)} - {EVERYWHERE}), EVERYWHERE] if EVERYWHERE in held else held


class MomentField(forms.DateTimeField):
    """A moment in the reader's zone."""

    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"class": "form-control", "type": "datetime-local"})


class DelegationForm(forms.Form):
    """To whom, where, from when to when, and why."""

    delegate = forms.CharField(
        label="Who decides for you", max_length=150, widget=forms.Select(attrs={"class": "form-select"})
    )
    scopes = forms.MultipleChoiceField(
        label="Where", widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"})
    )
    starts_at = MomentField(label="From")
    ends_at = MomentField(label="Until")
    reason = forms.CharField(
        max_length=REASON_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["delegate"].widget.choices = [("", "Choose…"), *((name, name) for name in deciders(actor))]
        self.fields["scopes"].choices = [(one, scope_label(one).capitalize()) for one in offered_scopes(actor)]  # type: ignore[attr-defined]
        for name, field in self.fields.items():
            if self.is_bound and name in self.errors:
                field.widget.attrs |= {"aria-invalid": "true"}

    def arguments(self) -> dict[str, Any]:
        """What was filled in, for the service."""
        return dict(self.cleaned_data)
