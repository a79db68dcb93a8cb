"""A worker's profile is bounded: many that say as much as they can still fit into their agent's report."""

import pytest

from dataplane.wire import shapes
from dataplane.wire.agent_sync import SYNC_BODY_MAX_BYTES, AgentReport, ReplicaObservation
from dataplane.wire.shapes import TEXT_MAX_CHARS, Malformed
from dataplane.wire.worker_profile import FORM_MAX_CHARS, FORMS_MAX, REASON_MAX_CHARS, WorkerProfile

REPLICAS = 200


def test_report__of_many_that_say_all_they_can__is_within_its_limit() -> None:
    forms = [f"{number:0{FORM_MAX_CHARS}}" for number in range(FORMS_MAX)]
    text = "x" * TEXT_MAX_CHARS
    profile = WorkerProfile(forms[0], forms, dict.fromkeys(forms, "x" * REASON_MAX_CHARS), True, text, text, text)
    seen = [ReplicaObservation(f"r-{number}", "ready", profile=profile) for number in range(REPLICAS)]

    assert len(shapes.write(AgentReport(seen))) < SYNC_BODY_MAX_BYTES


@pytest.mark.parametrize(
    "profile",
    [
        WorkerProfile(native="x" * (FORM_MAX_CHARS + 1)),
        WorkerProfile(forms=["x"] * (FORMS_MAX + 1)),
        WorkerProfile(given_up={"x": "y" * (REASON_MAX_CHARS + 1)}),
        WorkerProfile(alarm="x" * (TEXT_MAX_CHARS + 1)),
    ],
)
def test_profile__beyond_a_limit__is_not_read(profile: WorkerProfile) -> None:
    with pytest.raises(Malformed):
        shapes.read(WorkerProfile, shapes.write(profile))
