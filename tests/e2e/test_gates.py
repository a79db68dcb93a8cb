"""The gates that run something, under a policy that demands them, in the processes that `scripts/up` starts: as the
ordinary user where it is started as root.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow.sklearn
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlorch_site.launch.demo.train import requirements, split
from tests.e2e.client import Rest, send
from tests.launch.test_ordinary_user import reachable
from tests.support import receiver
from tests.support.folders import short_folder
from tests.support.model_signing import pem_of, sign, statement
from tests.support.pages import Pages, hidden
from tests.support.ports import free_ports
from tests.support.product import Product, running
from tests.support.waiting import PATIENCE_S, patience, until

pytestmark = pytest.mark.e2e

MODEL, CHECK, KEY = "screening", "risk-desk", "training team"
IMMEDIATE = {"kind": "immediate"}
RUNNING_GATES = (
    "requirements_install",
    "input_example_answers",
    "load_test",
    "known_vulnerabilities",
    "artifact_signed",
    "external_check",
)
DEMANDING = {
    "gates": ["version_ready", "digest_known", *RUNNING_GATES],
    "gate_parameters": {
        "load_test": {"rate": 10, "seconds": 3, "p95_ms": 5_000},
        "external_check": {"check": CHECK},
        "artifact_signed": {"key": KEY},
    },
    "waiver_role": "risk_officer",
    "sandbox_level_min": "partly",
    "approval_rules": [{"role": "reviewer", "count": 1}],
}
STRICT = {
    "gates": ["version_ready", "digest_known", "requirements_install", "load_test"],
    "gate_parameters": {"load_test": {"rate": 10, "seconds": 6, "p95_ms": 5_000}},
    "waiver_role": "",
}


@dataclass
class House:
    """The product, and what lies around it."""

    product: Product
    rest: Rest
    folder: Path

    def gates(self, release: str) -> dict[str, dict[str, Any]]:
        return {row["gate"]: row for row in self.rest.get(f"/releases/{release}/gates")}

    def request(self, version: int, environment: str, endpoint: str) -> str:
        wish = {"model": MODEL, "version": version, "environment": environment, "endpoint": endpoint}
        answer = self.rest.call("engineer", "POST", "/releases", wish | {"strategy": IMMEDIATE, "reason": "a test"})
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def answered(self, release: str, *gates: str) -> dict[str, dict[str, Any]]:
        """Wait until these gates have answered."""

        def have() -> bool:
            found = self.gates(release)
            return bool(found) and all(found[gate]["state"] == "ended" for gate in gates)

        until(have, f"{gates} have answered", within_s=3 * PATIENCE_S, seen=lambda: self.gates(release))
        return self.gates(release)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A running product, the program that is asked, the signed model in MLflow, and the two policies in force."""
    with short_folder() as folder, contextlib.ExitStack() as ends:
        folder.chmod(0o711)  # the ordinary user passes
        for name in ("wheels", "outside"):
            (folder / name).mkdir(mode=0o755)
        advisories(folder / "advisories.json")
        (port,) = free_ports(1)
        asked = subprocess.Popen([sys.executable, receiver.__file__, str(port), str(folder / "outside")])
        ends.callback(lambda: (asked.kill(), asked.wait(patience())))
        variables = {
            "MLORCH_ADVISORIES": str(folder / "advisories.json"),
            "MLORCH_OUTGOING_PRIVATE_NETWORKS": "127.0.0.0/8",
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(folder / "wheels"),
        }
        through = reachable() if os.geteuid() == 0 else ()
        product = ends.enter_context(running(folder / "data", "--no-demo", through=through, variables=variables))
        private = ec.generate_private_key(ec.SECP256R1())
        administer(product, private, port, folder / "outside")
        register(product, private, folder / "made")
        made = House(product, Rest(product), folder)
        until(lambda: mirrored(made), "both versions are mirrored with their digests")
        yield made


def advisories(path: Path) -> None:
    """One advisory: every scikit-learn has a critical flaw."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
    flaw = {
        "schema_version": "1.6.0",
        "id": "PYSEC-2026-1",
        "modified": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "summary": "It learns by heart.",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "scikit-learn"}, "ranges": ranges}],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    }
    path.write_text(json.dumps([flaw]))
    path.chmod(0o644)


def administer(product: Product, private: ec.EllipticCurvePrivateKey, port: int, outside: Path) -> None:
    """What the administrator sets: a signing key, an external check, and the policies of two environments."""
    pages = Pages(product, "admin")
    pages.post("/admin/registry/signingkey/add/", name=KEY, pem=pem_of(private), reason="it trains")
    address = f"http://127.0.0.1:{port}/ask"
    _, page = pages.post("/admin/registry/externalcheck/add/", name=CHECK, url=address, reason="it looks at everything")
    (outside / "secret").write_text(page[page.index("whsec_") :].split("<")[0].split()[0].rstrip("."))
    for environment, fields in (("staging", DEMANDING), ("development", STRICT)):
        text = json.dumps({"environment": environment, "note": "gates that run", **fields})  # JSON is YAML
        path, page = pages.post("/policies/import/", document=text)
        for how in ("submit", "publish"):
            _, page = pages.post(f"{path}moves/", path, how=how, seen=hidden(page, "seen"))
        assert "is in force." in page


def register(product: Product, private: ec.EllipticCurvePrivateKey, folder: Path) -> None:
    """Version 1 is honest and signed; version 2 names a package that the index does not have."""
    client = MlflowClient(product.mlflow)
    until(lambda: product.answers(f"{product.mlflow}/health"), "MLflow answers", within_s=2 * PATIENCE_S)
    rows, _, truth, _ = split()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(rows, truth)
    signature = infer_signature(rows, pipeline.predict(rows))
    client.create_registered_model(MODEL)
    for number, extra in enumerate(([], ["tiny==9"]), start=1):
        path = folder / str(number)
        mlflow.sklearn.save_model(
            pipeline, path, signature=signature, input_example=rows.head(2), pip_requirements=[*requirements(), *extra]
        )
        sign(path, private, statement(path))
        run = client.create_run("0")
        client.log_artifacts(run.info.run_id, str(path), "model")
        client.create_model_version(MODEL, f"{run.info.artifact_uri}/model", run.info.run_id)


def mirrored(house: House) -> bool:
    answer = house.rest.call("engineer", "GET", f"/models/{MODEL}/versions")
    return answer.status == 200 and sum(bool(version["digest"]) for version in answer.body["results"]) == 2


def answer_external(house: House) -> None:
    """Answer the question that came, as the program outside does."""
    outside = house.folder / "outside"
    until(lambda: list(outside.glob("message-*.json")), "the question has come", seen=lambda: list(outside.iterdir()))
    message = json.loads((outside / "message-0.json").read_text())
    assert message["is_right"], message
    told = message["body"]["data"]
    said = {name: told[name] for name in ("call", "digest", "content_hash")}
    raw = json.dumps(said | {"outcome": "pass", "sentence": "Looks fine"}).encode()
    secret = base64.b64decode((outside / "secret").read_text().removeprefix("whsec_"))
    number, at = "an-answer-1", str(int(time.time()))
    made = base64.b64encode(hmac.new(secret, f"{number}.{at}.".encode() + raw, hashlib.sha256).digest()).decode()
    named = {"webhook-id": number, "webhook-timestamp": at, "webhook-signature": f"v1,{made}"}
    answer = send("POST", told["answer_url"], "", raw, **named)
    assert answer.status == 200, answer


def test_release__every_gate_runs__outcome_and_evidence_of_each_then_a_waiver_lets_it_go_on(house: House) -> None:
    release = house.request(1, "staging", "screening")
    answer_external(house)
    found = house.answered(release, *DEMANDING["gates"])
    said = {name: (row["outcome"], row["sentence"]) for name, row in found.items()}

    refusing = [name for name, row in found.items() if row["outcome"] != "pass"]
    assert refusing == ["known_vulnerabilities"], said
    assert said["requirements_install"][1] == "The platform's own environment meets all requirements."
    assert any(line.startswith("scikit-learn==") for line in found["requirements_install"]["evidence"]["installed"])
    assert said["input_example_answers"][1].startswith("The input example is answered, twice the same")
    assert found["input_example_answers"]["evidence"]["sandbox"]
    assert found["load_test"]["evidence"]["planned"] == 30
    assert f"files are as {KEY} signed them." in said["artifact_signed"][1]
    assert said["external_check"][1] == f"{CHECK} says: Looks fine."
    flaw = found["known_vulnerabilities"]
    assert "1 known flaw: scikit-learn " in flaw["sentence"]
    assert flaw["evidence"]["flaws"][0]["advisory"] == "PYSEC-2026-1"
    told = house.rest.get(f"/releases/{release}")["status_reason"]
    assert told.startswith("Waits for a waiver of the gate known vulnerabilities by Risk officer"), told

    waiver = {"finding": flaw["finding"], "reason": "it is not called", "days": 3}
    refused = house.rest.call("engineer", "POST", f"/releases/{release}/gates/known_vulnerabilities/waive", waiver)
    assert refused.status == 403, refused
    given = house.rest.call("risk", "POST", f"/releases/{release}/gates/known_vulnerabilities/waive", waiver)
    assert given.status == 200, given
    house.rest.reach(release, {"awaiting_approval"})
    decided = house.rest.call("reviewer", "POST", f"/releases/{release}/decisions", {"decision": "approve"})
    assert decided.status == 200, decided
    house.rest.reach(release, {"succeeded"})


def test_requirements__cannot_be_installed__rejected_with_the_sentence_that_says_which(house: House) -> None:
    release = house.request(2, "development", "uninstallable")
    ended = house.rest.reach(release, {"rejected"})

    assert ended["status_reason"].startswith("requirements install: The requirements cannot be installed:"), ended
    assert "tiny==9" in ended["status_reason"]
    assert house.gates(release)["requirements_install"]["outcome"] == "fail"


def test_work__killed_in_the_middle_of_a_gate__it_is_taken_up_again_and_nothing_is_left(house: House) -> None:
    release = house.request(1, "development", "interrupted")

    def load_is_on() -> bool:
        return house.gates(release).get("load_test", {}).get("sentence", "").startswith("10 requests a second")

    until(load_is_on, "the load is on", within_s=2 * PATIENCE_S, seen=lambda: house.gates(release))
    before = house.product.process_named("work")["pid"]
    os.killpg(before, signal.SIGKILL)
    half = house.gates(release)["load_test"]
    assert (half["state"], half["outcome"], half["evidence"]) == ("running", "", {})

    ended = house.rest.reach(release, {"succeeded"}, 4 * PATIENCE_S)
    again = house.gates(release)["load_test"]
    assert (again["outcome"], again["evidence"]["planned"], again["earlier"]) == ("pass", 60, []), ended
    assert house.product.process_named("work")["pid"] != before
    until(lambda: not scratch_processes(house), "no process of a run is left", seen=lambda: scratch_processes(house))
    assert list((house.product.data_dir / "scratch" / "runs").iterdir()) == []


def scratch_processes(house: House) -> list[str]:
    """What runs for a try of a version in this product."""
    mark, found = str(house.product.data_dir / "scratch"), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if mark in line:
                found.append(line)
    return found
