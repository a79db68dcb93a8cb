"""KServe's Python server with the pickled pipeline: `kserve_model.py PICKLE PORT`."""

import pickle
import sys

import kserve
import numpy as np


class Cancer(kserve.Model):
    """Predicts with the V1 protocol, the shorter of KServe's two ways."""

    def __init__(self, path):
        super().__init__("cancer")
        with open(path, "rb") as file:
            self.pipeline = pickle.load(file)
        self.ready = True

    def predict(self, payload, headers=None):
        return {"predictions": self.pipeline.predict(np.asarray(payload["instances"])).tolist()}


if __name__ == "__main__":
    server = kserve.ModelServer(http_port=int(sys.argv[2]), workers=1, enable_grpc=False, access_log_format=None)
    server.start([Cancer(sys.argv[1])])
