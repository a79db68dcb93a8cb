"""A Ray Serve deployment with `@serve.batch` and the pickled pipeline: `ray_app.py PICKLE PORT`."""

import pickle
import signal
import sys

import numpy as np
import ray
from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=256)
class Cancer:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.pipeline = pickle.load(file)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def predict(self, requests):
        sizes = [len(rows) for rows in requests]
        told = self.pipeline.predict(np.concatenate([np.asarray(rows) for rows in requests])).tolist()
        ends = np.cumsum(sizes)
        return [told[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    async def __call__(self, request):
        body = await request.json()
        return {"predictions": await self.predict(body["rows"])}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Cancer.bind(sys.argv[1]), route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
