"""Rows of the form of a policy: approval rules, guardrails, windows. What they mean is for `policy_fields` to judge."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth.models import Group

from mlorch_site.accounts.roles import Action, roles_that_allow
from registry.change_windows import (
    EXCEPTIONS_MAX,
    KINDS,
    MINUTES_MAX,
    NAME_MAX_CHARS,
    RULE_MAX_CHARS,
    WINDOWS_MAX,
    window_problem,
)
from registry.policy_fields import COUNT_MAX, GUARDRAIL_METRICS, RULES_MAX

ROLE, GROUP = "role:", "group:"
GUARDRAILS_MAX = 10
KIND_WORDS = {"freeze": "Freeze: no rollout begins", "release": "Release window: rollouts may begin only then"}
METRIC_WORDS = {"error_rate": "Failed requests", "latency_over_slo": "Requests slower than the objective"}
POINTS = 100
WINDOWS_PREFIX = "windows"  # of the names of the rows of windows


def who_may_approve() -> list[tuple[str, str]]:
    """Whom a rule can ask for: roles that decide, and groups (reads the database)."""
    roles = [(f"{ROLE}{role.value}", role.label) for role in roles_that_allow(Action.RELEASE_DECIDE)]
    groups = [
        (f"{GROUP}{name}", f"group {name}") for name in Group.objects.order_by("name").values_list("name", flat=True)
    ]
    return [("", "nobody"), *roles, *groups]


class PolicyRow(forms.Form):
    """One row; a new one in which nothing is written is none."""


class RuleRow(PolicyRow):
    """`[2] of [Reviewer]`."""

    count = forms.IntegerField(label="How many", min_value=1, max_value=COUNT_MAX)
    who = forms.ChoiceField(label="of whom", choices=who_may_approve)
    name = forms.CharField(label="Name of the rule", max_length=60, required=False)

    def value(self) -> dict[str, Any]:
        who, name = self.cleaned_data["who"], self.cleaned_data["name"].strip()
        key, _, holder = who.partition(":")
        return {key: holder, "count": self.cleaned_data["count"], **({"name": name} if name else {})}

    @staticmethod
    def initial_of(rule: dict[str, Any]) -> dict[str, Any]:
        who = f"{GROUP}{rule['group']}" if "group" in rule else f"{ROLE}{rule.get('role', '')}"
        return {"count": rule["count"], "who": who, "name": rule.get("name", "")}


class GuardrailRow(PolicyRow):
    """A guardrail that is filled in, with its margin in percentage points."""

    metric = forms.ChoiceField(
        label="What", choices=[("", "nothing"), *((name, METRIC_WORDS.get(name, name)) for name in GUARDRAIL_METRICS)]
    )
    margin = forms.FloatField(label="Margin in percentage points", min_value=0, max_value=POINTS)
    slo_ms = forms.FloatField(label="Objective in ms (for slow requests)", min_value=0, required=False)

    def value(self) -> dict[str, Any]:
        slo_ms = self.cleaned_data["slo_ms"]
        row = {"metric": self.cleaned_data["metric"], "margin": share_of(self.cleaned_data["margin"])}
        return {**row, **({"slo_ms": _whole(slo_ms)} if slo_ms is not None else {})}

    @staticmethod
    def initial_of(row: dict[str, Any]) -> dict[str, Any]:
        return {"metric": row["metric"], "margin": points_of(row["margin"]), "slo_ms": row.get("slo_ms")}


class WindowRow(PolicyRow):
    """A freeze or a release window, once or by a rule."""

    kind = forms.ChoiceField(label="Kind", choices=[("", "none"), *((kind, KIND_WORDS[kind]) for kind in KINDS)])
    name = forms.CharField(label="Name", max_length=NAME_MAX_CHARS)
    starts = forms.CharField(
        label="Begins first at", widget=forms.TextInput(attrs={"type": "datetime-local"}), max_length=30
    )
    minutes = forms.IntegerField(label="Lasts, in minutes", min_value=1, max_value=MINUTES_MAX)
    zone = forms.CharField(label="Time zone", max_length=60, widget=forms.TextInput(attrs={"list": "time-zones"}))
    rule = forms.CharField(
        label="Again by",
        required=False,
        max_length=RULE_MAX_CHARS,
        widget=forms.TextInput(attrs={"list": "window-rules", "placeholder": "only once"}),
    )
    exceptions = forms.CharField(
        label="But not on",
        required=False,
        max_length=EXCEPTIONS_MAX * 12,
        widget=forms.TextInput(attrs={"placeholder": "2026-12-25, 2027-01-01"}),
    )

    def clean(self) -> dict[str, Any]:
        """What is wrong with the window as a whole stands at the field that it is at."""
        if not self.errors and not self.cleaned_data.get("DELETE"):
            key, problem = window_problem(self.value())
            if problem:
                self.add_error({"except": "exceptions"}.get(key, key), f"{problem[:1].upper()}{problem[1:]}.")
        return self.cleaned_data

    def value(self) -> dict[str, Any]:
        given = self.cleaned_data
        row = {key: given[key] for key in ("kind", "name", "starts", "minutes", "zone")}
        days = given["exceptions"].replace(",", " ").split()
        return {**row, **({"rule": given["rule"]} if given["rule"] else {}), **({"except": days} if days else {})}

    @staticmethod
    def initial_of(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "exceptions": ", ".join(row.get("except", []))}


def share_of(points: float) -> float:
    """Percentage points as a share."""
    return float(f"{points / POINTS:.10g}")


def points_of(share: float) -> float:
    """A share as percentage points."""
    return float(f"{share * POINTS:.10g}")


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number


def zones() -> list[str]:
    return sorted(available_timezones())


def rows_of(row: type[PolicyRow], most: int) -> type[forms.BaseFormSet]:  # type: ignore[type-arg]
    """A formset of rows, with empty ones to write into and a box to take one away."""
    return forms.formset_factory(row, extra=2, can_delete=True, max_num=most, absolute_max=most + 2, validate_max=True)


RuleRows = rows_of(RuleRow, RULES_MAX)
GuardrailRows = rows_of(GuardrailRow, GUARDRAILS_MAX)
WindowRows = rows_of(WindowRow, WINDOWS_MAX)
