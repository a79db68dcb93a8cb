"""Requests that wait for their endpoint: their turn, their order, who may change it, and what becomes of them."""

import pytest
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deployments import limits, tasks
from deployments.models import QueuedRequest, Release
from deployments.queue_selectors import queue_turns
from deployments.services import (
    ReleaseCommand,
    queue_look,
    queued_move_first,
    queued_withdraw,
    release_abort,
    release_queue,
    release_request_or_queue,
)
from deployments.services.checks import release_check
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.live.outbox import relay
from mlorch_site.notices.models import Notice
from tests.deployments.world import CANARY, GUARDRAILS, World
from tests.factories import make_person
from tests.support.live import signed_in


@pytest.fixture
def busy(world):
    """Version 1 serves, version 2 is rolling out."""
    world.serve(1)
    world.first = world.request(2)
    return world


def wish(version: int = 3, **changes) -> ReleaseCommand:
    values = {"strategy": CANARY, "guardrails": GUARDRAILS, "reason": "better", **changes}
    return ReleaseCommand(model="tumours", version=version, environment="production", endpoint="clinic", **values)


def queue(world: World, version: int = 3, **changes) -> QueuedRequest:
    with world.at():
        return release_queue(actor=world.people.emma.actor, command=wish(version, **changes))


def test_request__endpoint_is_busy__waits_and_is_requested_when_the_one_before_has_ended(busy):
    with busy.at():
        queued = release_request_or_queue(actor=busy.people.emma.actor, command=wish())
    assert queued.is_waiting
    assert not Release.objects.filter(version__number=3).exists()
    busy.until(busy.first, "succeeded")
    assert tasks.tick_is_due()
    busy.tick()
    queued.refresh_from_db()

    release = queued.release
    assert (queued.outcome, release.status, release.requester.username) == ("requested", "checking", "emma")
    assert release.plan["replaces"] == str(busy.first.pk), "it is bound to what serves when its turn came"
    assert release.events.filter(kind="release.queue_turn").exists()
    with busy.at():
        release_check(release_id=str(release.pk), now=busy.now)
    busy.until(release, "succeeded")


def test_request__endpoint_is_free__need_not_wait_and_cannot(world):
    world.serve(1)
    with world.at():
        with pytest.raises(Conflict, match="nothing is to be waited for"):
            release_queue(actor=world.people.emma.actor, command=wish(2))
        asked = release_request_or_queue(actor=world.people.emma.actor, command=wish(2))
    assert isinstance(asked, Release)


def test_queue__several__in_order_one_at_a_time_and_moved_first(busy):
    third, fourth = queue(busy, 3), queue(busy, 3, reason="another try")
    assert queue(busy, 3).pk == third.pk, "the same again is harmless"
    with busy.at():
        queued_move_first(actor=busy.people.mona.actor, queued=fourth)
        queued_move_first(actor=busy.people.mona.actor, queued=fourth)
        with pytest.raises(Forbidden):
            queued_move_first(actor=busy.people.emma.actor, queued=third)
        release_abort(actor=busy.people.mona.actor, release=busy.first)
    busy.until(busy.first, "aborted")
    busy.tick(3)
    third.refresh_from_db()
    fourth.refresh_from_db()

    assert (fourth.outcome, third.is_waiting) == ("requested", True)
    assert AuditRecord.objects.filter(action="release.queue_first").count() == 1


def test_turn__can_no_longer_be_requested__ends_with_the_reason_and_its_person_is_told(busy):
    queued = queue(busy, 3)
    busy.people.emma.user.bindings.update(ended_at=busy.now)
    with busy.at():
        release_abort(actor=busy.people.mona.actor, release=busy.first)
    busy.until(busy.first, "aborted")
    busy.tick()
    queued.refresh_from_db()
    assert queued.outcome == "refused"
    assert queued.sentence.startswith("Its turn came, and it could not be requested: ")
    assert not queue_turns().exists()
    with TestCase.captureOnCommitCallbacks(execute=True):
        relay()
    notice = Notice.objects.get(kind="queue_refused")
    assert (notice.person.username, notice.sentence) == ("emma", queued.sentence)


def test_turn__written_by_another_version__ends_with_the_reason(busy):
    queued = queue(busy, 3)
    QueuedRequest.objects.filter(pk=queued.pk).update(command={**queued.command, "speed": "warp"})
    busy.until(busy.first, "succeeded")
    busy.tick()
    queued.refresh_from_db()
    assert (queued.outcome, "another version of mlorch" in queued.sentence) == ("refused", True)


def test_withdraw__own_or_by_who_may_abort__ends_it_and_twice_is_harmless(busy):
    queued = queue(busy)
    other = make_person("erik", [(Role.VIEWER, "*")])
    with pytest.raises(Forbidden):
        queued_withdraw(actor=other.actor, queued=queued)
    for _ in range(2):
        assert queued_withdraw(actor=busy.people.emma.actor, queued=queued, reason="no").outcome == "withdrawn"
    busy.until(busy.first, "succeeded")
    busy.tick(2)
    assert not Release.objects.filter(version__number=3).exists()
    with pytest.raises(Conflict):
        queued_move_first(actor=busy.people.mona.actor, queued=queued)


def test_queue__full_wrong_or_not_allowed__is_refused(busy, monkeypatch):
    monkeypatch.setattr(limits, "QUEUED_PER_ENDPOINT_MAX", 1)
    with pytest.raises(Invalid):
        queue(busy, 9)
    with pytest.raises(Forbidden), busy.at():
        release_queue(actor=busy.people.vik.actor, command=wish())
    queue(busy)
    with pytest.raises(Conflict, match="1 requests wait"):
        queue(busy, reason="more")


def test_queue__chosen_units__are_kept_as_digests(busy):
    target = {"units": ["patient-7"]}
    queued = queue(busy, strategy={**CANARY, "target": target})
    assert "patient-7" not in str(queued.command)
    assert len(queued.command["strategy"]["target"]["unit_digests"]) == 1
    busy.until(busy.first, "succeeded")
    busy.tick()
    queued.refresh_from_db()
    assert queued.outcome == "requested", queued.sentence


def test_rest__queue__waits_with_202_is_listed_and_taken_out(busy):
    emma = signed_in("emma")
    body = {"model": "tumours", "version": 3, "environment": "production", "endpoint": "clinic", "strategy": CANARY}
    refused = emma.post(reverse("api-releases"), body, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "endpoint_busy")
    answer = emma.post(reverse("api-releases"), {**body, "queue": True}, content_type="application/json")
    assert (answer.status_code, answer.json()["outcome"], answer.json()["place"]) == (202, "", 0)
    pk = answer.json()["id"]
    assert [row["id"] for row in emma.get(reverse("api-queue"), {"endpoint": "clinic"}).json()["results"]] == [pk]
    first = emma.post(reverse("api-queued-first", args=[pk]), content_type="application/json")
    assert first.status_code == 403
    taken = emma.post(reverse("api-queued-withdraw", args=[pk]), {"reason": "no"}, content_type="application/json")
    assert taken.json()["outcome"] == "withdrawn"
    assert emma.get(reverse("api-queue")).json()["results"] == []
    assert len(emma.get(reverse("api-queue"), {"ended": "true"}).json()["results"]) == 1
    assert emma.get(reverse("api-queued", args=[pk])).json()["sentence"] == "emma took it out of the queue. no"


def test_page__busy__offers_the_queue_and_the_endpoint_shows_who_waits(busy):
    form = {"model": "tumours", "version": 3, "environment": "production", "endpoint": "clinic", "kind": "immediate"}
    emma, address = signed_in("emma"), reverse("endpoint", args=["production", "clinic"])
    assert "Queue this one" in emma.post(reverse("release-new"), form).content.decode()
    answer = emma.post(reverse("release-new"), {**form, "queue": "1"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{address}#queue-title")
    page = emma.get(address).content.decode()
    assert "Waiting in the queue" in page
    assert "is next, when the open release has ended" in page
    queued = QueuedRequest.objects.get()
    assert emma.post(reverse("queued-act", args=[queued.pk, "burn"])).status_code == 404
    emma.post(reverse("queued-act", args=[queued.pk, "withdraw"]))
    assert "Waiting in the queue" not in emma.get(address).content.decode()


def test_page__many_wait__as_many_queries_as_for_one(busy):
    queue(busy)
    emma, address = signed_in("emma"), reverse("endpoint", args=["production", "clinic"])
    emma.get(address)
    with CaptureQueriesContext(connection) as one:
        emma.get(address)
    for number in range(5):
        queue(busy, reason=f"try {number}")
    with CaptureQueriesContext(connection) as six:
        emma.get(address)
    assert len(six) == len(one)


def test_look__two_at_once_on_two_connections__request_it_once(busy):
    queue(busy)
    busy.until(busy.first, "succeeded")
    with busy.at():
        assert queue_look(now=busy.now) <= 1
        assert queue_look(now=busy.now) == 0
    assert Release.objects.filter(version__number=3).count() == 1
