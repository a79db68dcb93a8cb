"""The guardrails in the form of a new release: fields for the usual ones and for what the endpoint has, and what has no
field is carried along.
"""

from typing import Any

from django import forms

from deployments import limits
from deployments.release_defaults import DEFAULT_ERROR_MARGIN, DEFAULT_SLO_MARGIN, ReleaseDefaults
from deployments.rollout.guardrails import read_guardrails, sentence_of
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.readable import read_json

QUANTILES = [("latency_p50", "P50: the middle"), ("latency_p95", "P95: 95 of 100"), ("latency_p99", "P99: 99 of 100")]
SATURATION_INTERVAL_S = 30
KEPT_MAX_CHARS = 20_000
MORE = "more:"  # begins the name of a field of a guardrail on what the endpoint has
MARGIN_FIELDS = {
    "error_rate": "error_margin",
    "latency_over_slo": "slo_margin",
    **dict.fromkeys((metric for metric, _ in QUANTILES), "quantile_margin_ms"),
    "saturation": "saturation_max",
}


class GuardrailFields(forms.Form):
    """Rows of guardrails as plain fields; an empty margin leaves one out."""

    defaults: ReleaseDefaults

    error_margin = forms.FloatField(
        required=False,
        min_value=0,
        max_value=100,
        initial=DEFAULT_ERROR_MARGIN,
        label="Errors: at most this many points more (%)",
    )
    slo_ms = forms.FloatField(required=False, min_value=0, initial=100, label="Slow means longer than (ms)")
    slo_margin = forms.FloatField(
        required=False,
        min_value=0,
        max_value=100,
        initial=DEFAULT_SLO_MARGIN,
        label="Slow requests: at most this many points more (%)",
    )
    quantile = forms.ChoiceField(choices=QUANTILES, required=False, initial="latency_p95", label="Latency is that of")
    quantile_margin_ms = forms.FloatField(
        required=False,
        min_value=0,
        max_value=limits.SLO_MS_MAX,
        label="Latency: at most this much longer (ms)",
        help_text="Compared with the stable version of the same time. Empty: not watched.",
    )
    saturation_max = forms.FloatField(
        required=False,
        min_value=0,
        max_value=100,
        label="Refused at a full queue: at most (%)",
        help_text="A fixed limit on the new version alone, measured every 30 s. Empty: not watched.",
    )
    kept = forms.CharField(required=False, max_length=KEPT_MAX_CHARS, widget=forms.HiddenInput)
    keep = forms.BooleanField(required=False, initial=True, label="Keep the guardrails that have no field here")

    def offer_measures(self) -> None:
        """Have a field for each measure of the endpoint. Belongs into the form's own beginning."""
        for measure in self.defaults.measures:
            self.fields[f"{MORE}{measure.metric}"] = forms.FloatField(
                required=False, label=measure.label, help_text=f"{measure.help_text} Empty: not watched."
            )

    def guardrail_field(self, metric: str) -> str:
        """The field that a guardrail on the metric was filled in with."""
        return MARGIN_FIELDS.get(metric, f"{MORE}{metric}")

    @property
    def more_guards(self) -> list[Any]:
        """The fields of the guardrails on what this endpoint has: outcomes, metrics of Prometheus, predictions."""
        return [self[f"{MORE}{measure.metric}"] for measure in self.defaults.measures]

    @property
    def kept_sentences(self) -> list[str]:
        """The guardrails that have no field here, as people read them; empty when they cannot be read."""
        try:
            return [sentence_of(row) for row in _read(self["kept"].value())]
        except forms.ValidationError:
            return []

    def clean_kept(self) -> list[dict[str, Any]]:
        """The guardrails that were carried along."""
        return _read(self.cleaned_data["kept"])

    @property
    def guards(self) -> list[Any]:
        """The fields of the guardrails."""
        return [
            self[name]
            for name in (
                *("error_margin", "slo_ms", "slo_margin"),
                *("quantile", "quantile_margin_ms", "saturation_max"),
            )
        ]

    def guardrails(self) -> list[dict[str, Any]]:
        """The guardrails that were filled in; an empty margin leaves one out."""
        data = self.cleaned_data
        found: list[dict[str, Any]] = []
        if data.get("error_margin"):
            found.append({"metric": "error_rate", "margin": data["error_margin"] / 100})
        if data.get("slo_margin") and data.get("slo_ms"):
            found.append({"metric": "latency_over_slo", "slo_ms": data["slo_ms"], "margin": data["slo_margin"] / 100})
        if data.get("quantile_margin_ms"):
            found.append({"metric": data.get("quantile") or "latency_p95", "margin_ms": data["quantile_margin_ms"]})
        if data.get("saturation_max"):
            most = data["saturation_max"] / 100
            fixed = {"method": "threshold", "max": most, "interval_s": SATURATION_INTERVAL_S}
            found.append({"metric": "saturation", **fixed})
        found += [
            {"metric": measure.metric, measure.bound: value}
            for measure in self.defaults.measures
            if (value := data.get(f"{MORE}{measure.metric}")) is not None
        ]
        return found + (data.get("kept") or [] if data.get("keep") else [])


def _read(kept: str | None) -> list[dict[str, Any]]:
    """The guardrails that `kept` has as JSON. Raises ValidationError."""
    try:
        return read_guardrails(read_json((kept or "[]").encode()))
    except (Invalid, ValueError, UnicodeError) as error:
        raise forms.ValidationError(f"What was carried along cannot be read: {error}") from error
