"""What is told before a release is requested, and what pages read."""

from deployments import selectors
from deployments.services import ReleaseCommand, release_preview
from tests.deployments.world import CANARY, GUARDRAILS, World


def preview(world, version=2, **changes):
    values = {"strategy": CANARY, "guardrails": GUARDRAILS, **changes}
    command = ReleaseCommand(model="tumours", version=version, environment="production", endpoint="clinic", **values)
    with world.at():
        return release_preview(actor=world.people.emma.actor, command=command)


def test_preview__canary__steps_schedule_forecast_and_target(world):
    world.serve(1)
    told = preview(world)

    assert told.problems == {}
    assert [step.kind for step in told.steps][:3] == ["start", "weight", "bake"]
    assert told.shortest_s == 20
    assert told.forecast
    assert told.rollback_target == "A rollback returns to version 1."


def test_preview__first_release__says_so(world):
    told = preview(world, version=1)

    assert [step.kind for step in told.steps] == ["start", "promote"]
    assert "nothing to roll back to" in told.rollback_target


def test_preview__rules_and_problems__named(people):
    world = World(people, rules=[{"role": "reviewer", "count": 2}], guardrails_required=True)
    told = preview(world, version=7, guardrails=[])

    assert told.approvers == ["2 Reviewers"]
    assert [[person.name for person in rule.people] for rule in told.rules] == [["rita"]]
    assert "2 Reviewers: 1 could approve, so it could not be approved." in told.warnings
    assert {"version", "guardrails"} <= set(told.problems)


def test_preview__unknown_everything__still_answers(world):
    told = preview(world, strategy={"kind": "x"}, version=99)

    assert {"version", "strategy.kind"} <= set(told.problems)


def test_overview__counts_and_what_moves(world):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    with world.at():
        shown = selectors.overview(world.people.vik.actor)
        history = selectors.served_history(world.endpoint)
        rows = selectors.replicas_of(world.endpoint)

    assert [row.pk for row in shown.active.rows] == [release.pk]
    assert shown.counts["succeeded"] == 1
    assert [row.version.number for row in history] == [1]
    assert {row.purpose for row in rows} == {"stable", "candidate"}


def test_visibility__binding_to_another_environment__sees_nothing(world):
    world.serve(1)

    assert not selectors.endpoints_visible_to(world.people.max.actor).exists()
    assert not selectors.releases_visible_to(world.people.noa.actor).exists()


def test_preview__shadow__says_what_copies_can_show(world):
    world.serve(1)
    world.tick(40)
    told = preview(world, strategy={"kind": "shadow", "mirror": 100, "bake_s": 60, "min_agreement": 90})

    assert not told.problems
    assert [step.title for step in told.steps][1] == "Mirror 100 % of traffic, 90 % must agree"
    assert told.forecast[0].startswith("100 % for 60 s sees about 3,")
    assert "nothing beside them" not in told.forecast[0]


def test_preview__shadow_with_steps__forecasts_the_real_traffic(world):
    world.serve(1)
    world.tick(40)
    strategy = {"kind": "shadow", "bake_s": 60, "steps": [{"weight": 10, "bake_s": 30}]}

    assert [told[:4] for told in preview(world, strategy=strategy).forecast][:1] == ["10 %"]
