"""A batchable BentoML service with the pickled pipeline, whose path is in BENCH_PICKLE."""

import os
import pickle

import bentoml
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Cancer:
    def __init__(self):
        with open(os.environ["BENCH_PICKLE"], "rb") as file:
            self.pipeline = pickle.load(file)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.pipeline.predict(rows)
