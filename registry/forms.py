"""Reading what people fill in: a policy (fields and rows in, its values out), a delegation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms

from dataplane.wire.sandbox import LEVELS
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.accounts.roles import EVERYWHERE, Action, Role, roles_that_allow
from mlorch_site.accounts.scopes import places_of, scope_label
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from registry.approvals.delegations import REASON_MAX_CHARS, delegable_scopes
from registry.gate_cards import GateCard, GateSetting, gate_cards
from registry.policy_fields import (
    CHOICES,
    GUARDRAIL_METRICS,
    NUMBERS,
    OPERATIONS,
    QUOTAS,
    STRATEGIES,
    SWITCHES,
    check_policy,
)
from registry.policy_rows import METRIC_WORDS, WINDOWS_PREFIX, GuardrailRows, RuleRows, WindowRows, points_of, share_of
from registry.policy_sentences import (
    ALERTING,
    AUTHOR_UNKNOWN,
    CLOSED,
    OPERATION_WORDS,
    OUTSIDE,
    SANDBOXES,
    field_words,
    role_words,
)

UNITS = {
    "approval_days": "An approval is waited for, and holds, so many days",
    "remind_hours": "Who has to decide is reminded every so many hours",
    "escalate_hours": "What waits is escalated after so many hours (0: never)",
    "reauthenticate_minutes": "A decision needs a sign-in confirmed within so many minutes (0: not asked)",
    "waiver_days_max": "A waiver ends after so many days at most",
    "max_first_weight_pct": "The first step gets at most so many % of the traffic (100: no bound)",
    "judge_deadline_s": "What cannot be judged within so many seconds goes back",
    "bake_s_min": "Each watched step lasts at least so many seconds (0: no bound)",
    "requests_min": "Each watched step asks for at least so many requests (0: no bound)",
    "artifacts_kept_days": "Files that served stay restorable for so many days (0: as the installation has it)",
    "replicas_max": "At most so many replicas at a time (empty: no limit)",
    "endpoints_max": "At most so many endpoints (empty: no limit)",
    "cost_per_day_max": "All endpoints together cost at most so much a day (empty: no limit)",
}
CHOICE_WORDS: dict[str, dict[str, str]] = {
    "when_changed_outside": OUTSIDE,
    "when_closed": CLOSED,
    "when_alerting": ALERTING,
    "when_author_unknown": AUTHOR_UNKNOWN,
}
CHOICE_LABELS = {
    "when_changed_outside": "When MLflow deletes or changes the version of a rollout",
    "when_closed": "When the environment closes while a rollout runs",
    "when_alerting": "While an alert fires on the endpoint of a rollout",
    "when_author_unknown": "When nobody here is known as who made a version in MLflow",
    "waiver_role": "Who may waive a gate",
    "escalate_to": "Who is told when something is escalated",
    "sandbox_level_min": "Sandboxes",
}
ROWS = {
    "approval_rules": ("rules", RuleRows),
    "default_guardrails": ("guardrails", GuardrailRows),
    "windows": (WINDOWS_PREFIX, WindowRows),
}
TEXT_MAX_CHARS = 200
LINES_MAX_CHARS = 5_000
USUAL = ""


@dataclass(frozen=True)
class GateChoice:
    """A gate as the form shows it: its card, whether it runs, and the fields of its settings."""

    card: GateCard
    is_chosen: bool
    fields: list[forms.BoundField]

    @property
    def is_said(self) -> bool:
        """Whether one of its settings is not as usual, or wrong."""
        return any(field.value() not in (None, "") or field.errors for field in self.fields)


class PolicyText(forms.Form):
    """All of a policy that is not a row."""

    note = forms.CharField(
        label="Why",
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs={"size": 80}),
        help_text="For whoever publishes it, and for the record.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in SWITCHES:
            self.fields[name] = forms.BooleanField(label=field_words(name, True)[0], required=False)
        for name, (least, most, _) in NUMBERS.items():
            self.fields[name] = forms.IntegerField(label=_label(name), min_value=least, max_value=most)
        for name, (least, most) in QUOTAS.items():
            kind = forms.FloatField if name == "cost_per_day_max" else forms.IntegerField
            self.fields[name] = kind(label=_label(name), min_value=least, max_value=most, required=False)
        for name, choices in {**CHOICES, "sandbox_level_min": tuple(LEVELS)}.items():
            self.fields[name] = forms.ChoiceField(
                label=_label(name),
                choices=[(str(value), _choice(name, str(value))) for value in choices],
                required=False,
            )
        self._add_lists()

    def _add_lists(self) -> None:
        self.fields["gates"] = _boxes("Gates that run", [(card.name, card.label) for card in gate_cards()])
        self.fields["allowed_strategies"] = _boxes(
            "Allowed strategies (none chosen: all)", [(kind, kind.replace("_", " ")) for kind in STRATEGIES]
        )
        self.fields["required_metadata"] = forms.CharField(
            label="What a version has to say, one name a line",
            required=False,
            max_length=LINES_MAX_CHARS,
            widget=forms.Textarea(attrs={"rows": 5}),
        )
        for act, action in OPERATIONS.items():
            able = [(role.value, role.label) for role in roles_that_allow(action)]
            words = OPERATION_WORDS.get(act, act)
            self.fields[f"operators_{act}"] = _boxes(f"Only these may {words} (none chosen: all who have a role)", able)
        for metric in GUARDRAIL_METRICS:
            label = f"{METRIC_WORDS.get(metric, metric)}: widest margin in percentage points (empty: no bound)"
            self.fields[f"margin_{metric}"] = forms.FloatField(label=label, min_value=0, max_value=100, required=False)
        for card in gate_cards():
            for setting in card.settings:
                self.fields[_key(card, setting)] = setting_field(setting)

    def values(self) -> dict[str, Any]:
        """The fields of a policy without its rows."""
        said = self.cleaned_data
        plain = [*SWITCHES, *NUMBERS, *QUOTAS, *CHOICES, "sandbox_level_min", "gates", "allowed_strategies"]
        operators = {act: said[f"operators_{act}"] for act in OPERATIONS if said[f"operators_{act}"]}
        margins = {metric: said[f"margin_{metric}"] for metric in GUARDRAIL_METRICS}
        return {
            **{name: said[name] for name in plain},
            "required_metadata": _lines(said["required_metadata"]),
            "operators": operators,
            "margins_max": {name: share_of(margin) for name, margin in margins.items() if margin is not None},
            "gate_parameters": self._parameters(),
        }

    def _parameters(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for card in gate_cards():
            for setting in card.settings:
                value = setting_value(setting, self.cleaned_data[_key(card, setting)])
                if value is not None:
                    found.setdefault(card.name, {})[setting.name] = value
        return found

    @staticmethod
    def initial_of(values: dict[str, Any], note: str) -> dict[str, Any]:
        """What the form shows of a policy."""
        parameters = values["gate_parameters"]
        return {
            **values,
            "note": note,
            "required_metadata": "\n".join(values["required_metadata"]),
            **{f"operators_{act}": roles for act, roles in values["operators"].items()},
            **{f"margin_{metric}": points_of(margin) for metric, margin in values["margins_max"].items()},
            **{
                _key(card, setting): setting_initial(setting, parameters.get(card.name, {}).get(setting.name))
                for card in gate_cards()
                for setting in card.settings
            },
        }

    def gate_choices(self) -> list[GateChoice]:
        """The gates with their settings, as the form shows them."""
        chosen = set(self["gates"].value() or [])
        return [
            GateChoice(card, card.name in chosen, [self[_key(card, setting)] for setting in card.settings])
            for card in gate_cards()
        ]


def _label(name: str) -> str:
    return UNITS.get(name) or CHOICE_LABELS.get(name) or name.replace("_", " ").capitalize()


def _choice(name: str, value: str) -> str:
    if name == "sandbox_level_min":
        return SANDBOXES.get(value, value)
    if value in set(Role) or not value:
        return role_words(value) if value else "nobody"
    return CHOICE_WORDS.get(name, {}).get(value, value.replace("_", " "))


def _boxes(label: str, choices: list[tuple[str, str]]) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple)


def _key(card: GateCard, setting: GateSetting) -> str:
    return f"gate_{card.name}_{setting.name}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def setting_field(setting: GateSetting) -> forms.Field:
    """The field of a gate's setting; empty is as usual."""
    usual = ", ".join(setting.default) if isinstance(setting.default, list | tuple) else setting.default
    more = {"label": setting.label, "required": False, "help_text": f"{setting.help} Usually: {usual}.".strip()}
    if setting.kind in ("number", "whole"):
        kind = forms.FloatField if setting.kind == "number" else forms.IntegerField
        return kind(min_value=setting.least, max_value=setting.most, **more)  # type: ignore[arg-type]
    if setting.kind in ("choice", "switch"):
        words = setting.choices if setting.kind == "choice" else ("yes", "no")
        return forms.ChoiceField(choices=[(USUAL, "as usual"), *((word, word) for word in words)], **more)  # type: ignore[arg-type]
    if setting.kind == "lines":
        return forms.CharField(max_length=LINES_MAX_CHARS, widget=forms.Textarea(attrs={"rows": 3}), **more)  # type: ignore[arg-type]
    return forms.CharField(max_length=TEXT_MAX_CHARS, **more)  # type: ignore[arg-type]


def setting_value(setting: GateSetting, said: Any) -> Any:
    """What a policy keeps of a setting; None for as usual."""
    if said in (None, USUAL):
        return None
    if setting.kind == "switch":
        return said == "yes"
    return _lines(said) if setting.kind == "lines" else said


def setting_initial(setting: GateSetting, value: Any) -> Any:
    if value is None:
        return USUAL
    if setting.kind == "switch":
        return "yes" if value else "no"
    return "\n".join(value) if setting.kind == "lines" else value


class PolicyForm:
    """The whole form: `text` and the rows, read together. `problems` maps a field of the policy to a sentence."""

    def __init__(self, data: Any = None, *, values: dict[str, Any], note: str = "") -> None:
        self.text = PolicyText(data, initial=PolicyText.initial_of(values, note))
        self.rows = {
            field: kind(data, prefix=prefix, initial=[_initial(kind, row) for row in values[field]])
            for field, (prefix, kind) in ROWS.items()
        }
        self.problems: dict[str, str] = {}

    @property
    def note(self) -> str:
        return str(self.text.cleaned_data["note"])

    def read(self) -> dict[str, Any] | None:
        """The values of the policy; None where something is wrong, which is said where it stands."""
        if not all([self.text.is_valid(), *(rows.is_valid() for rows in self.rows.values())]):
            return None
        values = self.text.values()
        for field, rows in self.rows.items():
            values[field] = [row.value() for row in _said(rows.forms)]
        try:
            check_policy(values)
        except Invalid as error:
            self.blame(error)
            return None
        return values

    def blame(self, error: Invalid) -> None:
        """Put what a service found wrong at its field."""
        for field, sentence in error.details.items():
            if field in self.text.fields:
                self.text.add_error(field, str(sentence))
            else:
                self.problems[field] = str(sentence)
        if not error.details:
            self.problems["note"] = error.message

    @property
    def other_problems(self) -> dict[str, str]:
        """Those without a place of their own in the form."""
        return {name: why for name, why in self.problems.items() if name not in {*ROWS, "gates", "gate_parameters"}}

    def _fields(self, *names: str) -> list[forms.BoundField]:
        return [self.text[name] for name in names]

    @property
    def approving(self) -> list[forms.BoundField]:
        days = ("approval_days", "reauthenticate_minutes", "remind_hours", "escalate_hours", "escalate_to")
        return self._fields("when_author_unknown", *days, "bulk_decisions", "emergency_allowed")

    @property
    def checking(self) -> list[forms.BoundField]:
        return self._fields("refuse_taken_back", "required_metadata", "waiver_role", "waiver_days_max")

    @property
    def planning(self) -> list[forms.BoundField]:
        limits = ("max_first_weight_pct", "bake_s_min", "requests_min", "judge_deadline_s", "hold_required")
        margins = [f"margin_{metric}" for metric in GUARDRAIL_METRICS]
        return self._fields("allowed_strategies", *limits, "guardrails_required", *margins)

    @property
    def closing(self) -> list[forms.BoundField]:
        return self._fields("when_closed", "when_changed_outside", "when_alerting")

    @property
    def operating(self) -> list[forms.BoundField]:
        return self._fields(*(f"operators_{act}" for act in OPERATIONS))

    @property
    def limiting(self) -> list[forms.BoundField]:
        shown = {field.name for part in (self.approving, self.checking, self.planning, self.closing) for field in part}
        shown |= {field.name for field in self.operating} | {"note", "gates", "protected"}
        rest = [name for name in self.text.fields if name not in shown and not name.startswith("gate_")]
        return self._fields(*rest, "protected")

    @property
    def is_wrong(self) -> bool:
        return bool(self.problems or self.text.errors or any(rows.total_error_count() for rows in self.rows.values()))


def _initial(rows: Any, value: dict[str, Any]) -> dict[str, Any]:
    initial: dict[str, Any] = rows.form.initial_of(value)
    return initial


def _said(rows: Iterable[Any]) -> list[Any]:
    return [row for row in rows if (row.cleaned_data or row.initial) and not row.cleaned_data.get("DELETE")]


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
