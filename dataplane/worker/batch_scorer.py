"""How one loaded version answers whole batches: which way was proved at load, and the general way for everything
else.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from dataplane.wire.frames import RequestHeader
from dataplane.worker import batching, equivalence
from dataplane.worker.answers import Answer
from dataplane.worker.native import predictors

MAX_BATCH = 256
# As MLflow reads them: letter case matters to it.
JSON_TYPES = ("application/json", "application/json; charset=utf-8")


class Batches:
    """Answers batches for a scorer. Before `prove` has run, and where nothing was proved, requests go one by one."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer
        self._native: batching.Native | None = None
        self._natively = 0
        self._frames: batching.Frames | None = None

    @property
    def max_batch(self) -> int:
        return MAX_BATCH if self._frames is not None else 1

    def paths(self) -> "dict[str, Any]":
        """The proved paths, for the log."""
        native = self._native
        forms = sorted(native.forms.forms) if native else []
        return {"native": native.predict.name if native else None, "forms": forms, "max_batch": self.max_batch}

    def prove(self, example: "pd.DataFrame | None") -> None:
        """Find out which requests may be answered natively and which together; `example` is the version's own."""
        # What is asked on purpose with wrong values is nobody's mistake to be warned of.
        log = logging.getLogger("mlflow.pyfunc.scoring_server")
        log.disabled = True
        try:
            self._prove(example)
        except Exception:  # a version that answers does not fail to start for want of a faster way
            self._native = self._frames = None
            logging.getLogger(__name__).warning("nothing is proved: requests are answered one by one", exc_info=True)
        finally:
            log.disabled = False

    def _prove(self, example: "pd.DataFrame | None") -> None:
        scorer = self._scorer
        signature = predictors.signature_of(scorer.input_schema)
        rows: list[Any] = []
        if signature is not None:
            rows = equivalence.rows_for(signature, _rows_of(example, signature.names))
            self._prove_native(signature, rows)
            table = pd.DataFrame(rows, columns=pd.Index(signature.names))
        elif example is not None and len(example):
            table = pd.concat([example] * equivalence.ROWS, ignore_index=True).head(equivalence.ROWS)
        else:
            return
        if equivalence.is_independent(
            scorer.model.predict, lambda places: _typed(table, places, signature), len(table)
        ):
            self._frames = batching.Frames(scorer.model, scorer.input_schema)

    def _prove_native(self, signature: Any, rows: "list[Any]") -> None:
        scorer = self._scorer
        if scorer.model.metadata.get_params_schema() is not None:
            return
        for forms, predict in predictors.candidates(scorer.model, signature):
            self._native, self._natively = batching.Native(forms, predict, predictors.NotRows), 0
            is_proved = equivalence.prove(forms, rows, self._alone, self._general)
            # What never answered, or gave it up, would only have been compared with itself.
            if is_proved and self._native is not None and self._natively:
                return
        self._native = None

    def _alone(self, is_oip: bool, body: bytes) -> Answer:
        return self.score(_proof_header(is_oip), [body])[0]

    def _general(self, is_oip: bool, body: bytes) -> Answer:
        answer: Answer = self._scorer.score_one(_proof_header(is_oip), body)
        return answer

    def score(self, header: RequestHeader, bodies: "list[bytes]") -> "list[Answer]":
        """Answer a batch of one kind."""
        answers: list[Answer | None] = [None] * len(bodies)
        is_oip = header.op == "infer"
        is_json = header.content_type in JSON_TYPES
        if self._native is not None and (is_oip or is_json):
            self._score_native(self._native, is_oip, header, bodies, answers)
        if self._frames is not None and is_json and not is_oip:
            self._score_frames(self._frames, bodies, answers)
        return [
            answer if answer is not None else self._scorer.score_one(header, body)
            for answer, body in zip(answers, bodies, strict=True)
        ]

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
        encode: Callable[[Any, Any], Answer] = batching.encode_predictions
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
                return
            except Exception:  # whatever it is, the general way raises it again for its own request
                groups += [[one] for one in group] if len(group) > 1 else []
                continue
            self._natively += len(group)
            for (place, _), answer in zip(group, scored, strict=True):
                answers[place] = answer

    def _score_frames(self, frames: batching.Frames, bodies: "list[bytes]", answers: "list[Any]") -> None:
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


def _proof_header(is_oip: bool) -> RequestHeader:
    if is_oip:
        return RequestHeader("infer", model_name="proof")
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


def _typed(table: pd.DataFrame, places: "list[int]", signature: Any) -> pd.DataFrame:
    """Rows of the table with the signature's own types, so that MLflow's schema enforcement takes them."""
    part = table.iloc[places].reset_index(drop=True)
    if signature is None:
        return part
    kinds = {"float": np.float32, "integer": np.int32, "double": np.float64, "long": np.int64, "boolean": np.bool_}
    wanted = {name: kinds[kind] for name, kind in zip(signature.names, signature.kinds, strict=True) if kind in kinds}
    return part.astype(wanted)
