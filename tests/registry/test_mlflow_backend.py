"""The mirror against a real MLflow server: what it shows is read, what we want is written, and its webhook is
verified.
"""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue

import pytest

from mlorch_site.lib import clock
from registry import tasks, webhooks
from registry.backends.base import BackendDown, BackendRefused
from registry.backends.mlflow import MlflowBackend
from registry.models import Alias, BackendState, Finding, Model, TagIntent, Version
from registry.services import alias_want, finding_resolve, version_act
from registry.version_lifecycle import LIFECYCLE_TAG
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_S, patience, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
SECRET = "a webhook secret of the test"


def numbered(model: Model, number: int) -> Version:
    """The version that has a number now."""
    return model.versions.get(number=number, superseded_at=None)


def wait_until_up(url: str, process: subprocess.Popen) -> None:
    def answers() -> bool:
        assert process.poll() is None, "mlflow server ended by itself"
        with suppress(OSError):
            urllib.request.urlopen(f"{url}/health", timeout=patience()).close()
            return True
        return False

    until(answers, "the MLflow server is up", within_s=2 * PATIENCE_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start `mlflow server` on a free port and end its whole process group."""
    folder = tmp_path_factory.mktemp("mlflow")
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_up(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def client(server):
    """Register `tumours` 1 with everything a version can have, and 2 that is only a name."""
    import mlflow
    import pandas
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(server)
    frame = pandas.DataFrame({"size": [0.0, 1.0, 2.0, 3.0], "age": [1.0, 0.0, 1.0, 0.0]})
    model = LogisticRegression().fit(frame, [0, 0, 1, 1])
    with mlflow.start_run() as run:
        mlflow.log_metrics({"accuracy": 0.97, "broken": float("nan")})
        mlflow.log_param("C", 1.0)
        mlflow.set_tag("mlflow.source.git.commit", "abc123")
        mlflow.log_input(mlflow.data.from_pandas(frame, name="rows"), context="training")
        info = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=mlflow.models.infer_signature(frame, model.predict(frame)),
            input_example=frame.head(2),
            registered_model_name="tumours",
        )
    found = mlflow.MlflowClient(server)
    found.log_metric(run.info.run_id, "auc", 0.99, model_id=info.model_id)
    found.create_model_version("tumours", source=info.model_uri, run_id=run.info.run_id, model_id=info.model_id)
    return found


@pytest.fixture
def mirrored(client, server, settings, store):
    settings.MLFLOW_TRACKING_URI = server
    settings.MLFLOW_TIMEOUT_S = round(patience())
    settings.REGISTRY_BACKEND = "registry.backends.mlflow.MlflowBackend"
    tasks.sync()
    return Model.objects.get(name="tumours")


def test_sync__version_with_everything__mirrored_with_its_evidence(mirrored):
    version = mirrored.versions.get(number=1)
    assert version.status == "READY"
    evidence = version.evidence
    assert evidence["metrics"]["accuracy"] == 0.97
    assert evidence["metrics"]["auc"] == 0.99
    assert "broken" not in evidence["metrics"]
    assert evidence["params"] == {"C": "1.0"}
    assert evidence["git_commit"] == "abc123"
    assert [found["name"] for found in evidence["datasets"]] == ["rows"]
    assert evidence["run_url"].endswith(f"/runs/{version.run_id}")
    assert BackendState.objects.get().reachable


def test_digest__real_artifacts__stored_and_read(mirrored):
    version = mirrored.versions.get(number=1)
    tasks.digest_version(version.pk)
    version.refresh_from_db()
    assert version.digest_status == "computed", version.digest_error
    assert [column["name"] for column in version.signature["inputs"]] == ["size", "age"]
    assert "sklearn" in version.evidence["flavors"]
    assert any(line.startswith("scikit-learn==") for line in version.evidence["requirements"])
    assert version.evidence["input_example"]["dataframe_split"]["columns"] == ["size", "age"]
    assert version.evidence["python"].startswith("3.")
    before = version.digest
    Version.objects.update(digest_due_at=clock.now())
    tasks.digest_version(version.pk)
    version.refresh_from_db()
    assert version.digest == before, "a second download must give the same digest"


def test_files__real_artifacts_in_folders__listed_with_the_sizes_that_are_downloaded(mirrored, client, tmp_path):
    import mlflow

    for name in ("MLmodel", "data/weights.bin", "data/deeper/more.txt"):
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_bytes(b"x" * len(name))
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "made"), "tree")
    client.create_registered_model("trees")
    client.create_model_version("trees", source=f"{run.info.artifact_uri}/tree", run_id=run.info.run_id)
    backend = MlflowBackend()
    backend.download("trees", 1, tmp_path / "got")
    found = [path for path in (tmp_path / "got").rglob("*") if path.is_file()]

    assert len(found) == 3
    listed = {file.path: file.size for file in backend.files("trees", 1)}
    assert listed == {path.relative_to(tmp_path / "got").as_posix(): path.stat().st_size for path in found}


@pytest.mark.parametrize("source", ["s3://bucket/x", "dbfs:/x", "run", "logged model"])
def test_source__elsewhere__nothing_is_fetched_and_the_digest_says_why(mirrored, client, source):
    """What the version names itself, and what an experiment, whose place anybody may choose, puts behind a name."""
    name = f"elsewhere-{source.partition(':')[0].replace(' ', '-')}"
    of = {}
    if source in ("run", "logged model"):
        experiment = client.create_experiment(name, artifact_location="s3://bucket/y")
        of["run_id"] = client.create_run(experiment).info.run_id
        logged = client.create_logged_model(experiment, source_run_id=of["run_id"]).model_id
        source = f"runs:/{of['run_id']}/model" if source == "run" else f"models:/{logged}"
        of |= {} if source.startswith("runs") else {"model_id": logged}
    client.create_registered_model(name)
    client.create_model_version(name, source=source, **of)
    tasks.sync()
    version = Version.objects.get(model__name=name)
    tasks.digest_version(version.pk)
    version.refresh_from_db()

    assert version.digest == ""
    assert "are not fetched" in version.digest_error


def test_files__unknown_version__refused(mirrored):
    with pytest.raises(BackendRefused):
        list(MlflowBackend().files("tumours", 99))


def test_alias__written_moved_outside_found_and_reverted(mirrored, client, people):
    intent = alias_want(
        actor=people.emma.actor, model=mirrored, name="champion", version=numbered(mirrored, 1), reason=""
    )
    tasks.apply_alias(intent.pk)
    assert client.get_model_version_by_alias("tumours", "champion").version == "1"
    tasks.sync()
    assert not Finding.objects.exists()
    client.set_registered_model_alias("tumours", "champion", "2")
    tasks.sync()
    finding = Finding.objects.get()
    assert finding.data == {"alias": "champion", "from": 1, "to": 2}
    finding_resolve(actor=people.emma.actor, finding=finding, how="revert")
    tasks.apply_alias(intent.pk)
    assert client.get_model_version_by_alias("tumours", "champion").version == "1"
    nowhere = alias_want(actor=people.emma.actor, model=mirrored, name="champion", version=None, reason="")
    tasks.apply_alias(nowhere.pk)
    tasks.sync()
    assert not Alias.objects.exists()


def test_lifecycle_tag__written_changed_outside_and_written_back(mirrored, client, people):
    version = numbered(mirrored, 1)
    version_act(actor=people.emma.actor, version=version, act="deprecate", reason="old")
    tasks.apply_tag(TagIntent.objects.get().pk)
    tasks.sync()
    assert not Finding.objects.exists()
    client.delete_model_version_tag("tumours", "1", LIFECYCLE_TAG)
    tasks.sync()
    assert "was removed outside mlorch" in Finding.objects.get().summary
    tasks.apply_tag(TagIntent.objects.get().pk)
    assert client.get_model_version("tumours", "1").tags[LIFECYCLE_TAG] == "deprecated"


def test_tag__set_in_mlflow__mirrored(mirrored, client):
    client.set_model_version_tag("tumours", "1", "reviewed_by", "rita")
    tasks.sync()
    assert mirrored.versions.get(number=1).tags["reviewed_by"] == "rita"


def test_backend__refusal_and_silence__are_told_apart(mirrored, settings):
    with pytest.raises(BackendRefused):
        MlflowBackend().set_alias("tumours", "champion", 99)
    (nobody,) = free_ports(1)
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{nobody}"
    with pytest.raises(BackendDown):
        MlflowBackend().ping()
    tasks.sync()
    assert not BackendState.objects.get().reachable
    assert mirrored.versions.count() == 2


def test_webhook__delivered_by_mlflow__verifies(mirrored, client, settings):
    """MLflow signs what it sends as we expect it, checked on a delivery that it really made."""
    seen: Queue = Queue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.put((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    settings.WEB_URL = f"http://127.0.0.1:{listener.server_port}"
    settings.MLFLOW_WEBHOOK_SECRET = SECRET
    try:
        tasks.sync()
        BackendState.objects.update(webhook_due_at=None)
        tasks.sync()
        (webhook,) = client.list_webhooks()
        assert webhook.url == f"{settings.WEB_URL}/webhooks/mlflow"
        client.test_webhook(webhook.webhook_id)
        headers, body = seen.get(timeout=patience())
    finally:
        listener.shutdown()
        listener.server_close()
    given = {name.lower(): value for name, value in headers.items()}
    names = {"X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"}
    found = {name: given[name.lower()] for name in names}
    assert webhooks.verify(found, body, now=clock.now().timestamp()) == found["X-MLflow-Delivery-Id"]
