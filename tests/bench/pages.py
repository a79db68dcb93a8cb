"""Server time of every list and detail page with 1,000 models, 50,000 versions and 1,000,000 audit records, and how
long the audit chain takes to verify.
"""

import os
import tempfile
import time
from itertools import islice
from statistics import quantiles
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from tests.bench.report import Row, hand_over

MODELS = 1000
VERSIONS_EACH = 50
CHANGES_EACH = 40  # of an endpoint's traffic
AUDIT_RECORDS = 1_000_000
BATCH = 5000
VISITS = 40
BUDGET_P95_MS = 100
BUDGET_VERIFY_S = 60
LISTS = ("overview", "models", "approvals", "releases", "endpoints", "audit", "tokens", "system", "gateways")
API_LISTS = ("api-models", "api-releases", "api-endpoints", "api-gateway-keys", "api-tokens", "api-audit")


def fill() -> Any:
    """Write all rows; return the people."""
    from django.db import transaction

    from mlorch_site.accounts.actor import Actor
    from registry.models import Model, Version
    from registry.services import environment_create
    from tests.factories import make_people
    from tests.support import crowd

    people = make_people()
    environment = environment_create(actor=Actor.controller("bench"), name="production", position=0, gates=[])
    with transaction.atomic():
        crowd.add(people, environment, MODELS)
    more = (
        Version(model=model, number=number, status="READY", created_at=model.created_at, updated_at=model.created_at)
        for model in Model.objects.all()
        for number in range(3, VERSIONS_EACH + 1)
    )
    while batch := list(islice(more, BATCH)):
        Version.objects.bulk_create(batch)
    _fill_past()
    _fill_audit()
    return people


def _fill_past() -> None:
    """Facts about every version, as the migration begins with them, and changes of every endpoint's traffic."""
    from importlib import import_module

    from django.apps import apps

    from deployments.models import Endpoint, TrafficChange
    from mlorch_site.lib import clock

    import_module("registry.migrations.0009_facts_found").begin(apps, None)
    changes = (
        TrafficChange(
            endpoint=endpoint,
            at=clock.now(),
            sentence="25 % of the traffic goes to the new version.",
            actor="rollout",
            arms=newest.arms,
            stable_release_id=newest.stable_release_id,
            route_revision=number,
        )
        for endpoint in Endpoint.objects.prefetch_related("traffic_changes")
        for newest in endpoint.traffic_changes.all()
        for number in range(CHANGES_EACH)
    )
    while batch := list(islice(changes, BATCH)):
        TrafficChange.objects.bulk_create(batch)


def _fill_audit() -> None:
    """Append records to the chain, as `chain.append` does, in large pieces."""
    from django.db import transaction

    from mlorch_site.audit.chain import chain_hash, hashed_content
    from mlorch_site.audit.models import AuditHead, AuditRecord
    from mlorch_site.lib import clock

    head = AuditHead.objects.get(pk=1)
    while head.sequence < AUDIT_RECORDS:
        batch = []
        for _ in range(min(BATCH, AUDIT_RECORDS - head.sequence)):
            record = AuditRecord(
                sequence=head.sequence + 1,
                at=clock.now(),
                actor_kind="controller",
                actor="rollout",
                action="rollout.weights_set",
                subject_kind="release",
                subject_id=str(UUID(int=head.sequence % 4000)),
                subject_label="model version 2 to production/endpoint",
                reason="25 % of the traffic goes to the new version.",
                data={"step": 3, "weight_pct": 25, "route_revision": head.sequence},
                previous_hash=head.hash,
            )
            record.hash = head.hash = chain_hash(head.hash, hashed_content(record))
            head.sequence = record.sequence
            batch.append(record)
        with transaction.atomic():
            AuditRecord.objects.bulk_create(batch)
            head.save()


def addresses() -> dict[str, str]:
    """Name → address of every page that is measured."""
    from django.urls import reverse

    from deployments.models import Release
    from mlorch_site.lib import clock
    from registry.models import Model

    model = Model.objects.order_by("name")[MODELS // 2]
    release = Release.objects.filter(status="paused").order_by("created_at")[MODELS // 2]
    endpoint = release.endpoint
    found = {name: reverse(name) for name in (*LISTS, *API_LISTS)}
    at = urlencode({"at": clock.now().isoformat()})
    names = {
        "endpoint": [endpoint.environment.name, endpoint.name],
        "model": [model.name],
        "environment": [endpoint.environment.name],
    }
    for surface in ("", "api-"):
        for subject, arguments in names.items():
            found[f"{surface}{subject}-past"] = f"{reverse(f'{surface}{subject}-past', args=arguments)}?{at}"
    return found | {
        "models, searched": f"{reverse('models')}?q=77",
        "models, last page": f"{reverse('models')}?page=40",
        "model": reverse("model", args=[model.name]),
        "version": reverse("version", args=[model.name, 25]),
        "release": reverse("release", args=[release.pk]),
        "endpoint": reverse("endpoint", args=[endpoint.environment.name, endpoint.name]),
        "audit, of one subject": f"{reverse('audit')}?q=release",
    }


def visit(browser: Any, address: str) -> float:
    """The 95th percentile of some visits in ms, after a first one."""
    taken = []
    for _ in range(VISITS + 1):
        began = time.perf_counter()
        answer = browser.get(address)
        taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (address, answer.status_code)
    return quantiles(taken[1:], n=20)[-1]


def measure() -> list[Row]:
    """Fill the database and visit every page."""
    from mlorch_site.audit.verification import verify
    from mlorch_site.lib import collector
    from tests.support.live import signed_in

    fill()
    collector.settle()  # as the web process does; what filling left behind is not its own
    browser = signed_in("mona")
    rows = [Row(f"{name}, p95", visit(browser, address), "ms", BUDGET_P95_MS) for name, address in addresses().items()]
    began = time.perf_counter()
    verification = verify()
    assert verification.holds, verification.problem
    took = time.perf_counter() - began
    count = Row("audit records verified", verification.checked, "", None, AUDIT_RECORDS)
    return [*rows, count, Row("the same, time", took, "s", BUDGET_VERIFY_S)]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pages-", dir="/tmp") as folder:
        os.environ |= {"MLORCH_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "mlorch_site.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        hand_over(measure())


if __name__ == "__main__":
    main()
