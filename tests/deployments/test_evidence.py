"""The evidence of a decision stands: whatever is counted after it, every place shows the verdict and the numbers that
decided.
"""

from html import unescape

from django.urls import reverse

from deployments.models import Release, ReleaseEvent
from deployments.services import release_promote
from mlorch_site.audit.models import AuditRecord
from mlorch_site.live.outbox import relay
from mlorch_site.notices.models import Notice
from tests.deployments.world import CANARY, World
from tests.support.live import signed_in

SLO_GUARDRAILS = [
    {"metric": "error_rate", "margin": 0.1},
    {"metric": "latency_over_slo", "slo_ms": 250, "margin": 0.1},
    {"metric": "latency_over_slo", "slo_ms": 90.5, "margin": 0.1},
]


def until_phase(world: World, release: Release, phase: str) -> dict:
    """Tick until the rollout is in a phase; return the assessment it has there."""
    for _ in range(120):
        world.tick()
        release.refresh_from_db()
        if release.rollout.phase == phase:
            return release.rollout.assessment
    raise AssertionError(f"{release.rollout.phase}: {release.rollout.waiting_for}")


def page(name: str, release: Release) -> str:
    return " ".join(unescape(signed_in("vik").get(reverse(name, args=[release.pk])).content.decode()).split())


def shifted(world: World, weight_pct: int, **changes) -> Release:
    """A release whose candidate has `weight_pct` of the traffic, while its gateway obeys nothing newer."""
    world.serve(1)
    release = world.request(2, **changes)
    for _ in range(60):
        world.tick()
        if world.weights.get("2") == weight_pct:
            world.platform.refuses = "not yet"
            return release
    raise AssertionError(world.weights)


def counted_on(world: World, release: Release, phase: str) -> dict:
    """Wait for a decision that no gateway obeys, and let everything be counted otherwise for a while."""
    decided = until_phase(world, release, phase)
    world.errors = {"1": 0.5}
    world.rate *= 2
    world.tick(20)
    release.rollout.refresh_from_db()
    assert (release.rollout.phase, release.rollout.assessment) == (phase, decided)
    world.platform.refuses = ""
    return decided


def check_every_place(world: World, release: Release, decided: dict) -> None:
    """The same sentence and the same numbers wherever the decision is told."""
    release = Release.objects.select_related("rollout", "report").get(pk=release.pk)
    sentence = decided["sentence"]
    document = release.report.document
    in_timeline = ReleaseEvent.objects.filter(release=release, kind="rollout.step").latest("id")
    record = AuditRecord.objects.filter(action="rollout.weights_set", subject_id=str(release.pk)).latest("sequence")
    rest = signed_in("vik").get(f"/api/v1/releases/{release.pk}").json()

    assert sentence in release.status_reason
    assert release.rollout.assessment == document["assessment"] == rest["rollout"]["assessment"] == decided
    assert sentence in in_timeline.sentence
    assert sentence in record.reason
    assert sentence in document["outcome"]["sentence"]
    for evidence in (in_timeline.data["evidence"], record.data["evidence"]):
        assert (evidence["verdict"], evidence["sentence"]) == (decided["verdict"], sentence)
        for said, row in zip(evidence["guardrails"], decided["guardrails"], strict=True):
            assert said.items() <= row.items()
    for name in ("release", "release-report"):
        html = page(name, release)
        assert f"Verdict when it was decided: {decided['verdict']}" in html
        assert html.count(sentence) >= 3, "header, verdict, timeline"
        assert all(f"n = {row['candidate_n']:,}" in html for row in decided["guardrails"])


def test_harmful__counted_on_after_the_decision__every_place_shows_what_decided(world):
    release = shifted(world, 10)
    world.errors = {"2": 0.9}
    decided = counted_on(world, release, "reverting")
    world.until(release, "rolled_back")
    with world.at():
        relay()

    assert decided["verdict"] == "harmful"
    check_every_place(world, release, decided)
    assert decided["sentence"] in Notice.objects.get(person__username="emma", kind="taken_back").sentence


def test_promoted__counted_on_after_the_decision__every_place_shows_what_decided(world):
    release = shifted(world, 50)
    decided = counted_on(world, release, "promoting")
    world.until(release, "succeeded")

    assert decided["verdict"] == "healthy"
    check_every_place(world, release, decided)


def test_promoted__harmful_before_every_gateway_obeys__goes_back_on_its_own_evidence(world):
    release = shifted(world, 50)
    decided = until_phase(world, release, "promoting")
    world.errors = {"2": 0.95}
    world.tick(15)
    world.platform.refuses = ""
    world.until(release, "rolled_back")
    harmful = Release.objects.get(pk=release.pk).rollout.assessment

    assert (decided["verdict"], harmful["verdict"]) == ("healthy", "harmful")
    check_every_place(world, release, harmful)


def test_promoted_by_a_person__undecided__says_so_for_ever(world):
    release = shifted(world, 10)
    world.tick(2)
    with world.at():
        release_promote(actor=world.people.mona.actor, release=release, reason="urgent fix")
    decided = counted_on(world, release, "promoting")
    world.until(release, "succeeded")

    assert decided["verdict"] == "inconclusive"
    check_every_place(world, release, decided)


def test_holding__healthy__stays_healthy_while_it_waits_for_a_person(world):
    world.serve(1)
    release = world.request(2, strategy={**CANARY, "hold": True})
    until_phase(world, release, "holding")
    world.tick(10)
    release.rollout.refresh_from_db()

    assert release.rollout.assessment["verdict"] == "healthy"


def test_verdict__requests_that_are_not_independent__are_worth_fewer(world):
    release = shifted(world, 10)
    until_phase(world, release, "baking")
    assessment = release.rollout.assessment
    assessment["guardrails"][0] |= {"candidate_n": 1421, "effective_n": 96.4, "effective_baseline_n": 10.0**6}
    type(release.rollout).objects.filter(pk=release.rollout.pk).update(assessment=assessment)

    html = page("release", release)
    assert "n = 1,421, worth about 96" in html
    assert html.count("worth about") == 1, "what is nearly independent is not said to be worth less"


def test_routes__while_a_release_rolls_out__carry_its_latency_objectives(world):
    def slos_ms():
        return world.platform.tables["production"]["endpoints"]["clinic"].get("slos_ms")

    world.serve(1)
    release = world.request(2, guardrails=SLO_GUARDRAILS)
    for _ in range(20):
        world.tick()
        if world.weights.get("2"):
            break
    assert slos_ms() == [90.5, 250.0]
    world.until(release, "succeeded")

    assert slos_ms() is None
