"""What a worker says of how it answers: stored, shown, and a finding when joining had to end."""

import importlib
from typing import Any

import msgspec
import pytest
from django.apps import apps
from django.urls import reverse

from dataplane.wire.agent_sync import AgentReport, ReplicaObservation
from dataplane.wire.worker_profile import WorkerProfile
from deployments.models import Replica, ReplicaState
from deployments.processes.agents import JOINING_ENDED, agent_report
from registry.models import Finding, Version
from registry.services import version_profile_seen
from tests.deployments.world import World
from tests.support.live import signed_in

JOINS = WorkerProfile(
    native="array",
    forms=["inputs"],
    given_up={"oip_matrix": "one row was answered with other bytes than MLflow's"},
    joins=True,
    reason="joins requests: every part of the model is row-wise (Pipeline)",
)
ENDED = msgspec.structs.replace(JOINS, joins=False, reason="one request at a time: <b>found</b>", alarm="<b>found</b>")


def report(world: World, profile: WorkerProfile | None) -> str:
    """Let the agent report the served replica with this profile; return its id."""
    state = ReplicaState.objects.get()
    digest = served_version(world).digest
    seen = ReplicaObservation(
        id=state.pk, state="ready", generation=1, address=state.address, digest=digest, profile=profile
    )
    agent_report(agent=state.agent, report=AgentReport([seen]), now=world.now)
    return str(state.pk)


def served_version(world: World) -> Version:
    return Version.objects.get(model=world.model, number=1)


@pytest.fixture
def served(world: World) -> World:
    world.serve()
    return world


def page(world: World) -> str:
    place: dict[str, Any] = {"environment": world.endpoint.environment.name, "name": world.endpoint.name}
    return signed_in("vik").get(reverse("endpoint", kwargs=place)).content.decode()


def test_report__ways__shown_with_the_reason_of_each_form_that_was_given_up(served: World) -> None:
    report(served, JOINS)
    shown = page(served)

    assert "joins requests: every part of the model is row-wise (Pipeline)" in shown
    assert "oip_matrix: one row was answered with other bytes" in shown
    assert Finding.objects.filter(kind=JOINING_ENDED).count() == 0


def test_report__ways__kept_with_the_evidence_and_on_the_version_s_page(served: World) -> None:
    report(served, JOINS)
    url = reverse("version", kwargs={"name": served.model.name, "number": 1})

    assert served_version(served).evidence["profile"]["native"] == "array"
    assert "oip_matrix: one row was answered with other bytes" in signed_in("vik").get(url).content.decode()


def test_version_profile_seen__of_other_files__changes_nothing(served: World) -> None:
    version_profile_seen(version=served_version(served), digest="sha256:other", profile={"native": "frame"})

    assert "profile" not in served_version(served).evidence


def test_report__without_a_profile__what_was_known_stays(served: World) -> None:
    report(served, JOINS)
    report(served, None)

    assert ReplicaState.objects.get().profile["native"] == "array"


def test_report__worker_too_old_to_say__nothing_is_shown(served: World) -> None:
    report(served, WorkerProfile())

    assert "<details" not in page(served).split('id="replicas-title"')[1].split("</section>")[0]


def test_report__alarm__is_shown_and_found_once(served: World) -> None:
    replica = report(served, JOINS)
    for profile in (ENDED, ENDED, JOINS, ENDED):
        report(served, profile)
    finding = Finding.objects.get(kind=JOINING_ENDED)

    assert finding.model == served.model
    assert f"Its replica {replica} answers one request at a time since" in finding.summary
    assert Replica.objects.get().version.number == finding.data["version"]
    assert "&lt;b&gt;found" in page(served)
    assert "<b>found" not in page(served)


def test_migration__evidence_under_the_former_name__is_under_the_new_one(served: World) -> None:
    migration = importlib.import_module("deployments.migrations.0009_worker_profile")
    Version.objects.update(evidence={"ways": {"native": "array"}, "tags": {}})

    migration.rename_in_evidence(apps, migration.OLD, migration.NEW)

    assert served_version(served).evidence == {"profile": {"native": "array"}, "tags": {}}
