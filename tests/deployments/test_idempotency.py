"""`Idempotency-Key` when a call dies midway: the key is not lost, and what was asked for is done once."""

import pytest
import time_machine

from deployments.models import Release
from deployments.services import release_pause
from mlorch_site.accounts.models import IdempotentCall
from mlorch_site.api import idempotency
from mlorch_site.lib import clock
from tests.deployments.test_api import BODY, client_of, post
from tests.deployments.world import START

KEY = {"Idempotency-Key": "k1"}


def die(*args, **kwargs):
    raise SystemExit("killed")


def test_call__killed_midway__nothing_was_done_and_a_retry_within_the_lease_waits(world, people, monkeypatch):
    emma = client_of(people.emma)
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "keep", die)
        with pytest.raises(SystemExit):
            post(emma, "/releases", BODY, **KEY)
    assert IdempotentCall.objects.get().status is None
    assert not Release.objects.exists()
    answer = post(emma, "/releases", BODY, **KEY)

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "in_progress"


def test_call__killed_and_its_lease_over__a_retry_takes_over_and_is_repeated(world, people):
    emma = client_of(people.emma)
    with time_machine.travel(START, tick=False) as held:
        first = post(emma, "/releases", BODY, **KEY)
        Release.objects.all().delete()
        IdempotentCall.objects.update(status=None, answer="", at=clock.now())
        held.shift(idempotency.LEASE)
        answers = [post(emma, "/releases", BODY, **KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json() != first.json()
    assert Release.objects.count() == 1


def test_call__lease_over__another_body_is_refused_all_the_same(world, people):
    emma = client_of(people.emma)
    with time_machine.travel(START, tick=False) as held:
        post(emma, "/releases", BODY, **KEY)
        IdempotentCall.objects.update(status=None)
        held.shift(idempotency.LEASE * 2)
        answer = post(emma, "/releases", {**BODY, "version": 2}, **KEY)

    assert answer.json()["error"]["code"] == "idempotency_key_reused"


def test_call__taken_over_while_it_runs__its_act_is_undone(world, people, monkeypatch):
    world.serve(1)
    release = world.request(2)
    world.tick(6)
    keep = idempotency.keep

    def late(call, answer):
        IdempotentCall.objects.update(at=clock.now())
        keep(call, answer)

    monkeypatch.setattr(idempotency, "keep", late)
    answer = post(client_of(people.emma), f"/releases/{release.pk}/pause", **KEY)
    release.refresh_from_db()

    assert (answer.status_code, release.status) == (409, "rolling_out")
    assert release_pause(actor=people.emma.actor, release=release).status == "paused"
