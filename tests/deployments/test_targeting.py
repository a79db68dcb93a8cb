"""Requests that are chosen for the candidate before any share of the traffic is: harm to them is believed, health is
not, and who they are is not kept.
"""

import hashlib
from datetime import timedelta

import pytest

from deployments.models import Release, RouteTable
from deployments.rollout.strategies import compile_strategy
from deployments.rollout.strategies.targeting import sealed, target_sentence
from mlorch_site.lib.errors import Invalid

TARGET = {"headers": {"x-tenant": ["acme"]}, "units": ["patient-7", "patient-8"], "bake_s": 5, "min_requests": 20}
CHOSEN = {"kind": "canary", "target": TARGET, "steps": [{"weight": 50, "bake_s": 10}]}


def test_sealed__units__salted_digests_stand_in_their_place():
    target = sealed(CHOSEN)["target"]
    digest = hashlib.sha256(f"{target['salt']}:patient-7".encode()).hexdigest()

    assert "units" not in target
    assert digest in target["unit_digests"]
    assert sealed({"target": target}) == {"target": target}, "what is sealed stays as it is"
    assert sealed(CHOSEN)["target"]["salt"] != target["salt"]
    assert target_sentence(sealed(CHOSEN)) == "x-tenant: acme; 2 units (ids are not kept)"


def test_compile__target__comes_first_with_its_own_bake():
    steps = compile_strategy(sealed(CHOSEN))
    linear = compile_strategy(sealed({"kind": "linear", "target": TARGET}))

    assert [step.kind.value for step in steps] == ["start", "target", "bake", "weight", "bake", "judge", "promote"]
    assert steps[1].title == "Chosen requests only: 1 header, 2 units"
    assert [step.kind.value for step in linear][:3] == ["start", "target", "bake"]


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({}, ""),
        ([], ""),
        ({"headers": {}}, ""),
        ({"headers": {"Authorization": ["x"]}}, ".headers"),
        ({"headers": {"authorization": ["x"]}}, ".headers"),
        ({"headers": {"x-mlorch-unit": ["x"]}}, ".headers"),
        ({"headers": {"x-tenant": []}}, ".headers"),
        ({"headers": {"x-tenant": ["a\r\nb"]}}, ".headers"),
        ({"headers": {"x-tenant\n": ["a"]}}, ".headers"),
        ({"headers": {f"x-{number}": ["a"] for number in range(6)}}, ".headers"),
        ({"units": "patient-7"}, ".units"),
        ({"units": ["patient 7 \u00e9"]}, ".units"),
        ({"units": [f"{number}" for number in range(1001)]}, ".units"),
        ({"unit_digests": ["ab"], "salt": "0123456789abcdef"}, ".unit_digests"),
        ({"unit_digests": ["ab" * 32]}, ".salt"),
        ({"units": ["u"], "min_requests": 0}, ".min_requests"),
        ({"units": ["u"], "all": True}, ".all"),
    ],
)
def test_compile__wrong_target__names_the_field_and_keeps_no_unit(target, field):
    strategy = sealed({**CHOSEN, "target": target})

    with pytest.raises(Invalid) as caught:
        compile_strategy(strategy)
    assert list(caught.value.details) == [f"strategy.target{field}"]
    assert "patient" not in str(strategy)


def test_compile__all_at_once__has_no_target():
    with pytest.raises(Invalid):
        compile_strategy({"kind": "blue_green", "target": TARGET})


def test_targeting__healthy__only_the_chosen_reach_it_and_shares_are_judged_from_nothing(world):
    world.serve(1)
    world.chosen = 10
    release = world.request(2, strategy=CHOSEN)
    while "targets" not in (entry := world.platform.tables["production"]["endpoints"]["clinic"]):
        world.tick()
    assert world.weights == {"1": 100, "2": 0}
    assert entry["targets"]["headers"] == {"x-tenant": ["acme"]}
    assert len(entry["targets"]["units"]) == 2
    world.tick(4)
    release.refresh_from_db()
    told = release.rollout.assessment
    assert told["verdict"] == "inconclusive"
    assert "different populations" in told["sentence"]

    while world.weights["2"] == 0:
        world.tick()
    release.refresh_from_db()
    assert (release.rollout.judge, release.rollout.watched_at) == ({}, None)
    world.until(release, "succeeded")
    drawn = release.rollout.__class__.objects.get(release=release).assessment["guardrails"][0]["candidate_n"]
    assert drawn % 30 == 0, "none of the chosen requests is among those that are compared"
    assert "targets" not in world.platform.tables["production"]["endpoints"]["clinic"]
    kept = f"{Release.objects.get(pk=release.pk).plan} {[row.document for row in RouteTable.objects.all()]}"
    assert "patient-7" not in kept


def test_targeting__the_chosen_fail__goes_back_before_any_share_of_the_traffic(world):
    world.serve(1)
    world.chosen, world.errors = 10, {"2": 0.9}
    release = world.until(world.request(2, strategy=CHOSEN), "rolled_back")

    assert "Harmful" in release.status_reason
    assert not release.events.filter(sentence__contains="50 % of the traffic").exists()
    assert world.weights == {"1": 100}


def test_targeting__a_few_of_the_chosen_fail__is_no_proof_beside_another_population(world):
    world.serve(1)
    world.chosen, world.errors = 10, {"2": 0.3}
    release = world.request(2, strategy={**CHOSEN, "target": {**TARGET, "bake_s": 20}})
    world.tick(15)
    release.refresh_from_db()

    assert release.rollout.phase == "baking", release.status_reason
    assert release.rollout.assessment["verdict"] == "inconclusive"


def test_targeting__nobody_of_them_comes__goes_back_at_the_deadline(world):
    world.serve(1)
    release = world.request(2, strategy=CHOSEN)
    world.tick(5)
    world.now += timedelta(seconds=65)
    world.until(release, "rolled_back", most_s=10)

    assert "Inconclusive at the deadline: 0 of 20 requests" in release.status_reason
