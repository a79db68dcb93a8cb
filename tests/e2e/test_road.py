"""The whole road on the real product: MLflow → release → approval → canary → promotion, the bad version, and the way
back by hand.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import mlflow
import pytest

from tests.e2e.client import ROWS, Answer, Load, Rest, infer, send
from tests.support.product import ROOT, Product
from tests.support.prometheus import Prometheus, names_in, scraping, shipped_queries
from tests.support.waiting import PATIENCE_S, patience, until

pytestmark = pytest.mark.e2e

RATE_PER_S = 60
CANARY = {"kind": "canary", "steps": [{"weight": 20, "bake_s": 5, "min_requests": 30}, {"weight": 50, "bake_s": 5}]}
# What there is only when something was late, lost, refused or asked for: its families have no sample here.
SELDOM = {
    *("mlorch_monitoring_alerts", "mlorch_monitoring_budget_left_ratio", "mlorch:promotion:ratio30d"),
    *("mlorch_gateway_refusals_total", "mlorch_gateway_route_tables_refused_total", "ALERTS"),
}
SAMPLE = ROWS.iloc[:20]


def alias(product: Product, name: str) -> int | None:
    """Where MLflow itself says that an alias points."""
    url = f"{product.mlflow}/api/2.0/mlflow/registered-models/alias?name=breast-cancer&alias={name}"
    answer = send("GET", url, "", None)
    return int(answer.body["model_version"]["version"]) if answer.status == 200 else None


def take_back(rest: Rest, reason: str) -> Answer:
    """Roll back what the endpoint serves."""
    shown = rest.get("/endpoints/production/cancer")
    wish = {"reason": reason, "expects": shown["live_release"] or shown["stable_release"]}
    return rest.call("engineer", "POST", "/endpoints/production/cancer/rollback", wish)


def test_1_first_release__approved_by_two_roles__serves_and_has_no_rollback_target(
    product: Product, rest: Rest
) -> None:
    answer = rest.request(1, {"kind": "immediate"})
    assert answer.status == 201
    release = answer.body["id"]
    rest.reach(release, {"awaiting_approval"})

    refused = rest.call("engineer", "POST", f"/releases/{release}/decisions", {"decision": "approve"})
    assert (refused.status, refused.body["error"]["code"]) == (403, "forbidden")
    one = rest.call("reviewer", "POST", f"/releases/{release}/decisions", {"decision": "approve"})
    assert one.body["status"] == "awaiting_approval"
    assert one.body["approval"]["missing"] == "Needs 1 more Risk officer."
    rest.call("risk", "POST", f"/releases/{release}/decisions", {"decision": "approve"})

    done = rest.reach(release, {"succeeded"})
    assert done["rollback_target"]["version"] is None
    assert "no version to roll back to" in done["status_reason"]
    until(lambda: alias(product, "champion") == 1, "champion is version 1 in MLflow")
    again = take_back(rest, "try")
    assert (again.status, again.body["error"]["code"]) == (409, "no_rollback_target")


def test_2_predictions__every_form__equal_pyfunc(product: Product, rest: Rest) -> None:
    code = "import mlflow, pandas, sys, json; frame = pandas.read_json(sys.stdin, orient='split');"
    code += "print(json.dumps(mlflow.pyfunc.load_model('models:/breast-cancer/1').predict(frame).tolist()))"
    environment = {"PATH": os.environ["PATH"], "HOME": str(product.data_dir), "MLFLOW_TRACKING_URI": product.mlflow}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        input=SAMPLE.to_json(orient="split"),
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = json.loads(told.stdout.splitlines()[-1])
    path = "/production/endpoints/cancer/invocations"
    forms: list[Any] = [
        {"dataframe_split": SAMPLE.to_dict(orient="split", index=False)},
        {"dataframe_records": SAMPLE.to_dict(orient="records")},
        {"instances": SAMPLE.to_dict(orient="records")},
        {"inputs": SAMPLE.to_dict(orient="list")},
    ]
    for form in forms:
        answer = infer(product, path, form)
        assert (answer.status, answer.body) == (200, {"predictions": expected}), form.keys()
    csv = infer(product, path, SAMPLE.to_csv(index=False).encode(), "text/csv")
    assert csv.body == {"predictions": expected}
    tensors = [
        {"name": name, "shape": [len(SAMPLE)], "datatype": "FP64", "data": SAMPLE[name].tolist()} for name in SAMPLE
    ]
    oip = infer(product, "/production/v2/models/cancer/infer", {"id": "a7", "inputs": tensors})
    assert (oip.body["id"], oip.body["model_version"]) == ("a7", "1")
    assert oip.body["outputs"][0]["data"] == expected
    assert oip.headers["x-mlorch-arm"] == "stable"
    assert mlflow.__version__


def test_3_canary__good_version__weights_are_seen_and_aliases_move(product: Product, rest: Rest) -> None:
    with Load(product, RATE_PER_S) as load:
        release = rest.release(2, CANARY)

        def weight() -> int:
            return int((rest.get(f"/releases/{release}")["rollout"] or {}).get("weight_pct", 0))

        until(lambda: weight() == 20, "20 % is published")
        applied = time.time() + 0.5
        until(lambda: weight() == 50, "50 % is published")
        seen = [row.version for row in load.since(applied) if row.version]
        done = rest.reach(release, {"succeeded"}, 4 * PATIENCE_S)
        load.go_on()
    share, chance = seen.count("2") / len(seen), 5 * math.sqrt(0.2 * 0.8 / len(seen))
    assert abs(share - 0.2) < chance, f"{share:.2f} of {len(seen)} answers came from the candidate at 20 %"
    assert done["rollout"]["assessment"]["verdict"] == "healthy"
    failed = [row for row in load.answers if row.status != 200]
    assert not failed, failed[:5]
    assert load.answers[-1].version == "2"
    # Each alias is written on its own: the one being there says nothing about the other.
    until(lambda: alias(product, "champion") == 2, "champion is version 2 in MLflow")
    until(lambda: alias(product, "previous") == 1, "previous is version 1 in MLflow")
    assert rest.get(f"/releases/{release}/report")["document"]["outcome"]["status"] == "succeeded"


@pytest.fixture(scope="module")
def prometheus(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Scrapes the product every second with the shipped configuration."""
    with scraping(product, tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus


def test_4_bad_version__rolled_back_by_itself_with_its_verdict(
    product: Product, rest: Rest, prometheus: Prometheus
) -> None:
    with Load(product, RATE_PER_S) as load:
        release = rest.release(3, CANARY)
        done = rest.reach(release, {"rolled_back"})
        ended = time.time()
        load.go_on(3)
    assert done["status_reason"].startswith("Harmful:")
    assert done["rollout"]["assessment"]["verdict"] == "harmful"
    assert any(row.version == "3" for row in load.answers)
    assert [row for row in load.since(ended) if row.version == "3"] == []
    assert rest.get("/endpoints/production/cancer")["stable_version"] == 2
    assert alias(product, "champion") == 2


def test_5_prometheus__saw_all_of_it__the_shipped_rule_fires_and_every_panel_has_a_query_that_it_answers(
    prometheus: Prometheus,
) -> None:
    taken_back = 'ALERTS{alertname="MlorchVersionTakenBack",alertstate="firing",environment="production"}'
    until(lambda: prometheus.ask(taken_back), "the alert fires", within_s=patience())
    assert prometheus.ask('max_over_time(mlorch_gateway_requests_total{endpoint="cancer",version="3"}[5m]) > 0')
    assert {target["health"] for target in prometheus.get("targets")["activeTargets"]} == {"up"}

    known = set(prometheus.get("label/__name__/values"))
    for place, query in shipped_queries():
        assert prometheus.get("query", query=query)["resultType"] == "vector", place
        assert names_in(query) - known <= SELDOM, place


def test_6_rollback_by_hand__returns_to_the_version_before(product: Product, rest: Rest) -> None:
    answer = take_back(rest, "the clinic asks for it")
    assert (answer.status, answer.body["kind"]) == (200, "rollback")
    rest.reach(answer.body["id"], {"succeeded"})

    sample = {"dataframe_split": SAMPLE.iloc[:1].to_dict(orient="split", index=False)}
    served = infer(product, "/production/endpoints/cancer/invocations", sample)
    assert served.headers["x-mlorch-version"] == "1"
    until(lambda: alias(product, "champion") == 1, "champion is version 1 again")


def test_7_audit__after_all_of_it__the_chain_holds(rest: Rest) -> None:
    rest.call("admin", "POST", "/audit/verify")
    until(lambda: rest.get("/audit/verify", "admin")["state"] == "ended", "the record is verified")
    result = rest.get("/audit/verify", "admin")

    assert result["holds"], result
    assert result["checked"] > 30
    assert result["checkpoint"]["size"] > 0


def test_8_log__of_processes_that_run_tasks__is_what_they_wrote_with_its_level(product: Product) -> None:
    said = [line for line in product.output.splitlines() if "release.rollout." in line]

    assert said
    assert all("[info" in line for line in said)
    assert not [line for line in said if "celery.redirected" in line]
