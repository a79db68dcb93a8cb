"""How one loaded version answers whole batches: as its profile says, which is decided before it serves,
and in the general way for everything else.

Native paths are proved equal to the general way by examples. Requests of different clients are joined in one prediction
only where it is known that rows do not depend on each other: by construction (`row_wise`) or declared by the owner.
Examples (`veto`) and what is replayed while it serves (`replays`) can only forbid it.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from dataplane.wire.frames import RequestHeader
from dataplane.wire.shapes import cut
from dataplane.wire.worker_profile import REASON_MAX_CHARS, WorkerProfile
from dataplane.worker import batching, equivalence, row_wise, veto
from dataplane.worker.answers import Answer
from dataplane.worker.native import predictors
from dataplane.worker.native.request_forms import TABLES
from dataplane.worker.replays import Replays
from dataplane.worker.trial import REQUESTS, Trial

MAX_BATCH = 256
JOINS = "joins requests"
APART = "one request at a time"
NO_ROWS = "the model's answer is no plain array with one entry per row"
DECLARED = "the serving config declares that its rows are independent"
UNTESTED = (
    f"{DECLARED}, and no example could be asked to test that; requests are joined once {REQUESTS} different ones of a "
    "form were answered together as alone"
)
TESTED = f"{DECLARED}, and {REQUESTS} requests were answered together as alone"
# As MLflow reads them: letter case matters to it.
JSON_TYPES = ("application/json", "application/json; charset=utf-8")


class Batches:
    """Answers batches for a scorer. Before `decide` has run, and where nothing was decided, requests go one by one."""

    def __init__(self, scorer: Any, *, rows_independent: bool, decide_s: float) -> None:
        self._scorer = scorer
        self._is_declared = rows_independent
        self._native_s = min(equivalence.NATIVE_MAX_S, decide_s / 2)
        self._veto_s = min(veto.VETO_MAX_S, decide_s / 2)
        self._native: batching.Native | None = None
        self._frames: batching.Frames | None = None
        self._trial: Trial | None = None
        self._encode = batching.predictions_encoder(scorer.as_json)
        self._replays = Replays(scorer.score_one)
        self.profile = WorkerProfile(reason=f"{APART}: nothing is decided yet")

    @property
    def max_batch(self) -> int:
        # A gateway asks once: what may be joined later is taken in batches from the beginning.
        return MAX_BATCH if self._frames is not None or self._trial is not None else 1

    def decide(self, example: "pd.DataFrame | None", kept: "WorkerProfile | None" = None) -> None:
        """Find out which requests may be answered natively and which joined; `example` is the version's own, `kept`
        what was decided at an earlier start.
        """
        # What is asked on purpose with wrong values is nobody's mistake to be warned of.
        log = logging.getLogger("mlflow.pyfunc.scoring_server")
        log.disabled = True
        try:
            self.profile = self._decided(example, kept if kept is not None and kept.is_decided else None)
        except Exception as error:  # a version that answers does not fail to start for want of a faster way
            self._native = self._frames = self._trial = None
            self.profile = WorkerProfile(
                reason=cut(f"{APART}: nothing could be decided ({type(error).__name__}: {error})")
            )
            logging.getLogger(__name__).warning("nothing is decided", exc_info=True)
        finally:
            log.disabled = False

    def _decided(self, example: "pd.DataFrame | None", kept: "WorkerProfile | None") -> WorkerProfile:
        given_up = self._decide_native(example, kept)
        reason, objection = self._decide_joining(example, kept)
        return WorkerProfile(
            native=self._native.predict.name if self._native else "",
            forms=sorted(self._native.forms.forms) if self._native else [],
            given_up={form: why[:REASON_MAX_CHARS] for form, why in sorted(given_up.items())},
            joins=self._frames is not None,
            reason=cut(f"{JOINS if self._frames is not None else APART}: {reason}"),
            objection=cut(objection or ""),
        )

    def _decide_joining(self, example: "pd.DataFrame | None", kept: "WorkerProfile | None") -> tuple[str, str]:
        """Find out whether requests may be joined; return the reason, and what examples have against it."""
        found = row_wise.judge(self._scorer.model)
        objection = (kept.objection or kept.alarm) if kept is not None else ""
        if objection or not (found.is_known or self._is_declared):
            return objection or found.reason, objection
        frames = batching.Frames(self._scorer.model, self._scorer.input_schema, self._scorer.as_json)
        if kept is not None and kept.joins:
            self._frames = frames
            return kept.reason.removeprefix(f"{JOINS}: "), ""
        looked = self._look(frames, example)
        if looked.objection:
            return looked.objection, looked.objection
        if not looked.asked and not found.is_known:
            self._trial = Trial(frames)
            return UNTESTED, ""
        self._frames = frames
        return found.reason if found.is_known else DECLARED, ""

    def _look(self, frames: batching.Frames, example: "pd.DataFrame | None") -> veto.Looked:
        bodies = veto.requests(self._scorer.input_schema, example)
        return veto.look(frames, bodies, functools.partial(self._general, False), self._veto_s)

    def _decide_native(self, example: "pd.DataFrame | None", kept: "WorkerProfile | None") -> "dict[str, str]":
        """Find the native path and its forms; return why each other form was given up."""
        scorer = self._scorer
        signature = predictors.signature_of(scorer.input_schema)
        if signature is None:
            return dict.fromkeys(TABLES, "the signature does not name required columns of plain types only")
        if scorer.model.metadata.get_params_schema() is not None:
            return dict.fromkeys(TABLES, "the model takes parameters")
        rows = equivalence.rows_for(signature, _rows_of(example, signature.names))
        if kept is not None and self._resume(kept, signature, rows[0]):
            return kept.given_up
        body = equivalence.bodies("dataframe_split", signature.names, rows[:1])
        if why := equivalence.too_slow(functools.partial(self._general, False, body)):
            return dict.fromkeys(predictors.forms_of(signature), why)
        given_up = dict.fromkeys(predictors.forms_of(signature), "the model shows no function that predicts")
        for forms, predict in predictors.candidates(scorer.model, signature):
            self._native = batching.Native(forms, predict, predictors.NotRows)
            names = set(forms.forms)
            try:
                given_up = equivalence.prove(forms, rows, self._natively, self._general, self._native_s)
            except predictors.NotRows:
                given_up = dict.fromkeys(names, NO_ROWS)
                continue
            if forms.forms:
                return given_up
        self._native = None
        return given_up

    def _resume(self, kept: WorkerProfile, signature: Any, row: Any) -> bool:
        """Take the native path that was decided earlier; return whether it still holds."""
        if not kept.native:
            return True
        for forms, predict in predictors.candidates(self._scorer.model, signature):
            if predict.name == kept.native and forms.forms.issuperset(kept.forms):
                forms.forms &= set(kept.forms)
                self._native = batching.Native(forms, predict, predictors.NotRows)
                if equivalence.still_holds(forms, row, self._natively, self._general):
                    return True
        self._native = None
        return False

    def _natively(self, is_oip: bool, body: bytes) -> "Answer | None":
        """What the native path answers, None when it leaves it. Raises NotRows when it is of no use."""
        assert self._native is not None
        answers: list[Answer | None] = [None]
        self._score_native(self._native, is_oip, _example_header(is_oip), [body], answers)
        if self._native is None:
            raise predictors.NotRows
        return answers[0]

    def _general(self, is_oip: bool, body: bytes) -> Answer:
        answer: Answer = self._scorer.score_one(_example_header(is_oip), body)
        return answer

    def replay(self) -> None:
        """Ask a joined request again alone, when it is time for it. A difference ends joining at once, for good.

        While a declaration is on trial, ask some that were answered alone together.
        """
        if self._trial is not None:
            self._end_trial(self._trial)
        if self._frames is None:
            return
        if difference := self._replays.check():
            self._frames = None
            why = f"{APART}: {difference}"
            self.profile = msgspec.structs.replace(self.profile, joins=False, reason=why, alarm=difference)
            logging.getLogger(__name__).error("joining has ended: %s", difference)

    def _end_trial(self, trial: Trial) -> None:
        """Join requests from now on, or never, when the trial has come to an end."""
        objection = trial.look()
        if objection is None:
            return
        self._trial, self._frames = None, None if objection else trial.frames
        reason = cut(f"{APART}: {objection}" if objection else f"{JOINS}: {TESTED}")
        self.profile = msgspec.structs.replace(
            self.profile, joins=not objection, reason=reason, objection=cut(objection)
        )

    def score(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]":
        """Answer a batch of one kind."""
        answers: list[Answer | None] = [None] * len(bodies)
        is_oip = header.op == "infer"
        is_json = header.content_type in JSON_TYPES
        if self._native is not None and (is_oip or is_json):
            self._score_native(self._native, is_oip, header, bodies, answers)
        if self._frames is not None and is_json and not is_oip:
            self._score_frames(self._frames, header, bodies, answers)
        whole = [
            answer if answer is not None else self._scorer.score_one(header, body)
            for answer, body in zip(answers, bodies, strict=True)
        ]
        if self._trial is not None and is_json and not is_oip:
            for body, answer in zip(bodies, whole, strict=True):
                self._trial.offer(body, answer)
        return whole

    def _score_native(
        self,
        native: batching.Native,
        is_oip: bool,
        header: RequestHeader,
        bodies: "list[bytes]",
        answers: "list[Any]",
    ) -> None:
        """Answer what is plain. After a failure nothing is answered here: the general way tells whose it is."""
        if header.op not in ("infer", "invocations"):
            return
        decode: Callable[[bytes], Any] = native.forms.invocations
        encode: Callable[[Any, Any], Answer] = self._encode
        if is_oip:
            scorer = self._scorer
            decode = functools.partial(native.forms.oip, header_length=header.header_length)
            encode = batching.oip_encoder(header.model_name, scorer.version, scorer.output_schema)
        plain = [(place, request) for place, body in enumerate(bodies) if (request := decode(body)) is not None]
        groups = _bounded(plain) if self._frames is not None else [[one] for one in plain]
        while groups:
            group = groups.pop()
            try:
                scored = batching.score_native(native, [request for _, request in group], encode)
            except native.unusable:
                # Asked again the general way this once; not twice for every request from now on.
                self._native = None
                given_up = self.profile.given_up | dict.fromkeys(self.profile.forms, NO_ROWS)
                self.profile = msgspec.structs.replace(self.profile, native="", forms=[], given_up=given_up)
                return
            except Exception:  # whatever it is, the general way raises it again for its own request
                groups += [[one] for one in group] if len(group) > 1 else []
                continue
            for (place, _), answer in zip(group, scored, strict=True):
                answers[place] = answer
            if len(group) > 1:
                self._replays.offer(header, [bodies[place] for place, _ in group], scored)

    def _score_frames(
        self, frames: batching.Frames, header: RequestHeader, bodies: "list[bytes]", answers: "list[Any]"
    ) -> None:
        left = [place for place, answer in enumerate(answers) if answer is None]
        if len(left) < 2:
            return
        parsed = [(place, frame) for place in left if (frame := frames.parse(bodies[place])) is not None]
        for group in batching.compatible(parsed):
            if len(group) < 2:
                continue
            try:
                scored = frames.score([frame for _, frame in group])
            except Exception:  # noqa: S112 - as above
                continue
            for (place, _), answer in zip(group, scored, strict=True):
                answers[place] = answer
            self._replays.offer(header, [bodies[place] for place, _ in group], scored)


def _example_header(is_oip: bool) -> RequestHeader:
    if is_oip:
        return RequestHeader("infer", model_name="example")
    return RequestHeader("invocations", content_type="application/json")


def _bounded(plain: "list[tuple[int, Any]]") -> "list[list[tuple[int, Any]]]":
    """The requests in groups of `ROWS_MAX` rows at most; one larger request is a group of its own."""
    groups: list[list[tuple[int, Any]]] = []
    size = batching.ROWS_MAX
    for place, request in plain:
        if size + len(request.rows) > batching.ROWS_MAX:
            groups.append([])
            size = 0
        groups[-1].append((place, request))
        size += len(request.rows)
    return groups


def _rows_of(example: "pd.DataFrame | None", names: "list[str]") -> "list[tuple[Any, ...]]":
    """The example's rows in the order of the signature as Python values; none when it lacks a column or a value."""
    if example is None or any(name not in example for name in names):
        return []
    rows = [
        tuple(item.item() if isinstance(item, np.generic) else item for item in row)
        for row in example[names].itertuples(index=False, name=None)
    ]
    return [row for row in rows if not any(item is None or item != item for item in row)]
