"""What takes protection off an environment, change by change, and what does not."""

import pytest

from registry.policy_comparison import compare_policies
from registry.protection import loosens

STRICT = {
    "protected": True,
    "approval_rules": [{"role": "reviewer", "count": 2}, {"role": "risk_officer", "count": 1}],
    "approval_days": 30,
    "gates": ["version_ready", "digest_known"],
    "guardrails_required": True,
    "default_guardrails": [{"metric": "error_rate", "margin": 0.01}],
    "windows": [],
    "allowed_strategies": ["canary", "shadow"],
    "max_first_weight_pct": 10,
    "judge_deadline_s": 900,
    "when_changed_outside": "go_back",
    "refuse_taken_back": True,
    "sandbox_level_min": "partly",
    "note": "",
}


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ({"protected": False}, ["The environment would not be protected any more."]),
        (
            {"approval_rules": []},
            [
                "No Reviewer would have to approve.",
                "No Risk officer would have to approve.",
                "Nobody would have to approve.",
            ],
        ),
        ({"approval_rules": STRICT["approval_rules"][:1]}, ["No Risk officer would have to approve."]),
        (
            {"approval_rules": [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}]},
            ["Only 1 instead of 2 would have to approve as Reviewer."],
        ),
        ({"approval_rules": [{"role": "risk_officer", "count": 3}]}, ["No Reviewer would have to approve."]),
        ({"gates": ["digest_known", "signature_present"]}, ["The gate version_ready would not run any more."]),
        (
            {"gates": []},
            ["The gate version_ready would not run any more.", "The gate digest_known would not run any more."],
        ),
        ({"guardrails_required": False}, ["Releases without guardrails would be allowed."]),
        ({"refuse_taken_back": False}, ["A version that was taken back would only be warned about."]),
        (
            {"when_changed_outside": "go_on"},
            ["Rollouts would go on although their version was changed in MLflow."],
        ),
        ({"sandbox_level_min": "none"}, ["Replicas would start in worse sandboxes: none instead of partly."]),
        ({"allowed_strategies": ["canary", "immediate"]}, ["All traffic could go to a new version at once."]),
        ({"allowed_strategies": []}, ["All traffic could go to a new version at once."]),
        ({"max_first_weight_pct": 100}, ["The first share of the traffic would have no bound."]),
    ],
)
def test_loosens__takes_protection_off__says_what(change, sentences):
    assert loosens(STRICT, {**STRICT, **change}) == sentences


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"approval_rules": [{"role": "risk_officer", "count": 1}, {"role": "reviewer", "count": 3}]},
        {"gates": ["digest_known", "version_ready", "signature_present"]},
        {"sandbox_level_min": "full"},
        {"when_changed_outside": "hold"},
        {"allowed_strategies": ["canary"]},
        {"allowed_strategies": ["canary", "blue_green"]},
        {"max_first_weight_pct": 50},
        {"approval_days": 365},
        {"judge_deadline_s": 60},
        {"default_guardrails": []},
        {"note": "why"},
    ],
)
def test_loosens__as_strict_or_another_matter__nothing(change):
    assert loosens(STRICT, {**STRICT, **change}) == []


def test_loosens__was_not_protected__nothing():
    open_one = {**STRICT, "protected": False}
    assert loosens(open_one, {**open_one, "approval_rules": [], "gates": []}) == []


def test_loosens__protection_off_and_more_at_once__all_is_said():
    found = loosens(STRICT, {**STRICT, "protected": False, "sandbox_level_min": "none"})
    assert len(found) == 2


def test_loosens__there_was_no_bound_before__nothing():
    free = {**STRICT, "allowed_strategies": [], "max_first_weight_pct": 100, "sandbox_level_min": "none", "gates": []}
    assert loosens({**free, "approval_rules": []}, {**free, "approval_rules": []}) == []


def test_compare__only_what_differs_as_people_write_it():
    after = {"approval_rules": [], "refuse_taken_back": False, "gates": STRICT["gates"]}
    found = compare_policies(STRICT, after, list(STRICT))

    assert [(row.label, row.before, row.after) for row in found] == [
        ("Who approves", "2 of Reviewer have to approve. 1 of Risk officer has to approve.", "Nobody has to approve."),
        (
            "Versions taken back",
            "A version that was taken back somewhere is refused.",
            "A version that was taken back somewhere is warned about.",
        ),
    ]


def test_compare_policies__no_strategies__means_all_of_them() -> None:
    (difference,) = compare_policies(
        {"allowed_strategies": []}, {"allowed_strategies": ["canary"]}, ["allowed_strategies"]
    )

    assert (difference.before, difference.after) == ("Every strategy is allowed.", "Allowed strategies: canary.")
