"""A declaration that nothing can test beforehand is on trial until real requests showed what it is worth."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.models import ModelSignature

from dataplane.wire.frames import RequestHeader
from dataplane.worker import replays, trial
from dataplane.worker.batch_scorer import TESTED, UNTESTED
from dataplane.worker.scorer import Scorer
from dataplane.worker.trial import KEPT_MAX, REQUESTS
from tests.dataplane.worker.test_joining import INVOCATIONS, Centring, X, ask

OIP = RequestHeader("infer", model_name="unknown")


class Tripling(mlflow.pyfunc.PythonModel):
    """Answers each row for itself; `sizes` has how many rows it was asked for at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        self.sizes.append(len(model_input))
        return model_input["x"].to_numpy() * 3


class Choosy(mlflow.pyfunc.PythonModel):
    """Takes large values only, and answers how far each is from the mean."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        if (model_input["x"].fillna(0.0) < 1e9).any():
            raise ValueError("too small")
        return (model_input["x"] - model_input["x"].mean()).to_numpy()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "EVERY_S", 0.0)
    monkeypatch.setattr(replays, "SHARE_MAX", 1e9)


def unknown(folder: Path, model: Any, *, independent: bool = True, kept: Any = None, **options: Any) -> Scorer:
    """A version of which nothing is known: no signature, no example."""
    path = folder / "model"
    if not path.exists():
        mlflow.pyfunc.save_model(path, python_model=model, pip_requirements=["mlflow"], **options)
    scorer = Scorer(path, "7", rows_independent=independent)
    scorer.warm_up(kept)
    return scorer


def sizes_of(scorer: Scorer) -> list[int]:
    sizes: list[int] = scorer.model.unwrap_python_model().sizes
    return sizes


def serve(scorer: Scorer, count: int, first: float = 0.0) -> list[Any]:
    """Different requests in one batch; the answers' values."""
    answers = scorer.score(INVOCATIONS, [ask(first + number) for number in range(count)])
    return [json.loads(answer.body)["predictions"] for answer in answers]


def end_of(scorer: Scorer) -> None:
    """Let the worker be idle until the trial has ended or asks nothing more."""
    for _ in range(10 * REQUESTS):
        scorer.replay()


def test_trial__nothing_known_of_the_model__answers_apart_and_says_why(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling())

    assert serve(scorer, REQUESTS - 1) == [[3.0 * number] for number in range(REQUESTS - 1)]
    end_of(scorer)
    assert set(sizes_of(scorer)) == {1}
    assert not scorer.profile.joins
    assert scorer.profile.reason == f"one request at a time: {UNTESTED}"


def test_trial__enough_requests_are_answered_the_same_together__joins_from_then_on(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling())
    serve(scorer, REQUESTS)
    assert not scorer.profile.joins
    end_of(scorer)
    assert scorer.profile.joins
    assert scorer.profile.reason == f"joins requests: {TESTED}"
    sizes_of(scorer).clear()

    assert serve(scorer, 5, 100.0) == [[3.0 * number] for number in range(100, 105)]
    assert sizes_of(scorer) == [5]


@pytest.mark.parametrize(("model", "first"), [(Centring(), 0.0), (Choosy(), 1e10)], ids=["unknown", "refuses examples"])
def test_trial__rows_depend_on_each_other__never_joins_and_no_client_is_answered_with_it(
    tmp_path: Path, model: Any, first: float
) -> None:
    signature = {"signature": ModelSignature(inputs=X)} if first else {}
    scorer = unknown(tmp_path, model, **signature)
    assert scorer.profile.reason == f"one request at a time: {UNTESTED}"
    for turn in range(3):
        assert serve(scorer, REQUESTS, first + turn * 1000) == [[0.0]] * REQUESTS
        end_of(scorer)

    assert not scorer.profile.joins
    assert scorer.profile.objection == "one request was answered otherwise beside 1 others than alone"
    assert scorer.max_batch == 1


def test_trial__the_same_request_again_and_again__shows_nothing(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Centring())
    for _ in range(3):
        scorer.score(INVOCATIONS, [ask(1.0)] * REQUESTS)
    end_of(scorer)

    assert scorer.profile.reason == f"one request at a time: {UNTESTED}"


def test_trial__requests_of_many_forms__are_kept_within_bounds(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling())
    for number in range(2 * KEPT_MAX):
        body = {"dataframe_split": {"columns": ["x", f"c{number}"], "data": [[1.0, number]]}}
        scorer.score(INVOCATIONS, [json.dumps(body).encode()])
    end_of(scorer)

    assert not scorer.profile.joins
    assert scorer._batches._trial._kept == KEPT_MAX


def test_trial__requests_that_are_no_tables__end_the_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LOOKED_AT_MAX", 3)
    scorer = unknown(tmp_path, Tripling())
    for _ in range(5):
        scorer.score(INVOCATIONS, [b"{}"])
    serve(scorer, REQUESTS)
    end_of(scorer)

    assert not scorer.profile.joins


def test_trial__was_passed_at_an_earlier_start__joins_at_once(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling())
    serve(scorer, REQUESTS)
    end_of(scorer)
    again = unknown(tmp_path, None, kept=scorer.profile)

    assert (again.profile.joins, again.profile.reason) == (True, f"joins requests: {TESTED}")


def test_trial__was_not_over_at_an_earlier_start__begins_again(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling())
    serve(scorer, REQUESTS - 1)
    end_of(scorer)
    again = unknown(tmp_path, None, kept=scorer.profile)
    serve(again, 3)
    end_of(again)

    assert (again.profile.joins, again.profile.reason) == (False, f"one request at a time: {UNTESTED}")


def test_trial__nothing_declared__there_is_none(tmp_path: Path) -> None:
    scorer = unknown(tmp_path, Tripling(), independent=False)
    serve(scorer, REQUESTS)
    end_of(scorer)

    assert not scorer.profile.joins
    assert scorer.profile.reason == "one request at a time: Tripling is code of its author"
