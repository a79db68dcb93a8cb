"""The peers."""

import json
from pathlib import Path

from tests.bench.peers.base import SERVED, Peer, Setting, column_tensors, records_split


def _mlserver(setting: Setting, python: Path, port: int) -> list[str]:
    """Write MLServer's two files and return its command. In-process, which is its faster way on one core."""
    model = {
        "name": "cancer",
        "implementation": "mlserver_mlflow.MLflowRuntime",
        "max_batch_size": 64,
        "max_batch_time": 0.002,
        "parameters": {"uri": str(setting.artifacts)},
    }
    server = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    server |= {"parallel_workers": 0, "debug": False, "logging_settings": None}
    (setting.folder / "model-settings.json").write_text(json.dumps(model))
    (setting.folder / "settings.json").write_text(json.dumps(server))
    return [str(python.parent / "mlserver"), "start", str(setting.folder)]


PEERS = (
    Peer(
        "mlflow models serve",
        (),
        lambda setting, python, port: [
            *(str(python), "-m", "mlflow", "models", "serve", "-m", str(setting.artifacts), "--env-manager", "local"),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        "/invocations",
        records_split,
        lambda answer: list(answer["predictions"]),
    ),
    Peer(
        "MLServer",
        ("mlserver", "mlserver-mlflow", "scikit-learn"),
        _mlserver,
        "/v2/models/cancer/infer",
        column_tensors,
        lambda answer: list(answer["outputs"][0]["data"]),
    ),
    Peer(
        "KServe",
        ("kserve", "scikit-learn"),
        lambda setting, python, port: [
            *(str(python), str(SERVED / "kserve_model.py"), str(setting.pickle), str(port)),
        ],
        "/v1/models/cancer:predict",
        lambda setting, rows: {"instances": rows},
        lambda answer: list(answer["predictions"]),
    ),
    Peer(
        "BentoML",
        ("bentoml", "scikit-learn", "numpy"),
        lambda setting, python, port: [
            *(str(python.parent / "bentoml"), "serve", "bentoml_service:Cancer", "--working-dir", str(SERVED)),
            *("--host", "127.0.0.1", "--port", str(port)),
        ],
        "/predict",
        lambda setting, rows: {"rows": rows},
        list,
        lambda setting: {
            "BENCH_PICKLE": str(setting.pickle),
            "BENTOML_HOME": str(setting.folder),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    ),
    Peer(
        "Ray Serve",
        ("ray[serve]", "scikit-learn"),
        lambda setting, python, port: [str(python), str(SERVED / "ray_app.py"), str(setting.pickle), str(port)],
        "/",
        lambda setting, rows: {"rows": rows},
        lambda answer: list(answer["predictions"]),
        lambda setting: {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(setting.folder)},
    ),
)
