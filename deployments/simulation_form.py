"""The numbers of a simulation as people fill them in."""

from dataclasses import replace
from typing import Any

from django import forms

from deployments.plan_trials import EFFECTS_MAX, TrialWish
from deployments.rollout.simulation import RATE_MAX_PER_S, ROLLOUTS_MAX, SimulatedTraffic

BOX = {"class": "form-control"}


class SimulationForm(forms.Form):
    """Traffic, truths, and how often. What it comes to is for the simulator to say."""

    effects = forms.CharField(
        label="How much worse the new version is, in points of errors",
        max_length=200,
        widget=forms.TextInput(attrs=BOX),
        help_text=f"Up to {EFFECTS_MAX} numbers: 0, 0.5, 2, 100",
    )
    rate = forms.FloatField(
        label="Requests per second", min_value=0, max_value=RATE_MAX_PER_S, widget=forms.NumberInput(attrs=BOX)
    )
    error_pct = forms.FloatField(
        label="Errors of the stable version (%)", min_value=0, max_value=100, widget=forms.NumberInput(attrs=BOX)
    )
    design_effect = forms.FloatField(
        label="Requests worth one independent one",
        min_value=1,
        max_value=RATE_MAX_PER_S,
        widget=forms.NumberInput(attrs=BOX),
        help_text="1 when none have to do with each other.",
    )
    rollouts = forms.IntegerField(
        label="Rollouts of each", min_value=1, max_value=ROLLOUTS_MAX, widget=forms.NumberInput(attrs=BOX)
    )

    @classmethod
    def like(cls, inputs: dict[str, Any]) -> "SimulationForm":
        """The form with the numbers of a simulation."""
        traffic = inputs["traffic"]
        return cls(
            initial={
                "effects": ", ".join(f"{points:g}" for points in inputs["effects_pp"]),
                "rate": round(traffic["rate_per_s"], 3),
                "error_pct": round(100 * traffic["error_share"], 4),
                "design_effect": round(traffic["design_effect"], 2),
                "rollouts": inputs["rollouts"],
            }
        )

    def clean_effects(self) -> tuple[float, ...]:
        """The numbers. Raises ValidationError."""
        try:
            found = tuple(float(word) for word in self.cleaned_data["effects"].split(",") if word.strip())
        except ValueError as error:
            raise forms.ValidationError("Numbers with commas between them, such as 0, 0.5, 2.") from error
        if not found or not all(0 <= points <= 100 for points in found):
            raise forms.ValidationError("Each is from 0 to 100 points.")
        return found

    def wish(self, before: TrialWish) -> TrialWish:
        """The plan of `before` with these numbers. Only after `is_valid`."""
        data = self.cleaned_data
        traffic = SimulatedTraffic(data["rate"], data["error_pct"] / 100, data["design_effect"])
        return replace(before, traffic=traffic, effects_pp=data["effects"], rollouts=data["rollouts"])
