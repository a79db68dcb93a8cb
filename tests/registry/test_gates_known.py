"""The gates that judge by what is known: each outcome with its sentence, and what a hostile author would write."""

import platform
from dataclasses import replace

import pytest

from registry.gates import look
from registry.gates.base import Cost, GateInput, Outlook, Proof, Surroundings
from registry.gates.tooling_compatible import mlflow_here
from registry.models import Environment, Model, Policy, Version

HERE = platform.python_version()
MADE = {
    "metrics": {"accuracy": 0.97, "val_loss": 0.1},
    "params": {"depth": "3"},
    "datasets": [{"name": "rows", "digest": "d1", "context": "training"}],
    "git_commit": "abc",
    "git_dirty": "false",
    "requirements": ["numpy==2.3.4"],
    "python": HERE,
    "mlflow_version": mlflow_here(),
    "flavors": ["python_function", "sklearn"],
}
CARD = {
    "owner": "tumour team",
    "Intended use": "screening",
    "limitations": "adults only",
    "eval-data": "holdout 2025",
    "license": "MIT",
    "contact": "a@b.example",
}


def given(
    *,
    evidence: dict | None = None,
    tags: dict | None = None,
    before: dict | None = None,
    policy: dict | None = None,
    around: Surroundings | None = None,
    guardrails: list | None = None,
) -> GateInput:
    model = Model(name="tumours", tags={})
    version = Version(
        model=model,
        number=2,
        run_id="r",
        digest="sha256:2",
        status="READY",
        tags=tags or {},
        evidence={**MADE, **(evidence or {})},
        signature={"inputs": [{"name": "x", "type": "double"}]},
    )
    serving = Version(model=model, number=1, digest="sha256:1", **before) if before else None
    return GateInput(
        version,
        Environment(name="production"),
        Policy(**(policy or {})),
        guardrails or [],
        {},
        "release",
        "r1",
        "sha256:a",
        serving,
        serving.digest if serving else "",
        around or Surroundings(),
    )


def parameters(gate: str, **values: object) -> dict:
    return {"gate_parameters": {gate: values}}


def asserts(gate: str, what: GateInput, outcome: str, words: str) -> None:
    found = look(gate, what)
    assert (found.outcome.value, words in found.sentence) == (outcome, True), found


REQUIRED = ["owner", "intended_use", "limits", "training_data", "evaluation_data", "licence", "contact", "risk_tier"]


@pytest.mark.parametrize(
    ("tags", "outcome", "words"),
    [
        (CARD, "pass", "8 required names"),
        ({**CARD, "owner": "  TBD. "}, "fail", "owner"),
        ({**CARD, "contact": "\n\t"}, "fail", "contact"),
        ({key: value for key, value in CARD.items() if key != "license"}, "fail", "licence=…"),
        ({**CARD, "license": {"nested": ["x" * 5000]}}, "pass", "required"),  # cut, and only shown
    ],
)
def test_metadata__required_by_the_policy(tags, outcome, words):
    asserts("metadata_complete", given(tags=tags, policy={"required_metadata": REQUIRED}), outcome, words)


def test_metadata__of_the_model__stands_where_the_version_says_nothing():
    what = given(policy={"required_metadata": ["owner", "cost_centre"]})
    what.version.model.owner, what.version.model.tags = "emma", {"Cost centre": "7"}
    assert look("metadata_complete", what).evidence["said"]["cost_centre"] == ["7", "a tag of the model"]


@pytest.mark.parametrize(
    ("evidence", "outcome", "words"),
    [
        ({}, "pass", "known"),
        ({"git_commit": ""}, "warn", "commit is not known"),
        ({"git_dirty": "True"}, "warn", "not committed"),
        ({"git_dirty": ""}, "warn", "is not known"),
        ({"params": {}}, "warn", "no parameter"),
        ({"datasets": [{"name": "rows"}]}, "warn", "no digest"),
        ({"datasets": ["odd", 7]}, "warn", "no data set"),
        ({"requirements": ["numpy==2.*"]}, "warn", "not pinned"),
        ({"requirements": ["numpy>=2  # not ==2.1"]}, "warn", "not pinned"),
        ({"python": ""}, "warn", "Python version"),
    ],
)
def test_reproducible(evidence, outcome, words):
    asserts("reproducible", given(evidence=evidence), outcome, words)
    if outcome == "warn":
        asserts("reproducible", given(evidence=evidence, policy=parameters("reproducible", refuse=True)), "fail", words)


@pytest.mark.parametrize(
    ("evidence", "outcome", "words"),
    [
        ({}, "pass", "fits"),
        ({"flavors": []}, "fail", "no flavour"),
        ({"flavors": ["sklearn"]}, "fail", "python_function"),
        ({"mlflow_version": "999.0.0"}, "fail", "older"),
        ({"mlflow_version": "1.2.3; rm -rf /"}, "warn", "not known"),
        ({"python": "2.7.18"}, "fail", "2.7.18"),
        ({"python": "3.1.0"}, "warn", "3.1.0"),
        ({"python": "3.1.0", "flavors": ["python_function"]}, "fail", "as bytes"),
        ({"python": "three"}, "warn", "not known"),
    ],
)
def test_tooling(evidence, outcome, words):
    asserts("tooling_compatible", given(evidence=evidence), outcome, words)


@pytest.mark.parametrize(
    ("before", "outcome", "words"),
    [
        (None, "skipped", "no client"),
        ({"signature": None}, "skipped", "no input signature"),
        ({"signature": {"inputs": [{"name": "x", "type": "double"}]}}, "pass", "that of version 1"),
        ({"signature": {"inputs": [{"name": "x", "type": "float"}]}}, "pass", "widened"),
        ({"signature": {"inputs": [{"name": "y", "type": "double"}]}}, "fail", "required input added: x"),
        (
            {"signature": {"inputs": [{"name": "x", "type": "double"}, {"name": "z", "type": "long"}]}},
            "warn",
            "removed: z",
        ),
    ],
)
def test_signature__against_what_serves(before, outcome, words):
    asserts("signature_compatible", given(before=before), outcome, words)


def test_signature__files_that_serve_are_others_than_mlflow_has__is_an_error():
    what = given(before={"signature": {"inputs": [{"name": "x", "type": "double"}]}})
    asserts("signature_compatible", replace(what, from_digest="sha256:frozen"), "error", "other files")


@pytest.mark.parametrize(
    ("lines", "before", "outcome", "words"),
    [
        ([], None, "pass", "no lines"),
        (["accuracy >= 0.9"], None, "pass", "1 line "),
        (["accuracy >= 0.98"], None, "fail", "is 0.97, asked for >= 0.98"),
        (["val_* <= 0.05"], None, "fail", "val_loss"),
        (["recall >= 0.5"], None, "fail", "no metric is called recall"),
        (["accuracy not worse than 0.01"], {"accuracy": 0.98}, "warn", "is worse"),
        (["accuracy not worse than 0.01"], {"accuracy": 0.99}, "fail", "0.02 worse; 0.01 is allowed"),
        (["val_loss not worse than 50 %"], {"val_loss": 0.05}, "fail", "100 % worse"),
        ([], {"accuracy": 0.9, "recall": 0.4}, "warn", "recall is missing"),
        (["slice_*_recall not worse than 1 %"], {"slice_b_recall": 0.4}, "fail", "slice_b_recall is missing"),
    ],
)
def test_offline_metrics(lines, before, outcome, words):
    what = given(
        before={"evidence": {"metrics": before}} if before else None,
        policy=parameters("offline_metrics", thresholds=lines),
    )
    asserts("offline_metrics", what, outcome, words)


def test_offline_metrics__not_numbers__fail_the_lines_that_ask_for_them():
    what = given(
        evidence={"metrics": {"accuracy": None}}, policy=parameters("offline_metrics", thresholds=["accuracy >= 0"])
    )
    asserts("offline_metrics", what, "fail", "not a number")


PROOF = Proof("staging", "staging/clinic", 30, 500)


@pytest.mark.parametrize(
    ("proofs", "outcome", "words"),
    [
        (None, "error", "Nobody"),
        ((), "fail", "never served in staging"),
        ((replace(PROOF, environment="lab"),), "fail", "never served in staging"),
        ((PROOF,), "pass", "30 min and 500 requests"),
        ((replace(PROOF, minutes=9.9),), "fail", "asks for 10 min"),
        ((replace(PROOF, requests=99),), "fail", "100 requests"),
        ((PROOF, replace(PROOF, endpoint="staging/b", why_not="taken back: errors")), "fail", "not well: taken back"),
    ],
)
def test_proven(proofs, outcome, words):
    asserts("proven_before", given(around=Surroundings(proofs=proofs)), outcome, words)


@pytest.mark.parametrize(
    ("most", "cost", "outcome", "words"),
    [
        (None, None, "skipped", "no limit"),
        (100, None, "error", "Nobody"),
        (100, Cost(24, 76), "pass", "100.00 is the limit"),
        (100, Cost(24, 77), "fail", "1.00 too much"),
        (100, Cost(0, 0, ("production/clinic",)), "warn", "production/clinic"),
    ],
)
def test_cost(most, cost, outcome, words):
    asserts(
        "cost_within_quota", given(policy={"cost_per_day_max": most}, around=Surroundings(cost=cost)), outcome, words
    )


@pytest.mark.parametrize(
    ("outlook", "outcome", "words"),
    [
        (None, "error", "Nobody"),
        (Outlook(True, "", "The endpoint serves nothing yet."), "skipped", "nothing yet"),
        (Outlook(True, "About 60 requests are needed."), "pass", "About 60"),
        (
            Outlook(False, "It cannot.", too_fine="Step 1 is too fine.", offer="10 % for 3 h."),
            "warn",
            "fine. 10 % for 3 h",
        ),
    ],
)
def test_plan(outlook, outcome, words):
    asserts("plan_concludes", given(around=Surroundings(outlook=outlook)), outcome, words)


@pytest.mark.parametrize(
    ("metrics", "objectives", "outcome", "words"),
    [
        ([], (), "fail", "Nothing watches the release"),
        (["error_rate"], (), "warn", "Nothing watches its latency"),
        ([], ("availability",), "warn", "Nothing watches its latency"),
        (["error_rate", "latency_over_slo"], (), "pass", "only while it rolls out"),
        (["error_rate"], ("latency",), "pass", "; errors only while it rolls out"),
        ([], ("availability", "latency"), "pass", "also after the rollout"),
    ],
)
def test_objectives(metrics, objectives, outcome, words):
    what = given(guardrails=[{"metric": name} for name in metrics], around=Surroundings(objectives=objectives))
    asserts("objectives_exist", what, outcome, words)


def test_finding__says_what_no_database_takes__is_kept_without_it():
    what = given(evidence={"metrics": {"a\0b": 1.0}}, policy=parameters("offline_metrics", thresholds=["a* <= 0"]))
    found = look("offline_metrics", what)
    assert found.outcome == "fail"
    assert "\0" not in found.sentence + str(found.evidence)
