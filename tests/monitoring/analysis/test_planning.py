"""What a plan can conclude, before it is requested."""

import pytest

from monitoring.analysis import planning
from monitoring.analysis.judge import ArmCounts, Block, Guardrail, assess, fold, initial_state
from monitoring.analysis.verdicts import Verdict

ERRORS = Guardrail("error_rate", 0.01)


@pytest.mark.parametrize(("power", "needed"), [(0.9, 76.7)])
def test_sample_size__r_reference__is_reproduced(power: float, needed: float) -> None:
    assert planning.candidate_requests_to_detect(0.5, 0.25, power=power) == pytest.approx(needed, abs=0.05)


def test_sample_size__fifty_per_arm__has_the_power_r_gives() -> None:
    needed = {power: planning.candidate_requests_to_detect(0.5, 0.25, power=power) for power in (0.739, 0.741)}

    assert needed[0.739] < 50 < needed[0.741]


@pytest.mark.parametrize(
    ("base", "excess", "ratio"), [(0, 0, 1), (1, 0.1, 1), (0.5, 0.6, 1), (0.1, 0.1, 0), (float("nan"), 0.1, 1)]
)
def test_sample_size__impossible_shares__are_refused(base: float, excess: float, ratio: float) -> None:
    with pytest.raises(ValueError):
        planning.candidate_requests_to_detect(base, excess, ratio)


def test_promote__error_free_candidate__is_where_the_judge_turns_healthy() -> None:
    needed = planning.candidate_requests_to_promote(0.01, 0, ratio=9)

    def verdict(requests: int) -> Verdict:
        state = fold(initial_state([ERRORS]), Block(ArmCounts(requests), ArmCounts(9 * requests)))
        return assess(state, bake_done=True).verdict

    assert verdict(needed) is Verdict.HEALTHY
    assert verdict(needed * 98 // 100) is Verdict.INCONCLUSIVE


def test_promote__more_errors_smaller_margin_more_guardrails__needs_more() -> None:
    plain = planning.candidate_requests_to_promote(0.02, 0, 9)

    assert plain < planning.candidate_requests_to_promote(0.02, 0.01, 9)
    assert plain < planning.candidate_requests_to_promote(0.01, 0, 9)
    assert plain < planning.candidate_requests_to_promote(0.02, 0, 9, guardrails=3)


def test_forecast__enough_traffic__says_when_it_can_be_promoted() -> None:
    result = planning.forecast([(10, 20), (50, 20)], [ERRORS], request_rate_per_s=30, base=0, deadline_s=600)

    assert result.can_conclude
    assert result.promotion_s == pytest.approx((result.needed_to_promote - 60) / 15)
    assert result.sentence.endswith("s at 50 %.")


def test_forecast__last_step_takes_all_traffic__baseline_of_the_first_steps_counts() -> None:
    result = planning.forecast([(10, 300), (100, 60)], [ERRORS], request_rate_per_s=30, base=0, deadline_s=600)

    assert result.can_conclude
    assert result.needed_to_promote < 2000


def test_forecast__all_traffic_at_once__needs_an_earlier_baseline() -> None:
    alone = planning.forecast([(100, 60)], [ERRORS], 30, 0.0, 600)
    known = planning.forecast([(100, 60)], [ERRORS], 30, 0.0, 600, earlier_baseline=10_000)

    assert (alone.can_conclude, known.can_conclude) == (False, True)
    assert "nothing is there to compare it with" in alone.sentence
    assert alone.steps[0].sentence.endswith("nothing beside them to compare with.")


def test_forecast__mirrored__the_stable_arm_keeps_all_requests() -> None:
    split, mirrored = (
        planning.forecast([(50, 60.0)], [ERRORS], 50, 0.01, 900, is_mirrored=copies) for copies in (False, True)
    )

    assert mirrored.steps[0].needed_requests < split.steps[0].needed_requests
    assert planning.forecast([(100, 60.0)], [ERRORS], 50, 0.01, 900, is_mirrored=True).can_conclude


def test_forecast__too_small_a_baseline__says_so() -> None:
    result = planning.forecast([(100, 60)], [ERRORS], 30, 0.05, 600, earlier_baseline=200)

    assert result.promotion_s is None
    assert result.sentence.startswith("The stable version's 200 requests are too few to compare with")


def test_forecast__no_traffic_or_no_guardrail__says_so() -> None:
    assert not planning.forecast([(10, 60)], [ERRORS], 0, 0.01, 600).can_conclude
    assert planning.forecast([(10, 60)], [], 0, 0.01, 600).sentence.startswith("The plan has no guardrail")


def test_forecast__dependent_requests__says_what_they_are_worth_and_what_to_take() -> None:
    alone = planning.forecast([(10, 300)], [ERRORS], 2, 0.01, 900)
    result = planning.forecast([(10, 300)], [ERRORS], 2, 0.01, 900, design_effect=3.0)

    assert result.steps[0].sentence == (
        "10 % for 5 min sees about 60 requests worth 20; detecting +1 pp needs 3,399: "
        "take 50 % for 1.9 h, or 4.7 h at this weight."
    )
    assert result.needed_to_promote == pytest.approx(3 * alone.needed_to_promote, rel=0.03)


@pytest.mark.parametrize("design_effect", [0.5, float("nan"), float("inf")])
def test_forecast__senseless_design_effect__is_refused(design_effect: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        planning.forecast([(10, 60)], [ERRORS], 10, 0.01, 600, design_effect=design_effect)


@pytest.mark.parametrize(
    ("steps", "rate", "base"),
    [
        ([(0, 60)], 1, 0.1),
        ([(101, 60)], 1, 0.1),
        ([(10, -1)], 1, 0.1),
        ([(10, 60)], float("nan"), 0.1),
        ([(10, 60)], 1, -0.1),
    ],
)
def test_forecast__senseless_input__is_refused(steps: list[tuple[int, float]], rate: float, base: float) -> None:
    with pytest.raises(ValueError):
        planning.forecast(steps, [ERRORS], rate, base, 600)


@pytest.mark.parametrize("base", [0.0, 0.5, 0.995, 1.0])
def test_forecast__any_base__gives_a_step_sentence(base: float) -> None:
    assert (
        "10 % for 60 s sees about 60 requests"
        in planning.forecast([(10, 60)], [ERRORS], 10, base, 60).steps[0].sentence
    )


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (300, "5 min"), (9000, "2.5 h")])
def test_duration__spans__read_as_people_say_them(seconds: float, text: str) -> None:
    assert planning.duration(seconds) == text
