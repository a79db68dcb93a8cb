"""Coordinated releases: begun together, promoted together, taken back together, whatever happens in between."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from deployments import limits
from deployments.group_selectors import groups_due
from deployments.models import Endpoint, Release, ReleaseGroup
from deployments.services import (
    ReleaseCommand,
    endpoint_rollback,
    groups_look,
    release_abort,
    release_decide,
    release_group_abort,
    release_group_close,
    release_group_open,
    release_pause,
    release_request,
    release_resume,
)
from deployments.services.checks import release_check
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry.models import Policy
from tests.deployments.world import GUARDRAILS, World
from tests.support.live import signed_in

CANARY = {"kind": "canary", "steps": [{"weight": 50, "bake_s": 3, "min_requests": 0}], "watch_s": 0}
SLOW = {"kind": "canary", "steps": [{"weight": 50, "bake_s": 40, "min_requests": 0}], "watch_s": 0}


class Grouped:
    """Two endpoints, each with version 1, and a group into which releases of version 2 are requested."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.serve(1)
        first = self.request("ward", 1, strategy={"kind": "immediate"}, group="")
        world.until(first, "succeeded")
        self.open()

    def open(self) -> ReleaseGroup:
        with self.world.at():
            self.group = release_group_open(actor=self.world.people.emma.actor, name="tumours everywhere")
        return self.group

    def request(self, endpoint: str, version: int = 2, **changes: Any) -> Release:
        values = {"strategy": CANARY, "guardrails": GUARDRAILS, **changes}
        values.setdefault("group", str(self.group.pk) if hasattr(self, "group") else "")
        command = ReleaseCommand(
            model="tumours", version=version, environment="production", endpoint=endpoint, **values
        )
        with time_machine.travel(self.world.now, tick=False):
            release = release_request(actor=self.world.people.emma.actor, command=command)
            release_check(release_id=str(release.pk), now=self.world.now)
        return Release.objects.get(pk=release.pk)

    def close(self) -> None:
        with self.world.at():
            release_group_close(actor=self.world.people.emma.actor, group=self.group)

    def statuses(self, *releases: Release) -> list[str]:
        for release in releases:
            release.refresh_from_db()
        return [release.status for release in releases]

    def ended(self, most_s: int = 120) -> ReleaseGroup:
        for _ in range(most_s):
            self.world.tick()
            self.group.refresh_from_db()
            if self.group.ended_at is not None:
                return self.group
        raise AssertionError([(str(one), one.status, one.status_reason) for one in self.group.members.all()])

    def serves(self, endpoint: str) -> int:
        return Endpoint.objects.get(name=endpoint).stable_release.version.number


@pytest.fixture
def grouped(world: World) -> Grouped:
    return Grouped(world)


def test_group__all_good__none_begins_before_and_all_are_promoted_together(grouped):
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW, guardrails=[])
    grouped.world.tick(3)
    assert grouped.statuses(one, other) == ["approved", "approved"]
    assert "until the group tumours everywhere is released" in one.status_reason
    assert one.plan["group"]["name"] == "tumours everywhere"
    grouped.close()
    grouped.world.tick(20)
    assert grouped.statuses(one, other) == ["rolling_out", "rolling_out"]
    assert "all of the group are promoted together" in one.rollout.waiting_for
    assert (grouped.serves("clinic"), one.rollout.weight_pct) == (1, 50)
    group = grouped.ended()

    assert (group.outcome, group.sentence) == ("succeeded", "All 2 were promoted together.")
    assert (grouped.serves("clinic"), grouped.serves("ward")) == (2, 2)
    ended = {release.ended_at for release in (one, other) if release.refresh_from_db() is None}
    assert max(ended) - min(ended) <= timedelta(seconds=5)


def test_group__one_is_bad__the_one_that_was_ready_goes_back_too(grouped):
    grouped.world.errors = {"2": 0.5}
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW, guardrails=[])
    grouped.close()
    group = grouped.ended()

    assert group.outcome == "taken_back"
    assert grouped.statuses(one, other) == ["rolled_back", "rolled_back"]
    assert (grouped.serves("clinic"), grouped.serves("ward")) == (1, 1)
    assert other.events.filter(kind="group.taken_back").exists()
    assert "The group tumours everywhere goes back" in other.status_reason
    assert AuditRecord.objects.filter(action="release_group.taken_back").count() == 1


def test_group__one_was_promoted_and_another_goes_back__the_promoted_one_is_restored(grouped, monkeypatch):
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW)
    grouped.close()
    grouped.world.tick(8)
    monkeypatch.setattr("deployments.rollout.observe.why_not_promote_together", lambda release: "")
    grouped.world.until(one, "succeeded")
    monkeypatch.undo()
    with grouped.world.at():
        release_abort(actor=grouped.world.people.mona.actor, release=other)
    group = grouped.ended()

    assert (group.outcome, grouped.serves("clinic"), grouped.serves("ward")) == ("taken_back", 1, 1)
    assert Release.objects.filter(kind="rollback", endpoint__name="clinic").exists()


def test_group__one_is_withdrawn_before_it_begins__the_others_end(grouped):
    one, other = grouped.request("clinic"), grouped.request("ward")
    grouped.close()
    with grouped.world.at():
        release_abort(actor=grouped.world.people.emma.actor, release=one)
    assert grouped.ended().outcome == "taken_back"
    assert grouped.statuses(one, other) == ["aborted", "aborted"]


def test_group__waits_for_the_approval_of_another__begins_with_it(people, data_dir):
    grouped = Grouped(World(people))
    Policy.objects.update(approval_rules=[{"role": "reviewer", "count": 1}])
    one, other = grouped.request("clinic"), grouped.request("ward")
    grouped.close()
    with grouped.world.at():
        release_decide(actor=people.rita.actor, release=one, decision="approve")
    grouped.world.tick(6)
    assert grouped.statuses(one, other) == ["approved", "awaiting_approval"]
    assert "to begin together" in one.status_reason
    with grouped.world.at():
        release_decide(actor=people.rita.actor, release=other, decision="approve")
    grouped.world.tick(3)
    assert grouped.statuses(one, other) == ["rolling_out", "rolling_out"]


def test_group__others_never_ready__goes_back_at_its_deadline(grouped, monkeypatch):
    monkeypatch.setattr(limits, "HOLD_DEADLINE_S", 15)
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW)
    grouped.close()
    assert "was ready, and the others were not in time" in grouped.ended().sentence
    assert grouped.statuses(one, other) == ["rolled_back", "rolled_back"]


def test_group__ended_by_hand_and_twice__takes_all_back_once(grouped):
    one, other = grouped.request("clinic"), grouped.request("ward")
    grouped.close()
    grouped.world.tick(4)
    for _ in range(2):
        with grouped.world.at():
            release_group_abort(actor=grouped.world.people.mona.actor, group=grouped.group, reason="no")
    with grouped.world.at(), pytest.raises(Forbidden):
        release_group_abort(actor=grouped.world.people.vik.actor, group=grouped.group)
    group = grouped.ended()
    assert group.sentence == "mona ended the group. no"
    assert set(grouped.statuses(one, other)) <= {"rolled_back", "aborted"}
    with grouped.world.at():
        groups_look(now=grouped.world.now)


def test_group__promoted_member_rolled_back_by_hand__takes_the_rest_back(grouped, monkeypatch):
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW)
    grouped.close()
    grouped.world.tick(8)
    monkeypatch.setattr("deployments.rollout.observe.why_not_promote_together", lambda release: "")
    grouped.world.until(one, "succeeded")
    monkeypatch.undo()
    with grouped.world.at():
        endpoint = Endpoint.objects.get(name="clinic")
        endpoint_rollback(actor=grouped.world.people.mona.actor, endpoint=endpoint, expects=str(one.pk), reason="no")
    assert grouped.ended().outcome == "taken_back"
    assert grouped.statuses(other) == ["rolled_back"]


def test_group__too_few_closed_full_or_of_somebody_else__is_refused(grouped, monkeypatch):
    with pytest.raises(Conflict, match="at least 2"):
        grouped.close()
    for name in ("", "x" * 81, "a\x00"):
        with pytest.raises(Invalid):
            release_group_open(actor=grouped.world.people.emma.actor, name=name)
    with pytest.raises(Forbidden):
        release_group_open(actor=grouped.world.people.vik.actor, name="mine")
    grouped.request("clinic")
    monkeypatch.setattr(limits, "GROUP_MEMBERS_MAX", 1)
    with pytest.raises(Invalid, match="1 releases at most"):
        grouped.request("ward")
    monkeypatch.undo()
    grouped.request("ward")
    grouped.close()
    with pytest.raises(Invalid, match="takes no more releases"):
        grouped.request("theatre", 1)
    with pytest.raises(Invalid, match="no such group"):
        grouped.request("theatre", 1, group="nonsense")


def test_group__one_has_ended_before__is_not_released_and_open_groups_are_not_looked_at(grouped):
    one = grouped.request("clinic")
    grouped.request("ward")
    assert not groups_due().exists()
    with grouped.world.at():
        release_abort(actor=grouped.world.people.emma.actor, release=one)
    with pytest.raises(Conflict, match="has ended already"):
        grouped.close()


def test_group__ready_member_is_paused__the_others_wait_for_it(grouped):
    one, other = grouped.request("clinic"), grouped.request("ward", strategy=SLOW, guardrails=[])
    grouped.close()
    grouped.world.tick(20)
    with grouped.world.at():
        release_pause(actor=grouped.world.people.mona.actor, release=one)
    grouped.world.tick(60)
    assert grouped.statuses(one, other) == ["paused", "rolling_out"]
    assert "1 of it are not ready" in other.rollout.waiting_for
    with grouped.world.at():
        release_resume(actor=grouped.world.people.mona.actor, release=one)
    assert grouped.ended().outcome == "succeeded"


def test_pages__begin_request_release_and_end(grouped):
    emma = signed_in("emma")
    answer = emma.post(reverse("release-groups"), {"name": "both", "reason": "they belong together"})
    group = ReleaseGroup.objects.get(name="both")
    assert answer.headers["Location"] == reverse("release-group", args=[group.pk])
    assert "No releases in it yet" in emma.get(answer.headers["Location"]).content.decode()
    form = emma.get(reverse("release-new"), {"group": str(group.pk)}).content.decode()
    assert "a group of releases" in form
    wish = {"model": "tumours", "version": 2, "environment": "production", "kind": "immediate", "group": str(group.pk)}
    for endpoint in ("clinic", "ward"):
        assert emma.post(reverse("release-new"), {**wish, "endpoint": endpoint}).status_code == 303
    page = emma.get(reverse("release-group", args=[group.pk])).content.decode()
    assert page.count("tumours version 2 to production/") == 2
    emma.post(reverse("release-group-act", args=[group.pk, "close"]))
    group.refresh_from_db()
    assert group.closed_at is not None
    assert emma.post(reverse("release-group-act", args=[group.pk, "burn"])).status_code == 404
    emma.post(reverse("release-group-act", args=[group.pk, "abort"]))
    assert "It goes back" in emma.get(reverse("release-group", args=[group.pk])).content.decode()
    assert signed_in("max").get(reverse("release-group", args=[group.pk])).status_code == 404
    assert "both" in emma.get(reverse("release-groups")).content.decode()


def test_rest__begun_filled_released_and_read(grouped):
    emma = signed_in("emma")
    made = emma.post(reverse("api-release-groups"), {"name": "both"}, content_type="application/json")
    assert made.status_code == 201, made.json()
    pk = made.json()["id"]
    wish = {"model": "tumours", "version": 2, "environment": "production", "strategy": CANARY, "group": pk}
    for endpoint in ("clinic", "ward"):
        asked = emma.post(reverse("api-releases"), {**wish, "endpoint": endpoint}, content_type="application/json")
        assert asked.status_code == 201, asked.json()
    closed = emma.post(reverse("api-release-group-close", args=[pk]), content_type="application/json").json()
    assert closed["closed_at"] is not None
    assert {row["endpoint"] for row in closed["members"]} == {"production/clinic", "production/ward"}
    assert emma.get(reverse("api-release-group", args=[pk])).json()["outcome"] == ""
    assert [row["id"] for row in emma.get(reverse("api-release-groups"), {"q": "both"}).json()["results"]] == [pk]
    ended = emma.post(reverse("api-release-group-abort", args=[pk]), {}, content_type="application/json").json()
    assert ended["failed_at"] is not None
