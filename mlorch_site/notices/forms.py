"""Reading what people fill in about notices and subscriptions."""

from typing import Any

from django import forms

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import EVERYWHERE
from mlorch_site.accounts.scopes import scope_choices
from mlorch_site.lib.lists import Choices
from mlorch_site.notices import limits
from mlorch_site.notices.kinds import kind_choices, notice_kinds
from mlorch_site.notices.lifecycle import FORMAT_LABELS, MODE_LABELS, NoticeMode
from mlorch_site.notices.selectors import may_manage
from mlorch_site.notices.subscriptions import SubscriptionWish


class NoticeSettingsForm(forms.Form):
    """How one is told of each kind of thing."""

    def __init__(self, *args: Any, modes: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind in notice_kinds():
            choices = [(mode.value, MODE_LABELS[mode]) for mode in kind.modes]
            self.fields[kind.name] = forms.ChoiceField(
                label=kind.label,
                choices=choices,
                initial=modes.get(kind.name, NoticeMode.AT_ONCE),
                help_text="This e-mail cannot be switched off." if kind.must_mail else "",
                widget=forms.Select(attrs={"class": "form-select"}),
            )


def place_choices(actor: Actor) -> Choices:
    """The environments whose notices the actor manages, and everything for who manages all."""
    offered = [name for _, name in dict(scope_choices()).get("Environment", [])]
    mine = [(name, name) for name in offered if may_manage(actor, [name])]
    everything = [(EVERYWHERE, "Everything, also environments that come later")]
    return mine + (everything if may_manage(actor, [EVERYWHERE]) else [])


class SubscriptionForm(forms.Form):
    """A new subscription. Nothing is chosen beforehand."""

    name = forms.CharField(
        max_length=limits.NAME_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})
    )
    url = forms.CharField(
        label="URL",
        max_length=limits.URL_MAX_CHARS,
        help_text="https. An address that is not public is called only where a setting allows it.",
        widget=forms.TextInput(attrs={"class": "form-control", "inputmode": "url", "autocomplete": "off"}),
    )
    format = forms.ChoiceField(
        label="As",
        choices=[(one.value, label) for one, label in FORMAT_LABELS.items()],
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    kinds = forms.MultipleChoiceField(label="Told of", widget=forms.CheckboxSelectMultiple)
    environments = forms.MultipleChoiceField(label="In", widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kinds"].choices = kind_choices()  # type: ignore[attr-defined]
        self.fields["environments"].choices = place_choices(actor)  # type: ignore[attr-defined]

    def wish(self) -> SubscriptionWish:
        """What was filled in, for the service."""
        return SubscriptionWish(**self.cleaned_data)

    def add_problems(self, problems: dict[str, str]) -> None:
        """Show what the service found at its fields."""
        for name, sentence in problems.items():
            self.add_error(name if name in self.fields else None, sentence)
