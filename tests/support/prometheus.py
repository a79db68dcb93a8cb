"""Debian's Prometheus with the configuration, rules and dashboard that are shipped in `deploy/`."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import missing
from tests.support.ports import free_ports
from tests.support.product import ROOT, Product, answers
from tests.support.waiting import until

SHIPPED = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "mlorch.json"
END_S = 10
ASK_S = 10
NAME = re.compile(r"\bmlorch[_:][a-z0-9_:]+|\bALERTS\b")
# What Grafana puts in the place of its variables.
GIVEN = {"$environment": ".*", "$endpoint": ".*", "$__rate_interval": "1m"}


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """The data that the API answers; an error says which query was refused."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            answer = urllib.request.urlopen(url, timeout=ASK_S).read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        return json.loads(answer)["data"]

    def ask(self, query: str) -> list[Any]:
        """The samples of a query now."""
        samples: list[Any] = self.get("query", query=query)["result"]
        return samples


@contextmanager
def scraping(product: Product, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the product with the shipped configuration, only with its addresses and every
    second.
    """
    if shutil.which("prometheus") is None:
        missing("prometheus")
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for job, url in zip(config["scrape_configs"], (product.web, product.gateway), strict=True):
        job["static_configs"][0]["targets"] = [url.removeprefix("http://")]
    shutil.copy(SHIPPED / "rules.yml", folder)
    (folder / "metrics-token").write_text(product.credentials["metrics_token"])
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder
        )
    try:
        until(lambda: answers(f"{url}/-/ready"), "Prometheus is ready", seen=lambda: (folder / "log").read_text())
        prometheus = Prometheus(url)
        until(lambda: len(prometheus.ask("up == 1")) == 2, "both jobs are scraped")
        yield prometheus
    finally:
        process.terminate()
        process.wait(END_S)


def shipped_queries() -> Iterator[tuple[str, str]]:
    """Every query of the shipped rules and of the shipped dashboard, with where it stands."""
    for group in yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in GIVEN.items():
                query = query.replace(variable, value)
            yield panel["title"], query


def names_in(query: str) -> set[str]:
    """The metrics and recorded series of mlorch that a query reads."""
    return set(NAME.findall(query))
