"""One running product with real trained versions, for all tests of a module."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.client import Rest
from tests.support.product import ROOT, Product, running, wait_until

TRAINING_WITHIN_S = 120


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product without its demo and with two gateway processes; the demo's three versions are registered and mirrored."""
    with running(tmp_path_factory.mktemp("product"), "--no-demo", "--gateway-processes", "2") as product:
        wait_until(lambda: product.answers(f"{product.mlflow}/health"), within_s=90, saying="MLflow answers")
        command = [sys.executable, "-m", "deployments.demo.train", "--tracking-uri", product.mlflow]
        environment = {"PATH": os.environ["PATH"], "HOME": str(product.data_dir), "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, timeout=TRAINING_WITHIN_S, env=environment, cwd=ROOT, capture_output=True)
        yield product


@pytest.fixture(scope="package")
def rest(product: Product) -> Rest:
    rest = Rest(product)

    def mirrored() -> bool:
        answer = rest.call("engineer", "GET", "/models/breast-cancer/versions")
        return answer.status == 200 and sum(bool(version["digest"]) for version in answer.body["results"]) == 3

    wait_until(mirrored, within_s=60, saying="three versions are mirrored with their digests")
    return rest
