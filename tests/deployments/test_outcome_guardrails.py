"""A release that is judged by outcomes: harm, health, silence, and arms that report unlike."""

import random

import pytest

from deployments.models import Release
from deployments.rollout.guardrails import guardrail_sentences
from deployments.services.outcomes import outcomes_post
from deployments.services.watching import watched_in_use
from mlorch_site.lib.errors import Invalid
from monitoring.services import OutcomeWish, outcome_define, outcome_end
from tests.deployments.world import World

CANARY = {"kind": "canary", "steps": [{"weight": 50, "bake_s": 20}]}
CONVERSION = [{"metric": "outcome:conversion", "margin": 0.1}]


class Reporting:
    """Clients that report what became of 60 units a second: `converted` maps a version to the share of yes, `reported`
    to the share of its outcomes that come at all.
    """

    def __init__(self, world: World) -> None:
        self.world, self.draw = world, random.Random(1)
        self.converted: dict[int, float] = {}
        self.reported: dict[int, float] = {}

    def second(self) -> None:
        self.world.tick()
        rows = []
        for arm in self.world.endpoint.arms.select_related("version"):
            number = arm.version.number
            for _ in range(60 * arm.weight_pct // 100):
                if self.draw.random() < self.reported.get(number, 1.0):
                    rows.append(self.row(str(arm.release_id), self.draw.random() < self.converted.get(number, 0.5)))
        with self.world.at():
            results = outcomes_post(actor=self.world.people.emma.actor, rows=rows)
        assert {(result.status, result.reason) for result in results} <= {("taken", "")}

    def row(self, release: str, value: bool) -> dict[str, object]:
        place = {"environment": "production", "endpoint": "clinic", "name": "conversion", "value": value}
        at = self.world.now.isoformat()
        return place | {"at": at, "request_id": f"{self.draw.getrandbits(64):x}-id", "release": release}

    def until_ended(self, release: Release, most_s: int = 120) -> Release:
        for _ in range(most_s):
            self.second()
            release.refresh_from_db()
            if not release.is_open:
                break
        return release


@pytest.fixture
def reporting(world):
    world.serve(1)
    with world.at():
        wish = OutcomeWish("conversion", "binary", "better")
        outcome_define(actor=world.people.emma.actor, place=watched_in_use(world.endpoint), wish=wish)
    return Reporting(world)


def result_of(release: Release) -> dict[str, object]:
    return release.rollout.assessment["guardrails"][0]


def test_release__fewer_conversions__is_rolled_back_by_the_evidence_and_says_so(reporting):
    reporting.converted = {1: 0.6, 2: 0.2}
    release = reporting.until_ended(reporting.world.request(2, strategy=CANARY, guardrails=CONVERSION))

    assert release.status == "rolled_back"
    assert result_of(release)["verdict"] == "harmful"
    assert "Share without conversion" in release.rollout.assessment["sentence"]
    assert "% of the candidate's requests have one" in release.rollout.assessment["sentence"]


def test_release__conversions_as_before__is_promoted(reporting):
    reporting.converted = {1: 0.9, 2: 0.9}
    release = reporting.until_ended(reporting.world.request(2, strategy=CANARY, guardrails=CONVERSION))

    assert release.status == "succeeded", release.rollout.waiting_for


def test_release__no_outcome_comes__is_not_promoted(reporting):
    reporting.reported = {1: 1.0, 2: 0.0}
    release = reporting.until_ended(reporting.world.request(2, strategy=CANARY, guardrails=CONVERSION), 45)

    assert (release.status, release.rollout.phase) == ("rolling_out", "judging")
    assert result_of(release)["verdict"] == "no_data"


def test_release__failures_of_the_candidate_are_not_reported__nothing_is_concluded(reporting):
    reporting.reported = {1: 1.0, 2: 0.5}
    release = reporting.until_ended(reporting.world.request(2, strategy=CANARY, guardrails=CONVERSION), 45)

    assert (release.status, release.rollout.phase) == ("rolling_out", "judging")
    assert result_of(release)["verdict"] == "inconclusive"
    assert "so unlike often" in str(result_of(release)["sentence"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"metric": "outcome:basket", "margin": 0.1}, "has no outcome basket"),
        ({"metric": "outcome:conversion", "margin": 1.0}, "no difference is larger"),
        ({"metric": "outcome:Bad Name", "margin": 0.1}, "name of an outcome"),
        ({"metric": "outcome:conversion", "margin": 0.1, "slo_ms": 5}, "unknown key"),
    ],
)
def test_request__outcome_that_the_endpoint_cannot_judge__is_refused(reporting, row, said):
    with pytest.raises(Invalid, match="") as caught:
        reporting.world.request(2, strategy=CANARY, guardrails=[row])
    assert said in f"{caught.value.message} {caught.value.details}"


def test_release__outcome_ended_and_named_anew_after_the_request__keeps_to_the_one_it_was_frozen_with(reporting):
    world = reporting.world
    release = world.request(2, strategy=CANARY, guardrails=CONVERSION)
    with world.at():
        actor, place = world.people.emma.actor, watched_in_use(world.endpoint)
        outcome_end(actor=actor, definition=place.outcomes().get())
        outcome_define(actor=actor, place=place, wish=OutcomeWish("conversion", "binary", "worse"))
    reporting.converted = {1: 0.6, 2: 0.2}
    reporting.until_ended(release, 45)

    assert (release.status, result_of(release)["verdict"]) == ("rolling_out", "no_data")
    assert "was ended while the release waited for it" in result_of(release)["sentence"]
    assert guardrail_sentences(release) == [
        "outcome conversion at most 0.1 worse than the stable version's (conversion is yes or no; yes is better)"
    ]
