"""Reading what people fill in. What it means is for the services to judge."""

import re
from typing import Any

from django import forms
from django.urls import reverse_lazy

from deployments import limits
from deployments.guardrail_fields import GuardrailFields
from deployments.models import Release, ServingConfig
from deployments.release_defaults import (
    DEFAULT_BAKE_S,
    DEFAULT_STEPS,
    ReleaseDefaults,
)
from deployments.rollout.strategies.linear import STEP_PCT, STEP_PCT_MAX, STEP_PCT_MIN
from deployments.services import ReleaseCommand, TemplateWish
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import Invalid
from registry.selectors import environments_visible_to, models_visible_to

STEP_ROWS = 5  # and more where a plan with more is filled in
# A choice of model or environment fills the form anew; what was written in it is sent along and stays. Meanwhile
# nothing can be written that the answer would take away.
REFILL = {
    "hx-post": reverse_lazy("release-form"),
    "hx-include": "#release-form",
    "hx-target": "#release-form",
    "hx-select": "#release-form",
    "hx-swap": "outerHTML",
    "hx-disabled-elt": "#release-form .form-control",
}
# Another endpoint has other measures: only their fields are filled anew, whatever else is being chosen meanwhile.
REMEASURE = {
    **{name: value for name, value in REFILL.items() if name != "hx-disabled-elt"},
    "hx-target": "#endpoint-measures",
    "hx-select": "#endpoint-measures",
}
STEP_FIELDS = {"weight": "weight", "bake_s": "bake", "min_requests": "requests"}
KINDS = [
    ("canary", "Canary: step by step"),
    ("linear", "Linear: equal steps"),
    ("shadow", "Shadow: copies first, clients notice nothing"),
    ("blue_green", "Blue-green: all at once, the old one stays warm"),
    ("immediate", "Immediate: no comparison"),
]


class ReleaseForm(GuardrailFields):
    """The wish for a release. Steps and guardrails are rows of plain fields; empty rows do not count."""

    model = forms.ChoiceField()
    version = forms.IntegerField(min_value=1, label="Version", widget=forms.Select)
    environment = forms.ChoiceField()
    endpoint = forms.SlugField(max_length=63, help_text="One that exists, or a new name.")
    kind = forms.ChoiceField(choices=KINDS, label="Strategy", initial="canary")
    step_pct = forms.IntegerField(
        min_value=STEP_PCT_MIN,
        max_value=STEP_PCT_MAX,
        required=False,
        initial=STEP_PCT,
        label="Each step is so much more of the traffic (%)",
    )
    mirror = forms.IntegerField(
        min_value=1, max_value=100, required=False, initial=50, label="Share of the requests that is copied (%)"
    )
    min_agreement = forms.IntegerField(
        min_value=0,
        max_value=limits.AGREEMENT_PCT_MAX,
        required=False,
        label="Answers that must agree (%), none if empty",
    )
    bake_s = forms.IntegerField(min_value=1, required=False, initial=DEFAULT_BAKE_S, label="Watch for (s)")
    min_requests = forms.IntegerField(
        min_value=0, required=False, label="And until so many requests have come, none if empty"
    )
    hold = forms.BooleanField(required=False, label="Wait for a person before the promotion")
    fresh_baseline = forms.BooleanField(
        required=False, label="Compare with fresh replicas of the stable version, which take as much of the traffic"
    )
    watch_s = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=limits.WATCH_S_MAX,
        initial=limits.WATCH_S,
        label="Watch after the promotion for (s)",
        help_text="It may still go back by itself. 0: not watched.",
    )
    target_headers = forms.CharField(
        required=False,
        max_length=12_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Requests with one of these headers",
        help_text="A line for each name: x-tenant: acme, beta",
    )
    target_units = forms.CharField(
        required=False,
        max_length=300_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Requests of these units",
        help_text="One id a line, as clients send it in X-Mlorch-Unit. Only digests are kept.",
    )
    target_bake_s = forms.IntegerField(min_value=1, required=False, label="Watch the chosen ones for (s)")
    target_min_requests = forms.IntegerField(
        min_value=1, required=False, label="And until so many of them have come, 1 if empty"
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=2000, required=False)
    ticket = forms.CharField(max_length=200, required=False, label="Change ticket")
    supersedes = forms.CharField(max_length=36, required=False)
    group = forms.CharField(max_length=36, required=False, widget=forms.HiddenInput)
    template = forms.CharField(
        max_length=36,
        required=False,
        label="Begin with a plan template",
        widget=forms.Select,
        help_text="It fills in the plan; what is changed then is shown to those who approve.",
    )

    def __init__(self, *args: Any, actor: Actor, defaults: ReleaseDefaults, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.defaults = defaults
        for name, rows in (("model", models_visible_to(actor)), ("environment", environments_visible_to(actor))):
            names = rows.values_list("name", flat=True)
            self.fields[name].choices = [("", "Choose …"), *((known, known) for known in names)]  # type: ignore[attr-defined]
            self.fields[name].widget.attrs |= REFILL
        self.fields["version"].widget.choices = self._versions()
        self.fields["template"].widget.choices = [("", "None"), *defaults.templates]
        self.fields["template"].widget.attrs |= REFILL
        self.fields["endpoint"].widget.attrs |= REMEASURE | {"list": "endpoints-offered", "autocomplete": "off"}
        if defaults.kinds and not self.is_bound:  # what is posted is for the service to judge
            self.fields["kind"].choices = [row for row in KINDS if row[0] in defaults.kinds]  # type: ignore[attr-defined]
        self.rows = max([STEP_ROWS, *self._rows_given()])
        for row in range(self.rows):
            default = DEFAULT_STEPS[row] if row < len(DEFAULT_STEPS) else (None, None, None)
            for name, initial in zip(("weight", "bake", "requests"), default, strict=True):
                self.fields[f"{name}_{row}"] = forms.IntegerField(required=False, initial=initial, min_value=0)
        self.offer_measures()
        for bound in self.fields.values():
            bound.widget.attrs["class"] = _css_class(bound)

    def _rows_given(self) -> list[int]:
        """How many rows the steps that were filled in take, by each of them."""
        given = {**self.initial, **(self.data if self.is_bound else {})}
        return [row + 1 for row in range(limits.STEPS_MAX) if given.get(f"weight_{row}") not in (None, "")]

    def _versions(self) -> list[tuple[Any, str]]:
        """The versions that are offered, and the one that was asked for, so that it is not lost."""
        offered: list[tuple[Any, str]] = list(self.defaults.versions) or [("", "Choose a model first")]
        asked = str(self["version"].value() or "")
        known = {str(number) for number, _ in offered}
        return offered if asked in known or not asked else [*offered, (asked, asked)]

    @property
    def step_rows(self) -> list[tuple[Any, Any, Any]]:
        """The step editor's rows as bound fields."""
        return [tuple(self[f"{name}_{row}"] for name in ("weight", "bake", "requests")) for row in range(self.rows)]  # type: ignore[misc]

    @property
    def what(self) -> list[Any]:
        """The fields that say what goes where."""
        return [self[name] for name in ("model", "version", "environment", "endpoint")]

    @property
    def mirroring(self) -> list[Any]:
        """The fields of copies."""
        return [self[name] for name in ("mirror", "min_agreement")]

    @property
    def targeting(self) -> list[Any]:
        """The fields of requests that are chosen before any share of the traffic is."""
        return [self[f"target_{name}"] for name in ("headers", "units", "bake_s", "min_requests")]

    def strategy(self) -> dict[str, Any]:
        """The strategy that was filled in."""
        watch_s = self.cleaned_data.get("watch_s")
        watched = {} if watch_s in (None, limits.WATCH_S) else {"watch_s": watch_s}
        return self._steps_of_kind(self.cleaned_data["kind"]) | watched

    def _steps_of_kind(self, kind: str) -> dict[str, Any]:
        data = self.cleaned_data
        if kind == "immediate":
            return {"kind": kind}
        bake = {"bake_s": data.get("bake_s") or DEFAULT_BAKE_S}
        bake |= {"min_requests": data["min_requests"]} if data.get("min_requests") else {}
        hold = {"hold": True} if data.get("hold") else {}
        if kind == "blue_green":
            return {"kind": kind, **bake, **hold}
        if kind == "linear":
            return {"kind": kind, **self._target(), "step_pct": data.get("step_pct") or STEP_PCT, **bake, **hold}
        if kind == "canary":
            baseline = {"baseline": "fresh"} if data.get("fresh_baseline") else {}
            return {"kind": kind, **self._target(), "steps": self._steps(), **hold, **baseline}
        wanted = {name: data[name] for name in ("mirror", "min_agreement") if data.get(name) is not None}
        return {"kind": kind, **wanted, **bake, "steps": self._steps(), **hold}

    def _target(self) -> dict[str, Any]:
        """Which requests are chosen; nothing when no field says so."""
        data = self.cleaned_data
        pairs = (line.partition(":") for line in data.get("target_headers", "").splitlines() if line.strip())
        headers = {
            name.strip().lower(): [value.strip() for value in values.split(",") if value.strip()]
            for name, _, values in pairs
        }
        units = [line.strip() for line in data.get("target_units", "").splitlines() if line.strip()]
        if not headers and not units:
            return {}
        chosen = {name: value for name, value in (("headers", headers), ("units", units)) if value}
        numbers = {name: data.get(f"target_{name}") for name in ("bake_s", "min_requests")}
        return {"target": chosen | {name: value for name, value in numbers.items() if value}}

    def _steps(self) -> list[dict[str, int]]:
        steps: list[dict[str, Any]] = []
        for row in self._filled_rows():
            weight, bake, requests = (self.cleaned_data.get(f"{name}_{row}") for name in ("weight", "bake", "requests"))
            steps.append({"weight": weight, "bake_s": bake or 1, "min_requests": requests or 0})
        return steps

    def _filled_rows(self) -> list[int]:
        """The rows of the step editor that count."""
        return [row for row in range(self.rows) if self.cleaned_data.get(f"weight_{row}") is not None]

    def command(self) -> ReleaseCommand:
        """The wish as a command. Only after `is_valid`."""
        data = self.cleaned_data
        return ReleaseCommand(
            model=data["model"],
            version=data["version"],
            environment=data["environment"],
            endpoint=data["endpoint"],
            strategy=self.strategy(),
            guardrails=self.guardrails(),
            reason=data["reason"],
            ticket=data["ticket"],
            supersedes=data["supersedes"],
            template=data["template"],
            group=data["group"],
        )

    def add_problems(self, error: Invalid) -> None:
        """Put the service's problems beside the fields they are about; what has no field goes to the top."""
        for name, text in (error.details or {"": error.message}).items():
            field = self._field_of(name)
            self.add_error(field if field in self.fields else None, str(text))

    def _field_of(self, name: str) -> str:
        """The form's field for a field of the request; what has none is left as it is."""
        if step := re.fullmatch(r"strategy\.steps\[(\d+)\]\.(\w+)", name):
            rows, number = self._filled_rows(), int(step[1])
            return f"{STEP_FIELDS.get(step[2], '')}_{rows[number]}" if number < len(rows) else name
        if guardrail := re.fullmatch(r"guardrails(?:\[(\d+)\]\.(?:margin|margin_ms|max)|\.(\w+))", name):
            return self.guardrail_field(guardrail[2] or str(self.guardrails()[int(guardrail[1])].get("metric")))
        if target := re.fullmatch(r"strategy\.target(?:\.(\w+))?", name):
            field = f"target_{target[1]}"
            return field if field in self.fields else "target_headers"
        return name.removeprefix("strategy.")


class ReleaseGroupForm(forms.Form):
    """A coordinated release that begins."""

    name = forms.CharField(
        max_length=limits.GROUP_NAME_MAX_CHARS, widget=forms.TextInput(attrs={"class": "form-control"})
    )
    reason = forms.CharField(
        max_length=limits.REASON_MAX_CHARS,
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
    )


class TemplateForm(forms.Form):
    """The plan of a release under a name, and where it is offered."""

    name = forms.CharField(max_length=60, widget=forms.TextInput(attrs={"class": "form-control"}))
    place = forms.ChoiceField(label="Offered", widget=forms.Select(attrs={"class": "form-select"}))
    note = forms.CharField(
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"class": "form-control", "rows": 2}),
        help_text="What it is for.",
    )

    def __init__(self, *args: Any, release: Release, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.release = release
        model, environment = release.endpoint.model.name, release.endpoint.environment.name
        self.fields["place"].choices = [  # type: ignore[attr-defined]
            ("both", f"for {model} in {environment}"),
            ("model", f"for {model} in every environment"),
            ("environment", f"for every model in {environment}"),
            ("everywhere", "everywhere"),
        ]

    def wish(self) -> TemplateWish:
        """The wish, for the service. Only after `is_valid`."""
        data, endpoint = self.cleaned_data, self.release.endpoint
        return TemplateWish(
            name=data["name"],
            strategy=self.release.strategy,
            guardrails=self.release.guardrails,
            environment=endpoint.environment if data["place"] in ("both", "environment") else None,
            model=endpoint.model if data["place"] in ("both", "model") else None,
            note=data["note"],
        )


def _css_class(field: forms.Field) -> str:
    if isinstance(field, forms.BooleanField):
        return "form-check-input"
    return "form-select" if isinstance(field.widget, forms.Select) else "form-control"


class ServingForm(forms.Form):
    """How an endpoint should be served. Bounds are the service's; here is only what the words mean."""

    replicas = forms.IntegerField(help_text="Worker processes of each version.")
    cpu_threads = forms.IntegerField(label="Threads", help_text="Per replica.")
    memory_limit_mb = forms.IntegerField(
        label="Memory limit (MB)", help_text="Per replica; over it the worker is restarted."
    )
    timeout_ms = forms.IntegerField(label="Timeout (ms)", help_text="Later answers are 504.")
    max_in_flight = forms.IntegerField(
        label="Open requests", help_text="Per gateway process; more are refused with 429."
    )
    max_body_bytes = forms.IntegerField(label="Largest body (bytes)")
    max_batch_rows = forms.IntegerField(label="Requests per batch", help_text="1: never predicted together.")
    rows_independent = forms.BooleanField(
        required=False,
        label="Rows are independent: requests of different clients may be predicted together",
        help_text="Only for models that answer each row by itself. Those made of known classes need no word of yours. "
        "What nothing could test beforehand is joined once real requests showed it.",
    )
    max_batch_delay_ms = forms.IntegerField(
        label="Longest wait for a batch (ms)", help_text="While all replicas are busy."
    )
    nan_literal = forms.BooleanField(
        required=False,
        label="NaN and Infinity as MLflow writes them",
        help_text="In answers of its protocol. Else they are null, which every JSON parser reads.",
    )
    retry_on_stable = forms.BooleanField(
        required=False, label="The stable arm answers what no replica of another arm could begin"
    )
    network = forms.BooleanField(
        required=False, label="The model may use the network", help_text="Its sandbox is 'partly' then, at best."
    )
    log_share_pct = forms.DecimalField(label="Requests logged with their data (%)", max_digits=6, decimal_places=3)
    log_redacted = forms.CharField(
        required=False, label="Columns that are not logged", help_text="Separated by commas.", max_length=10_000
    )
    keep_previous_s = forms.IntegerField(label="Keep the replaced version warm (s)")
    drain_s = forms.IntegerField(label="Time to finish open requests (s)")
    start_timeout_s = forms.IntegerField(label="Longest start (s)")
    max_restarts = forms.IntegerField(label="Restarts before a replica fails")
    cost_per_replica_hour = forms.DecimalField(label="Cost per replica and hour", max_digits=9, decimal_places=4)
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=2000, required=False)
    expects_revision = forms.IntegerField(widget=forms.HiddenInput, min_value=1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for bound in self.visible_fields():
            is_switch = isinstance(bound.field, forms.BooleanField)
            bound.field.widget.attrs["class"] = "form-check-input d-block" if is_switch else "form-control"

    @staticmethod
    def initial_of(config: ServingConfig) -> dict[str, Any]:
        """What the form shows of a serving config."""
        apart = {"reason", "expects_revision"}
        values = {name: getattr(config, name) for name in ServingForm.base_fields if name not in apart}
        return {**values, "log_redacted": ", ".join(config.log_redacted), "expects_revision": config.revision}

    def changes(self) -> dict[str, Any]:
        """The values as the service takes them."""
        values = dict(self.cleaned_data)
        names = [name.strip() for name in values["log_redacted"].split(",")]
        return {**values, "log_redacted": [name for name in names if name]}
