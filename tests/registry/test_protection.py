"""What takes protection off an environment, change by change, and what does not."""

import pytest

from registry.policy_comparison import compare_policies
from registry.protection import loosens

STRICT = {
    "protected": True,
    "approval_rules": [{"role": "reviewer", "count": 2}, {"role": "risk_officer", "count": 1}],
    "approval_days": 30,
    "gates": ["version_ready", "digest_known"],
    "required_metadata": ["intended_use"],
    "waiver_role": "risk_officer",
    "waiver_days_max": 30,
    "guardrails_required": True,
    "default_guardrails": [{"metric": "error_rate", "margin": 0.01}],
    "windows": [],
    "allowed_strategies": ["canary", "shadow"],
    "max_first_weight_pct": 10,
    "judge_deadline_s": 900,
    "when_changed_outside": "go_back",
    "refuse_taken_back": True,
    "sandbox_level_min": "partly",
    "when_closed": "hold",
    "when_alerting": "roll_back",
    "when_author_unknown": "one_more",
    "bake_s_min": 60,
    "requests_min": 100,
    "margins_max": {"error_rate": 0.02},
    "hold_required": True,
    "operators": {"promote": ["release_manager"], "pause": ["engineer", "release_manager"]},
    "replicas_max": 20,
    "endpoints_max": None,
    "cost_per_day_max": 500.5,
    "artifacts_kept_days": 90,
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
            {"gate_parameters": {"digest_known": {"x": 1}, "reproducible": {"refuse": True}}},
            ["The gate digest_known would judge by other parameters."],
        ),
        ({"required_metadata": []}, ["The metadata would not have to say intended use."]),
        ({"waiver_role": "engineer"}, ["What gates find could be waived by ML engineer."]),
        ({"waiver_days_max": 31}, ["A waiver could last 31 days instead of 30."]),
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
        (
            {"when_author_unknown": "anyone"},
            ["A version whose author is unknown would need no further approval."],
        ),
        ({"artifacts_kept_days": 30}, ["Files that served would be kept for 30 instead of 90 days."]),
        ({"when_closed": "go_on"}, ["A rollout that runs would go on while the environment is closed."]),
        ({"when_alerting": "hold"}, ["A rollout would only hold, not go back, when an alert fires on its endpoint."]),
        ({"when_alerting": "go_on"}, ["A rollout would go on while an alert fires on its endpoint."]),
        ({"bake_s_min": 30}, ["A step could be watched for 30 s only, not 60 s."]),
        ({"requests_min": 0}, ["A step would not have to be watched for 100 requests any more."]),
        ({"margins_max": {}}, ["No guardrail on error rate would be asked for any more."]),
        (
            {"margins_max": {"error_rate": 0.05}},
            ["A guardrail on error rate could be wider: 5 instead of 2 points."],
        ),
        ({"hold_required": False}, ["No person would have to promote any more."]),
        (
            {"operators": {}},
            ["More people could promote: every role that can.", "More people could pause: every role that can."],
        ),
        (
            {"operators": {**STRICT["operators"], "promote": ["release_manager", "administrator"]}},
            ["More people could promote: Administrator, Release manager."],
        ),
        (
            {"operators": {**STRICT["operators"], "rollback": ["risk_officer"]}},
            ["Fewer people could roll back: only Risk officer."],
        ),
        ({"replicas_max": None}, ["There would be no limit of replicas any more."]),
        ({"cost_per_day_max": None}, ["There would be no limit of costs any more."]),
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
        {"bake_s_min": 61, "requests_min": 101, "margins_max": {"error_rate": 0.01, "latency_over_slo": 0.1}},
        {"operators": {"promote": ["release_manager"], "pause": ["engineer"]}},
        {"replicas_max": 200, "endpoints_max": 3, "cost_per_day_max": 1000},
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
