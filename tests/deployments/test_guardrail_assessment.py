"""Counted and looked-at guardrails are one assessment: any harm is harm, no data is never a pass, α is shared."""

import pytest

from deployments.rollout.guardrails import guardrail_kinds
from deployments.rollout.guardrails.guardrail_kind import GuardrailLook, LookedAtKind, type_Row
from deployments.rollout.strategies.fields import number, only_keys
from monitoring.analysis.guardrail_result import GuardrailResult, Unit
from monitoring.analysis.verdicts import Verdict
from tests.deployments.world import World

ERRORS = {"metric": "error_rate", "margin": 0.05}
DEPTH = {"metric": "depth", "margin": 3.0}


class Depth(LookedAtKind):
    """A kind that says what it is told to."""

    metric = "depth"
    verdict = Verdict.HEALTHY

    def __init__(self) -> None:
        self.alphas: set[float] = set()

    def read(self, row: type_Row, where: str) -> type_Row:
        only_keys(row, {"metric", "margin"}, where)
        return {"metric": "depth", "margin": number(row, "margin", where, above=0, below=10)}

    def sentence(self, guardrail: type_Row) -> str:
        return f"depth at most {guardrail['margin']:g} m"

    def label(self, guardrail: type_Row) -> str:
        return "Depth"

    def looked_at(self, guardrail: type_Row, look: GuardrailLook) -> GuardrailResult:
        self.alphas.add(look.alpha)
        sentence = f"Depth is {self.verdict}."
        return GuardrailResult("depth", "Depth", 3.0, unit=Unit.NUMBER, verdict=self.verdict, sentence=sentence)


@pytest.fixture
def depth(monkeypatch: pytest.MonkeyPatch) -> Depth:
    kind = Depth()
    monkeypatch.setattr(guardrail_kinds, "KINDS", (*guardrail_kinds.KINDS, kind))
    return kind


@pytest.mark.parametrize("verdict", [Verdict.NO_DATA, Verdict.INCONCLUSIVE])
def test_looked_at__not_healthy__is_not_promoted_and_goes_back_at_the_deadline(world: World, depth: Depth, verdict):
    depth.verdict = verdict
    world.serve(1)
    release = world.request(2, guardrails=[ERRORS, DEPTH])
    world.until(release, "rolled_back", most_s=800)
    assert release.rollout.assessment["verdict"] == verdict
    assert depth.alphas == {0.025}


@pytest.mark.parametrize("guardrails", [[DEPTH], [ERRORS, DEPTH]])
def test_looked_at__healthy__is_promoted(world: World, depth: Depth, guardrails):
    world.serve(1)
    release = world.until(world.request(2, guardrails=guardrails), "succeeded", most_s=400)
    assert [row["metric"] for row in release.rollout.assessment["guardrails"]][-1] == "depth"


def test_looked_at__harmful__is_taken_back_at_once(world: World, depth: Depth):
    world.serve(1)
    depth.verdict = Verdict.HARMFUL
    release = world.until(world.request(2, guardrails=[ERRORS, DEPTH]), "rolled_back", most_s=60)
    assert release.rollout.assessment["sentence"].startswith("Depth is harmful.")


def test_kind__unknown_in_a_kept_row__is_not_left_unjudged():
    with pytest.raises(ValueError, match="phlogiston"):
        guardrail_kinds.counted([{"metric": "phlogiston", "margin": 0.1}])
