"""The rules for Prometheus that are shipped: what they are raised by, and by what not."""

import shutil
import subprocess

import pytest
import yaml

from tests.conftest import missing
from tests.support.prometheus import SHIPPED, shipped_queries

pytestmark = pytest.mark.slow


def promtool(*arguments: str) -> str:
    """What promtool says to the shipped files; a failure is told as it tells it."""
    if shutil.which("promtool") is None:
        missing("promtool")
    done = subprocess.run(["promtool", *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules__quiet_and_not__raised_by_their_own_case_only() -> None:
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


def test_rules__every_alert__says_what_and_what_to_do() -> None:
    rules = [rule for group in yaml.safe_load((SHIPPED / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    alerts = [rule for rule in rules if "alert" in rule]

    assert len(alerts) > 10
    for rule in alerts:
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]


def test_scrape_configuration__is_one(tmp_path) -> None:
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(SHIPPED / name, tmp_path)
    (tmp_path / "metrics-token").write_text("t")
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_dashboard__its_queries__are_many_and_none_is_empty() -> None:
    queries = [query for _, query in shipped_queries()]
    assert len(queries) > 30
    assert all(queries)
