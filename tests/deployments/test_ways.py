"""What a worker says of how it answers: stored, shown, and a finding when joining had to end."""

from typing import Any

import msgspec
import pytest
from django.urls import reverse

from dataplane.wire.agent_sync import AgentReport, ReplicaObservation
from dataplane.wire.worker_ways import Ways
from deployments.models import Replica, ReplicaState
from deployments.processes.agents import JOINING_ENDED, agent_report
from registry.models import Finding, Version
from registry.services import version_ways_seen
from tests.deployments.world import World
from tests.support.live import signed_in

JOINS = Ways(
    native="array",
    forms=["inputs"],
    given_up={"oip_matrix": "one row was answered with other bytes than MLflow's"},
    joins=True,
    reason="joins requests: every part of the model is row-wise (Pipeline)",
)
ENDED = msgspec.structs.replace(JOINS, joins=False, reason="one request at a time: <b>found</b>", alarm="<b>found</b>")


def report(world: World, ways: Ways | None) -> str:
    """Let the agent report the served replica with these ways; return its id."""
    state = ReplicaState.objects.get()
    digest = served_version(world).digest
    seen = ReplicaObservation(id=state.pk, state="ready", generation=1, address=state.address, digest=digest, ways=ways)
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

    assert served_version(served).evidence["ways"]["native"] == "array"
    assert "oip_matrix: one row was answered with other bytes" in signed_in("vik").get(url).content.decode()


def test_version_ways_seen__of_other_files__changes_nothing(served: World) -> None:
    version_ways_seen(version=served_version(served), digest="sha256:other", ways={"native": "frame"})

    assert "ways" not in served_version(served).evidence


def test_report__without_ways__what_was_known_stays(served: World) -> None:
    report(served, JOINS)
    report(served, None)

    assert ReplicaState.objects.get().ways["native"] == "array"


def test_report__worker_too_old_to_say__nothing_is_shown(served: World) -> None:
    report(served, Ways())

    assert "<details" not in page(served).split('id="replicas-title"')[1].split("</section>")[0]


def test_report__alarm__is_shown_and_found_once(served: World) -> None:
    replica = report(served, JOINS)
    for ways in (ENDED, ENDED, JOINS, ENDED):
        report(served, ways)
    finding = Finding.objects.get(kind=JOINING_ENDED)

    assert finding.model == served.model
    assert f"Its replica {replica} answers one request at a time since" in finding.summary
    assert Replica.objects.get().version.number == finding.data["version"]
    assert "&lt;b&gt;found" in page(served)
    assert "<b>found" not in page(served)
