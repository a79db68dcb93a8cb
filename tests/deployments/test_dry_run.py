"""What a policy would have done to releases of before, by what was frozen with them."""

from datetime import timedelta

import pytest

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from registry.dry_run import dry_run
from registry.models import Fact, GateResult, Policy
from registry.policy_lines import PolicyLine
from registry.selectors import current_policy
from registry.services import draft_create, policy_revise
from registry.services.environments import policy_values
from tests.deployments.world import World
from tests.support.live import signed_in

ENGINE = Actor.controller("test")


@pytest.fixture
def world(people) -> World:
    """Production, where a first release and a canary came to an end."""
    world = World(people)
    world.serve(1)
    release = world.request(2)
    world.until(release, "succeeded")
    return world


def tried(world: World, **changes):
    line = PolicyLine(world.environment)
    return dry_run(line, {**policy_values(current_policy(world.environment)), **changes})


LIMITS = [
    ({"allowed_strategies": ["shadow"]}, "Its strategy was canary."),
    ({"max_first_weight_pct": 5}, "Its first step got 10 % of the traffic."),
    ({"bake_s_min": 60}, "A step of it lasted 10 s only."),
    ({"requests_min": 10}, "A step of it asked for 0 requests only."),
    ({"hold_required": True}, "Its plan promoted by itself."),
    ({"margins_max": {"error_rate": 0.05}}, "Its guardrail on error rate had a margin of 10 points."),
    ({"margins_max": {"latency_over_slo": 0.05}}, "It had no guardrail on latency over slo."),
]


def test_dry_run__limits_of_plans__block_the_one_that_was_compared(world):
    found = tried(world)
    assert (found.ruled, found.blocked, found.delayed, found.untold) == (2, [], [], [])
    assert found.sentence == "It would have blocked 0 of 2."
    for changes, reason in LIMITS:
        [judged] = tried(world, **changes).blocked
        assert judged.reasons == [reason]
        assert judged.request.title == "tumours version 2 to production/clinic"


def test_dry_run__gates_approvals_windows__by_what_was_kept_or_untold(world):
    assert len(tried(world, approval_rules=[{"role": "reviewer", "count": 1}]).delayed) == 2
    starts = f"{world.now - timedelta(days=1):%Y-%m-%dT%H:%M}"
    window = {"kind": "freeze", "name": "Week", "zone": "UTC", "starts": starts, "minutes": 10_000}
    found = tried(world, windows=[window])
    assert found.delayed[0].reasons == ["It began while it would have been closed. Frozen: Week."]
    found = tried(world, gates=["digest_known"])
    assert found.sentence == "It would have blocked 0 of 2; 2 cannot be told."
    assert found.untold[0].reasons == ["The gate “Artifacts are in the store” was not run then."]
    assert tried(world, gate_parameters={"version_ready": {"x": 1}}).untold[0].reasons == [
        "The gate “Ready in MLflow” ran by other parameters then."
    ]
    GateResult.objects.filter(gate="version_ready").update(outcome="fail")
    assert len(tried(world).blocked) == 2
    assert len(tried(world, gates=[]).blocked) == 0


def test_dry_run__line_for_a_tier__goes_by_the_tier_of_then(world):
    line, values = PolicyLine(world.environment, tier="high"), policy_values(current_policy(world.environment))
    assert [judged.reasons for judged in dry_run(line, values).untold] == [
        ["Which tier its model had then is not recorded."]
    ] * 2
    Fact.objects.create(model=world.model, kind="risk_tier", value="high", at=world.now - timedelta(days=10))
    assert dry_run(line, values).ruled == 2
    Fact.objects.create(model=world.model, kind="risk_tier", value="low", at=clock.now())
    assert dry_run(line, values).ruled == 2
    assert dry_run(PolicyLine(world.environment, tier="low"), values).ruled == 0
    policy_revise(actor=ENGINE, environment=world.environment, model=world.model)
    assert tried(world).sentence.startswith("No release of before would have come under it")
    starts = f"{world.now - timedelta(days=1):%Y-%m-%dT%H:%M}"
    window = {"kind": "freeze", "name": "Week", "zone": "UTC", "starts": starts, "minutes": 10_000}
    reach = tried(world, windows=[window])
    assert reach.sentence.endswith("Its freezes would have delayed 2 under other lines.")
    policy_revise(actor=ENGINE, environment=world.environment, windows=[window])
    own = policy_values(Policy.objects.in_force().get(model=world.model))
    found = dry_run(PolicyLine(world.environment, world.model), own)
    assert found.delayed[0].reasons == [
        "It began while it would have been closed. Frozen: Week (revision 3 of production)."
    ]


def test_pages__say_what_it_would_have_done_and_what_rules__frozen_where_it_was_requested(world):
    draft = draft_create(
        actor=world.people.ada.actor,
        line=PolicyLine(world.environment),
        values={"allowed_strategies": ["shadow"]},
        note="only shadows",
    )
    page = signed_in("ada").get(f"/policies/drafts/{draft.pk}/").content.decode()
    assert "It would have blocked 1 of 2." in page
    assert "Its strategy was canary." in page
    release = world.request(3)
    policy_revise(actor=ENGINE, environment=world.environment, tier="high", approval_days=2)
    type(world.model).objects.filter(pk=world.model.pk).update(risk_tier="high")
    release.refresh_from_db()
    assert release.policy.revision == 1
    emma = signed_in("emma")
    page = emma.get(f"/releases/{release.pk}/").content.decode()
    assert "Revision 1 of production rules it, as it was requested" in page
    endpoint = emma.get("/endpoints/production/clinic/").content.decode()
    assert "Revision 2 of production for tier high rules it: the model is of tier high." in endpoint
