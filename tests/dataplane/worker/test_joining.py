"""Requests of different clients in one prediction: only where it is known, never against the examples, and looked at
for as long as the worker serves.
"""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from dataplane.wire import shapes
from dataplane.wire.frames import AnswerHeader, FrameBuffer, RequestHeader, encode_frame
from dataplane.wire.worker_profile import WorkerProfile
from dataplane.worker import equivalence, replays
from dataplane.worker.answers import json_answer
from dataplane.worker.replays import DIFFERENCE, Replays
from dataplane.worker.scorer import Scorer
from dataplane.worker.server import WorkerServer
from tests.dataplane.worker.test_native import Doubling, load
from tests.support.folders import short_folder
from tests.support.waiting import until

INVOCATIONS = RequestHeader("invocations", content_type="application/json")
GATEWAYS = 8
ROUNDS = 12


class Filling(mlflow.pyfunc.PythonModel):
    """Fills what is missing with the mean of the others."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input["x"].fillna(model_input["x"].mean()).fillna(-1.0).to_numpy()


class Carrying(mlflow.pyfunc.PythonModel):
    """Fills what is missing with the value of the row before."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input["x"].ffill().fillna(-1.0).to_numpy()


class Dummies(mlflow.pyfunc.PythonModel):
    """Has as many columns as there are categories in the request."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return pd.get_dummies(model_input["s"]).astype(float).sum(axis=0).iloc[0] + np.zeros(len(model_input))


class Stepping(mlflow.pyfunc.PythonModel):
    """Answers how far each row is from the one before, in the order of time."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input.sort_values("at")["x"].diff().reindex(model_input.index).to_numpy()


class Centring(mlflow.pyfunc.PythonModel):
    """Answers how far each row is from the mean."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return (model_input["x"] - model_input["x"].mean()).to_numpy()


class Pairs(mlflow.pyfunc.PythonModel):
    """Answers two numbers about all rows: of two rows it looks like one for each."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return np.array([model_input["x"].min(), model_input["x"].max()])


class Vectors(mlflow.pyfunc.PythonModel):
    """Takes a column of arrays and answers their distance from the mean one."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        stacked = np.stack(model_input["v"].to_list())
        return np.abs(stacked - stacked.mean(axis=0)).sum(axis=1)


class Sorting(mlflow.pyfunc.PythonModel):
    """Answers in the order of the answers."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return np.sort(model_input["x"].fillna(0.0).to_numpy())


class Numbering(mlflow.pyfunc.PythonModel):
    """Answers with the number of the row in its table."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input["x"].fillna(0.0).to_numpy() + model_input.index.to_numpy()


class Unique(mlflow.pyfunc.PythonModel):
    """Answers equal rows once."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return model_input["x"].fillna(0.0).drop_duplicates().to_numpy()


X = Schema([ColSpec(DataType.double, "x")])
HOSTILE: dict[str, tuple[Any, Schema, pd.DataFrame]] = {
    "filling": (Filling(), X, pd.DataFrame({"x": [1.0, 2.5, 7.0]})),
    "filling, one example row": (Filling(), X, pd.DataFrame({"x": [1.0]})),
    "carrying": (Carrying(), X, pd.DataFrame({"x": [1.0, 2.5, 7.0]})),
    "carrying, optional": (Carrying(), Schema([ColSpec(DataType.double, "x", False)]), pd.DataFrame({"x": [1.0]})),
    "dummies": (Dummies(), Schema([ColSpec(DataType.string, "s")]), pd.DataFrame({"s": ["a"]})),
    "stepping": (
        Stepping(),
        Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.datetime, "at")]),
        pd.DataFrame({"x": [1.0], "at": pd.to_datetime(["2026-01-31"])}),
    ),
    "centring": (Centring(), X, pd.DataFrame({"x": [1.0]})),
    "sorting": (Sorting(), X, pd.DataFrame({"x": [1.0, 2.0]})),
    "numbering": (Numbering(), X, pd.DataFrame({"x": [1.0, 2.0]})),
    "unique": (Unique(), X, pd.DataFrame({"x": [1.0, 2.0]})),
    "pairs": (Pairs(), X, pd.DataFrame({"x": [1.0, 2.0]})),
    "vectors": (Vectors(), None, pd.DataFrame({"v": [[1.0, 2.0]]})),
}


def hostile(folder: Path, name: str, *, independent: bool) -> Scorer:
    model, schema, frame = HOSTILE[name]
    signature = None if schema is None else ModelSignature(inputs=schema)
    options = {"signature": signature, "input_example": frame, "pip_requirements": ["mlflow"]}
    mlflow.pyfunc.save_model(folder / "model", python_model=model, **options)
    scorer = Scorer(folder / "model", "7", rows_independent=independent)
    scorer.warm_up()
    return scorer


def ask(*values: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["x"], "data": [[value] for value in values]}}).encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_decide__code_of_its_author__one_request_at_a_time(name: str, tmp_path: Path) -> None:
    profile = hostile(tmp_path, name, independent=False).profile

    assert not profile.joins
    assert profile.reason == f"one request at a time: {type(HOSTILE[name][0]).__name__} is code of its author"


@pytest.mark.parametrize("name", HOSTILE)
def test_decide__declared_but_rows_depend_on_each_other__examples_forbid_it(name: str, tmp_path: Path) -> None:
    scorer = hostile(tmp_path, name, independent=True)

    assert (scorer.max_batch, scorer.profile.joins) == (1, False)
    assert "example row" in scorer.profile.objection
    assert scorer.profile.reason == f"one request at a time: {scorer.profile.objection}"


def test_decide__declared_and_true__joins_and_says_so(tmp_path: Path) -> None:
    scorer = load(tmp_path, Doubling(), independent=True)

    assert scorer.max_batch > 1
    assert scorer.profile.reason == "joins requests: the serving config declares that its rows are independent"


def test_decide__handed_a_decision_that_was_never_come_to__examples_are_asked_all_the_same(tmp_path: Path) -> None:
    hostile(tmp_path, "centring", independent=True)
    scorer = Scorer(tmp_path / "model", "7", rows_independent=True)
    scorer.warm_up(WorkerProfile(reason="one request at a time: nothing could be decided"))

    assert "example row" in scorer.profile.objection


def test_decide__handed_an_alarm__does_not_join_again(cancer_model: Path) -> None:
    first, later = Scorer(cancer_model, "7"), Scorer(cancer_model, "7")
    first.warm_up()
    later.warm_up(msgspec.structs.replace(first.profile, joins=False, alarm=DIFFERENCE))

    assert first.profile.joins
    assert (later.profile.joins, later.profile.objection, later.profile.alarm) == (False, DIFFERENCE, "")
    assert (later.profile.native, later.profile.forms) == (first.profile.native, first.profile.forms)


def test_decide__known_parts__joins_without_being_told(cancer_model: Path) -> None:
    scorer = Scorer(cancer_model, "7")
    scorer.warm_up()

    assert scorer.profile.reason == (
        "joins requests: every part of the model is row-wise (Pipeline → StandardScaler → LogisticRegression)"
    )


def gathered(value: float) -> list[bytes]:
    """What a gateway gathers of several clients: some lack a value, right after one that does not."""
    return [ask(None, value), ask(None), ask(value), ask(3 * value), ask(value, None)]


class Gateway(threading.Thread):
    """Asks the worker for several clients in one frame, again and again; keeps what does not follow from each request
    alone.
    """

    def __init__(self, path: Path, value: float, wanted: Any) -> None:
        super().__init__()
        self._path = path
        self._value = value
        self._wanted = wanted
        self.wrong: list[Any] = []

    def run(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(self._path))
            buffer = FrameBuffer(AnswerHeader)
            bodies = gathered(self._value)
            header = RequestHeader("invocations", 1, content_type="application/json", sizes=[len(b) for b in bodies])
            for _ in range(ROUNDS):
                peer.sendall(encode_frame(header, b"".join(bodies)))
                frames: list[Any] = []
                while not frames:
                    frames = buffer.feed(peer.recv(1 << 16))
                _, body = frames[0]
                if body != b"".join(self._wanted):
                    self.wrong.append(body)


@pytest.mark.parametrize("name", ["filling", "carrying", "centring"])
@pytest.mark.parametrize("independent", [False, True])
def test_serve__many_clients_at_once__no_value_of_one_in_the_answer_of_another(
    name: str, independent: bool, tmp_path: Path
) -> None:
    scorer = hostile(tmp_path, name, independent=independent)
    with short_folder() as folder:
        server = WorkerServer(scorer, folder / "w.sock")
        server.listen_in_background()
        gateways = []
        for number in range(GATEWAYS):
            value = 10.0 ** (number + 1)
            wanted = [scorer.score_one(INVOCATIONS, body).body for body in gathered(value)]
            gateways.append(Gateway(folder / "w.sock", value, wanted))
        for gateway in gateways:
            gateway.start()
        for gateway in gateways:
            gateway.join()

    assert [gateway.wrong for gateway in gateways] == [[]] * GATEWAYS


def test_replay__joined_answer_differs_from_the_one_alone__joining_ends_at_once_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(mlflow.pyfunc.PythonModel):
        """Answers each row for itself, until it is asked for many."""

        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            self.leaks = getattr(self, "leaks", False) or len(model_input) > 60
            return model_input["x"].to_numpy() + (model_input["x"].sum() if self.leaks else 0.0)

    monkeypatch.setattr(replays, "EVERY_S", 0.0)
    scorer = load(tmp_path, Late(), independent=True)
    before = scorer.max_batch
    scorer.score(INVOCATIONS, [ask(*range(100))])
    answers = scorer.score(INVOCATIONS, [ask(1.0), ask(2.0)])
    scorer.replay()

    assert before > 1
    assert [json.loads(answer.body)["predictions"] for answer in answers] == [[4.0], [5.0]]
    assert (scorer.max_batch, scorer.profile.joins, scorer.profile.alarm) == (1, False, DIFFERENCE)
    answers = scorer.score(INVOCATIONS, [ask(1.0), ask(2.0)])
    assert [json.loads(answer.body)["predictions"] for answer in answers] == [[2.0], [4.0]]


def test_replay__joined_answers_are_right__joining_goes_on(cancer_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "EVERY_S", 0.0)
    scorer = Scorer(cancer_model, "7")
    scorer.warm_up()
    example = (cancer_model / "serving_input_example.json").read_bytes()
    scorer.score(INVOCATIONS, [example, example])
    scorer.replay()

    assert (scorer.profile.joins, scorer.profile.alarm) == (True, "")


def test_replays__samples_and_time__are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [100.0], []
    monkeypatch.setattr(replays.time, "monotonic", lambda: now[0])

    def alone(header: RequestHeader, body: bytes) -> Any:
        asked.append(body)
        now[0] += 0.5
        return json_answer(200, {"predictions": [1]})

    looked_at = Replays(alone)
    for number in range(100):
        looked_at.offer(INVOCATIONS, [b"%d" % number], [json_answer(200, {"predictions": [1]})])
    looked_at.check()
    now[0] += 0.5 / replays.SHARE_MAX - 1
    looked_at.check()
    assert len(asked) == 1
    for _ in range(100):
        now[0] += 0.5 / replays.SHARE_MAX
        looked_at.check()

    assert asked == [b"%d" % number for number in range(replays.SAMPLES_MAX)]


def test_replays__request_is_huge__is_no_sample() -> None:
    looked_at = Replays(lambda header, body: json_answer(500, {}))
    looked_at.offer(INVOCATIONS, [b"x" * replays.SAMPLE_MAX_BYTES], [json_answer(200, {})])

    assert looked_at.check() == ""


def test_replays__only_a_later_request_is_wrong__is_found() -> None:
    right, wrong = json_answer(200, {"predictions": [1]}), json_answer(200, {"predictions": [2]})
    looked_at = Replays(lambda header, body: right)
    for _ in range(replays.SAMPLES_MAX):
        looked_at.offer(INVOCATIONS, [b"first", b"second"], [right, wrong])

    assert DIFFERENCE in {looked_at.check_now() for _ in range(replays.SAMPLES_MAX)}


@pytest.mark.parametrize(
    ("one", "other", "scale", "wanted"),
    [
        ([1.5], [1.5 + 1e-12], 0.0, True),
        ([1.5], [1.5 + 1e-7], 0.0, False),
        ([1e-9], [2e-9], 0.0, False),
        ([1.1e-9], [2.1e-9], 1e3, True),
        ([0.1e-3], [0.2e-3], 1e3, False),
        ([float(np.float32(0.1))], [float(np.nextafter(np.float32(0.1), np.float32(1)))], 0.0, True),
        ([5], [5.0], 0.0, True),
        ([float("nan")], [float("nan")], 0.0, True),
        (["a"], ["b"], 1e9, False),
        ([1.5], [1.5, 1.5], 0.0, False),
        ({"a": 1.5}, {"b": 1.5}, 0.0, False),
    ],
)
def test_is_close__last_digits_may_differ__and_nothing_else(one: Any, other: Any, scale: float, wanted: bool) -> None:
    answers = [json_answer(200, {"predictions": value}) for value in (one, other)]

    assert equivalence.is_close(*answers, scale) is wanted
    assert not equivalence.is_close(answers[0], answers[0]._replace(status=400))


def test_scale__of_the_largest_number_wherever_it_is() -> None:
    told = json_answer(200, {"predictions": [{"a": [-7.5, float("inf")], "b": "9"}, 3], "c": None})

    assert equivalence.scale_of(told) == 7.5


def test_server__idle__replays_and_says_in_a_ping_what_it_found() -> None:
    class Finds:
        max_batch = 1
        profile = WorkerProfile(reason="joins requests: it says so", joins=True)

        def score(self, header: RequestHeader, bodies: list[bytes]) -> Any:
            return []

        def stream(self, header: RequestHeader, body: bytes) -> Any:
            return json_answer(200, {})

        def replay(self) -> None:
            self.profile = WorkerProfile(reason="one request at a time: found", alarm="found")

    with short_folder() as folder:
        WorkerServer(Finds(), folder / "w.sock").listen_in_background()
        until(lambda: pinged(folder / "w.sock").alarm, "the ping tells what was found")
        told = pinged(folder / "w.sock")

    assert (told.alarm, told.joins) == ("found", False)


def pinged(path: Path) -> WorkerProfile:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(path))
        peer.sendall(encode_frame(RequestHeader("ping", 1)))
        buffer = FrameBuffer(AnswerHeader)
        while not (frames := buffer.feed(peer.recv(1 << 16))):
            pass
    return shapes.read(WorkerProfile, frames[0][1])
