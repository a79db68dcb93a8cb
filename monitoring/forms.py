"""Reading what people fill in about what watches an endpoint. What it means is for the services to judge."""

from typing import Any, ClassVar

from django import forms

from mlorch_site.accounts.roles import Role
from monitoring import limits
from monitoring.alerts.lifecycle import (
    ACT_LABELS,
    BURN_KINDS,
    METRIC_LABELS,
    OBJECTIVE_LABELS,
    RULE_LABELS,
    SEVERITY_LABELS,
    WINDOW_DAYS,
    BoundSide,
)
from monitoring.models import LargerIs, OutcomeKind
from monitoring.services import ObjectiveWish, OutcomeWish, RuleWish
from monitoring.services.alert_rules import ESCALATE_ROLES
from monitoring.services.objectives import BAD_MIN

INPUT, SELECT = {"class": "form-control"}, {"class": "form-select"}
HOURS = {"1": "1 hour", "4": "4 hours", "24": "1 day", "168": "7 days"}


def number_box(**attributes: Any) -> forms.NumberInput:
    return forms.NumberInput(attrs={**INPUT, **attributes})


class WithProblems(forms.Form):
    """A form about something of a kind. `KINDS` says which kinds a field belongs to, where it is not all of them."""

    KINDS: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, kinds in self.KINDS.items():
            self.fields[name].kinds = kinds  # type: ignore[attr-defined]

    def add_problems(self, problems: dict[str, str]) -> None:
        """Show what the service found at its fields."""
        for name, sentence in problems.items():
            self.add_error(name if name in self.fields else None, sentence)


class ObjectiveForm(WithProblems):
    """One objective. One of the same kind that the endpoint has ends with it."""

    KINDS: ClassVar[dict[str, str]] = {"slo_ms": "latency"}

    kind = forms.ChoiceField(
        label="Of",
        choices=[(kind.value, label) for kind, label in OBJECTIVE_LABELS.items()],
        widget=forms.Select(SELECT),
    )
    target_pct = forms.FloatField(
        label="Percent of requests that are good", initial=99.5, widget=number_box(step="any", min=50, max=99.999)
    )
    slo_ms = forms.FloatField(
        label="Answered within (ms)", required=False, widget=number_box(step="any", min=0), help_text="Latency only."
    )
    window_days = forms.TypedChoiceField(
        label="Over",
        choices=[(days, f"{days} days") for days in WINDOW_DAYS],
        initial=28,
        coerce=int,
        widget=forms.Select(SELECT),
    )
    bad_min = forms.IntegerField(
        label="Alert from so many bad requests on",
        initial=BAD_MIN,
        widget=number_box(min=1),
        help_text="Keeps a handful of requests at night from waking somebody.",
    )

    def wish(self) -> ObjectiveWish:
        """What was filled in, for the service. Only latency has a time."""
        values = dict(self.cleaned_data)
        return ObjectiveWish(**values | ({} if values["kind"] == "latency" else {"slo_ms": None}))


class AlertRuleForm(WithProblems):
    """One alert rule. A change makes another rule: rules are added and ended."""

    kind = forms.ChoiceField(
        label="When",
        choices=[(kind.value, label) for kind, label in RULE_LABELS.items() if kind not in BURN_KINDS],
        widget=forms.Select(SELECT),
    )
    metric = forms.ChoiceField(
        label="Figure",
        required=False,
        choices=[(one.value, label.capitalize()) for one, label in METRIC_LABELS.items()],
        widget=forms.Select(SELECT),
    )
    watched_act = forms.ChoiceField(
        label="Act",
        required=False,
        choices=[("", "None"), *((act.value, label.capitalize()) for act, label in ACT_LABELS.items())],
        widget=forms.Select(SELECT),
        help_text="About the endpoint's environment or model, as the audit log has it.",
    )
    direction = forms.ChoiceField(
        label="Is above or below",
        choices=[(way.value, way.value.capitalize()) for way in BoundSide],
        widget=forms.Select(SELECT),
    )
    bound = forms.FloatField(
        initial=0,
        widget=number_box(step="any", min=0),
        help_text="In the figure's unit; for a change in percent; of acts how many there may be.",
    )
    over_min = forms.IntegerField(label="Over minutes", initial=5, widget=number_box(min=1, max=limits.OVER_MIN_MAX))
    for_min = forms.IntegerField(
        label="For minutes", initial=0, widget=number_box(min=0), help_text="Broken at every look for so long."
    )
    clear_min = forms.IntegerField(
        label="Resolved after minutes", initial=5, widget=number_box(min=0), help_text="Kept at every look for so long."
    )
    minimum = forms.IntegerField(
        label="From so many requests on", initial=20, widget=number_box(min=0), help_text="With fewer it says no data."
    )
    severity = forms.ChoiceField(
        label="Severity",
        choices=[(one.value, label) for one, label in SEVERITY_LABELS.items()],
        widget=forms.Select(SELECT),
    )
    escalate_after_min = forms.IntegerField(
        label="Escalate after minutes", required=False, widget=number_box(min=1), help_text="That nobody acknowledged."
    )
    escalate_to = forms.ChoiceField(
        label="Escalate to",
        required=False,
        choices=[("", "Nobody"), *((role, Role(role).label) for role in ESCALATE_ROLES)],
        widget=forms.Select(SELECT),
    )

    KINDS: ClassVar[dict[str, str]] = {
        "metric": "threshold change",
        "watched_act": "audit",
        "direction": "threshold change",
        "bound": "threshold change audit",
        "minimum": "threshold change",
    }

    def wish(self) -> RuleWish:
        """What was filled in, for the service. Absence has no figure and no bound, an act has no figure."""
        values = dict(self.cleaned_data)
        if values["kind"] in ("absence", "audit"):
            values |= {"metric": "", "minimum": 0, "direction": BoundSide.ABOVE.value}
        if values["kind"] == "absence":
            values["bound"] = 0.0
        if values["kind"] != "audit":
            values["watched_act"] = ""
        if values["metric"] == "cost":
            values["minimum"] = 0
        return RuleWish(**values)


class SilenceForm(forms.Form):
    """For how long nobody is told, and why."""

    hours = forms.TypedChoiceField(
        label="For", choices=list(HOURS.items()), coerce=int, initial=4, widget=forms.Select(SELECT)
    )
    reason = forms.CharField(
        label="Reason", max_length=limits.REASON_MAX_CHARS, widget=forms.Textarea({**INPUT, "rows": 2})
    )


class OutcomeForm(WithProblems):
    """One outcome that clients report. It is ended, not changed."""

    name = forms.CharField(
        max_length=40,
        widget=forms.TextInput({**INPUT, "autocomplete": "off"}),
        help_text="As it is posted: conversion, basket, wrong-diagnosis.",
    )
    kind = forms.ChoiceField(label="Is", choices=OutcomeKind.choices, widget=forms.Select(SELECT))
    larger_is = forms.ChoiceField(label="Yes, or more of it, is", choices=LargerIs.choices, widget=forms.Select(SELECT))
    low = forms.FloatField(
        label="At least", required=False, widget=number_box(step="any"), help_text="Of a number: what lies outside…"
    )
    high = forms.FloatField(
        label="At most", required=False, widget=number_box(step="any"), help_text="…of its bounds is refused."
    )
    unit = forms.CharField(max_length=20, required=False, widget=forms.TextInput(INPUT), help_text="EUR, days, …")

    def wish(self) -> OutcomeWish:
        """What was filled in, for the service; bounds that were left empty are 0 and 1."""
        values = dict(self.cleaned_data)
        values["low"] = 0.0 if values["low"] is None else values["low"]
        values["high"] = 1.0 if values["high"] is None else values["high"]
        return OutcomeWish(**values)
