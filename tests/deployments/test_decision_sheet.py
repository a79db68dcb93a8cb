"""The decision sheet: the evidence in one line, what each step would see, and a refused decision that loses nothing."""

from typing import Any

import pytest
from django.urls import reverse

from deployments.biography import biography
from deployments.decision_sheet import Headline, headline, planned_steps
from deployments.gate_lines import GateLine
from deployments.services import release_abort
from registry.models import GateResult, Version
from registry.version_comparison import compare_versions
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in

pytestmark = pytest.mark.usefixtures("data_dir")


@pytest.fixture
def world(people: Any) -> World:
    return World(people, rules=[{"role": "reviewer", "count": 1}])


def serve_first(world: World) -> None:
    world.rules.clear()
    world.environment.policies.update(approval_rules=[])
    world.serve(1)
    world.environment.policies.update(approval_rules=[{"role": "reviewer", "count": 1}])


def metrics(world: World, number: int, **values: float) -> Version:
    version = Version.objects.get(model=world.model, number=number)
    version.evidence = {**version.evidence, "metrics": values}
    version.save()
    return version


def line_of(world: World, before: Version | None, after: Version, *outcomes: str) -> Headline:
    gates = [GateLine(GateResult(gate=f"gate_{number}", outcome=outcome)) for number, outcome in enumerate(outcomes)]
    return headline(compare_versions(before, after), [], gates)


def test_headline__better_worse_missing__counted_and_named(world: World) -> None:
    old = metrics(world, 1, accuracy=0.8, recall=0.7, roc_auc=0.9, loss=0.3)
    new = metrics(world, 2, accuracy=0.9, loss=0.4)
    line = line_of(world, old, new, "pass", "warn")

    assert line == Headline(
        "Better on 1 metric: accuracy; worse on 1 metric: loss; unknown on 2 metrics: recall, roc auc; "
        "gates that warn: gate 1; 1 of 2 gates pass.",
        True,
    )


def test_headline__nothing_speaks_against_it__is_not_alarming(world: World) -> None:
    line = line_of(world, metrics(world, 1, recall=0.7), metrics(world, 2, recall=0.8), "pass")

    assert line == Headline("Better on 1 metric: recall; 1 of 1 gates pass.", False)


def test_headline__first_release_and_no_gate_yet__says_that_nothing_is_known(world: World) -> None:
    line = line_of(world, None, metrics(world, 2, recall=0.8))

    assert line.text == "Nothing to compare its metrics with; the gates have not run yet."


def test_headline__many_metrics__the_first_by_name_and_how_many_more(world: World) -> None:
    names = [f"recall_{number}" for number in range(6)]
    old, new = (metrics(world, n, **dict.fromkeys(names, float(n))) for n in (1, 2))

    assert (
        "better on 6 metrics: recall 0, recall 1, recall 2, recall 3 and 2 more"
        in line_of(world, old, new).text.lower()
    )


def test_headline__taken_back_before__where_when_and_why(world: World) -> None:
    serve_first(world)
    world.environment.policies.update(approval_rules=[])
    world.errors = {"2": 1.0}
    world.until(world.request(2), "rolled_back")
    again = world.request(2)
    with world.at():
        line = headline(compare_versions(None, again.version), biography(again), [])

    assert line.is_alarming
    assert "taken back in production 0" in line.text
    assert ": error share 100.0 %, n " in line.text


def test_planned_steps__traffic_of_now__what_each_would_see(world: World) -> None:
    serve_first(world)
    world.tick(30)
    release = world.request(2, strategy=CANARY)
    with world.at():
        steps = [(step.title, step.expected) for step in planned_steps(release)]

    seen = [text for _, text in steps if text]
    assert len(seen) == 2
    assert all(text.startswith("about ") for text in seen)
    assert [text for title, text in steps if title.startswith("10 %")] == [""]


def test_planned_steps__more_asked_for_than_comes__how_long_it_takes(world: World) -> None:
    serve_first(world)
    world.tick(30)
    strategy = {"kind": "canary", "steps": [{"weight": 10, "bake_s": 10, "min_requests": 5000}]}
    with world.at():
        (expected,) = [step.expected for step in planned_steps(world.request(2, strategy=strategy)) if step.expected]

    assert "; the 5,000 that it asks for take " in expected


def test_planned_steps__no_traffic__says_that_nothing_would_be_seen(world: World) -> None:
    world.rate = 0
    serve_first(world)
    with world.at():
        found = {step.expected for step in planned_steps(world.request(2)) if step.expected}

    assert found == {"no requests came lately: it would see none"}


def test_page__rejected_without_a_word__the_problem_beside_the_comment_and_nothing_lost(world: World) -> None:
    serve_first(world)
    release = world.request(2)
    rita = signed_in("rita")
    assert release.approval is not None
    answer = rita.post(reverse("approval-decide", args=[release.approval.pk]), {"decision": "reject", "comment": ""})
    page = answer.content.decode()

    assert answer.status_code == 400
    assert 'id="comment-problem"' in page
    assert 'aria-describedby="comment-problem"' in page


def test_page__decision_that_comes_too_late__keeps_the_comment(world: World) -> None:
    serve_first(world)
    release = world.request(2)
    assert release.approval is not None
    address = reverse("approval-decide", args=[release.approval.pk])
    with world.at():
        release_abort(actor=world.people.emma.actor, release=release, reason="a mistake")
        answer = signed_in("rita").post(address, {"decision": "approve", "comment": "my long words"})
    page = answer.content.decode()

    assert answer.status_code == 409
    assert "This release is aborted; it does not wait for a decision." in page
    assert "my long words" in page


def test_page__decided__what_is_still_missing_instead_of_the_same_buttons(people: Any) -> None:
    world = World(people, rules=[{"role": "reviewer", "count": 2}])
    release = world.request(1)
    assert release.approval is not None
    rita = signed_in("rita")
    rita.post(reverse("approval-decide", args=[release.approval.pk]), {"decision": "approve", "comment": ""})
    page = rita.get(reverse("approval", args=[release.approval.pk])).content.decode()

    assert "You decided at" in page
    assert "Needs 1 more Reviewer." in page
    assert "nobody who may decide on this counts as this here" in page
