"""The artifact store lets go of what nothing needs, and of nothing else, whatever happens while it does so."""

import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from deployments.models import Replica
from deployments.services import (
    artifacts_plan,
    artifacts_sweep,
    endpoint_restore,
    endpoint_retire,
    endpoint_rollback,
)
from deployments.services.checks import release_check
from deployments.services.retention import digests_needed
from deployments.tasks import retention
from mlorch_site.audit.models import AuditRecord
from registry import artifacts
from registry.models import ArtifactSet, StoreState, Version
from registry.selectors import is_stored, store_summary
from registry.services import artifact_set_hold, artifact_sets_sweep
from tests.deployments.world import make_model
from tests.factories import PASSWORD

MONTHS = timedelta(days=100)


def digest_of(number: int) -> str:
    return f"sha256:{number:064d}"


def stored() -> set[int]:
    return {int(path.name[7:]) for path in artifacts.store().iterdir() if path.name.startswith("sha256-")}


def sweep(world, *, after: timedelta = MONTHS):
    """Look once so that needs are noted, let time pass, and look again."""
    artifacts_sweep(now=world.now)
    world.now += after
    with world.at():
        return artifacts_sweep(now=world.now)


def immediate(world, version):
    release = world.request(version, strategy={"kind": "immediate"})
    return world.until(release, "succeeded")


def test_sweep__nothing_needs_a_set_for_its_time__goes_with_one_record(world):
    world.serve(1)
    swept = sweep(world)

    assert stored() == {1}
    assert {one.stored.digest for one in swept.gone} == {digest_of(2), digest_of(3)}
    record = AuditRecord.objects.get(action="artifacts.let_go")
    assert {row["digest"] for row in record.data["sets"]} == {digest_of(2), digest_of(3)}
    assert not is_stored(digest_of(2))


def test_sweep__before_the_time_is_over__nothing_goes(world):
    assert sweep(world, after=timedelta(days=29)).gone == []
    assert stored() == {1, 2, 3}
    assert not AuditRecord.objects.filter(action="artifacts.let_go").exists()


def test_sweep__installation_from_before__its_time_begins_with_the_first_look(world):
    """What was taken in years ago was not without need for years: nobody looked."""
    ArtifactSet.objects.update(taken_in_at=world.now - timedelta(days=1000), needed_at=None)
    assert artifacts_sweep(now=world.now).gone == []


def test_needed__what_serves_waits_and_what_can_be_rolled_back_to(world):
    world.serve(1)
    immediate(world, 2)
    world.request(3)
    assert digests_needed() == {digest_of(1), digest_of(2), digest_of(3)}
    sweep(world)
    assert stored() == {1, 2, 3}


def test_needed__as_many_rollbacks_as_are_kept__and_no_more(world, settings):
    make_model("more", versions=3)
    world.serve(1)
    immediate(world, 2)
    immediate(world, 3)
    Replica.objects.all().delete()
    settings.ROLLBACKS_KEPT = 1
    assert digests_needed() == {digest_of(2), digest_of(3)}
    settings.ROLLBACKS_KEPT = 2
    assert digests_needed() == {digest_of(1), digest_of(2), digest_of(3)}


def test_needed__after_a_rollback__what_was_restored_and_what_lies_before_it(world, settings):
    world.serve(1)
    immediate(world, 2)
    immediate(world, 3)
    with world.at():
        back = endpoint_rollback(
            actor=world.people.mona.actor,
            endpoint=world.endpoint,
            expects=str(world.endpoint.stable_release_id),
            reason="bad",
        )
    world.until(back, "succeeded")
    Replica.objects.all().delete()
    settings.ROLLBACKS_KEPT = 1
    assert digests_needed() == {digest_of(1), digest_of(2)}


def test_rollback__after_every_sweep__finds_its_files(world):
    world.serve(1)
    immediate(world, 2)
    sweep(world)
    with world.at():
        back = endpoint_rollback(
            actor=world.people.mona.actor,
            endpoint=world.endpoint,
            expects=str(world.endpoint.stable_release_id),
            reason="bad",
        )
    assert world.until(back, "succeeded").version.number == 1


def test_retired_endpoint__after_every_sweep__can_be_restored(world):
    world.serve(1)
    with world.at():
        endpoint_retire(
            actor=world.people.mona.actor,
            endpoint=world.endpoint,
            expects=str(world.endpoint.stable_release_id),
            reason="nobody asks",
        )
    world.tick(30)
    sweep(world)
    assert stored() == {1}
    with world.at():
        release = endpoint_restore(actor=world.people.mona.actor, endpoint=world.endpoint)
    world.until(release, "succeeded")


def test_replica_of_an_agent_that_may_still_run_it__keeps_its_files(world):
    world.serve(1)
    replica = Replica.objects.get()
    Replica.objects.filter(pk=replica.pk).update(digest=digest_of(3), wanted=False)
    assert digest_of(3) in digests_needed()


def test_sweep__over_the_size_limit__oldest_need_goes_first(world, settings):
    settings.ARTIFACTS_MAX_GIB = 1
    ArtifactSet.objects.update(size_bytes=600 * 1024**2, needed_at=world.now - timedelta(days=2))
    ArtifactSet.objects.filter(pk=digest_of(3)).update(needed_at=world.now - timedelta(days=3))
    world.serve(1)
    assert [one.stored.digest for one in artifacts_sweep(now=world.now).gone] == [digest_of(3), digest_of(2)]
    assert stored() == {1}


def test_sweep__release_requested_between_choice_and_lock__what_it_needs_stays(world):
    """`needed` is asked a first time, a person requests a release, and it is asked again under the lock."""
    world.serve(1)
    artifacts_sweep(now=world.now)
    world.now += MONTHS
    asked = []

    def needed():
        asked.append(digests_needed())
        if len(asked) == 2:
            with world.at():
                world.request(2)
            return asked[-1]
        return digests_needed()

    with world.at():
        artifact_sets_sweep(actor=world.people.ada.actor, needed=needed, now=world.now)

    assert len(asked) > 2
    assert stored() == {1, 2}


def test_sweep__held_between_choice_and_lock__stays(world):
    """Who holds a set may not have written its own row yet."""
    artifacts_sweep(now=world.now)
    world.now += MONTHS
    asked = []

    def needed():
        asked.append(1)
        if len(asked) == 2:
            assert artifact_set_hold(digest=digest_of(2), now=world.now)
        return set()

    artifact_sets_sweep(actor=world.people.ada.actor, needed=needed, now=world.now)
    assert stored() == {2}


def test_hold__let_go_before__says_that_it_is_not_there(world):
    sweep(world)
    with transaction.atomic():
        assert not artifact_set_hold(digest=digest_of(1), now=world.now)


def test_sweep__died_after_its_record__the_next_one_deletes_what_it_marked(world, monkeypatch):
    artifacts_sweep(now=world.now)
    world.now += MONTHS

    def die(digest):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(artifacts, "put_away", die)
        with pytest.raises(KeyboardInterrupt):
            artifacts_sweep(now=world.now)
    assert stored() == {1, 2, 3}
    assert not is_stored(digest_of(1)), "what is recorded as gone is not served from, though it still lies there"

    artifacts_sweep(now=world.now)
    assert stored() == set()
    assert AuditRecord.objects.filter(action="artifacts.let_go").count() == 1


def test_sweep__died_after_putting_away__the_next_one_deletes_it(world, monkeypatch):
    artifacts_sweep(now=world.now)
    world.now += MONTHS
    with monkeypatch.context() as broken:
        broken.setattr(artifacts, "empty_trash", lambda now: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            artifacts_sweep(now=world.now)
    assert len(list(artifacts.store().glob(".trash-*"))) == 3
    artifacts_sweep(now=world.now)
    assert list(artifacts.store().iterdir()) == []


def test_sweep__what_it_does_not_know__is_left_alone_and_said(world, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    store = artifacts.store()
    (store / f"sha256-{9:064d}").mkdir()
    (store / "notes").mkdir()
    (store / "readme.txt").touch()
    artifacts.path_of(digest_of(1)).rmdir()
    artifacts.path_of(digest_of(1)).symlink_to(outside)
    swept = sweep(world)

    left = {path.name for path in store.iterdir()}
    assert left == {f"sha256-{9:064d}", "notes", "readme.txt", f"sha256-{1:064d}"}
    assert (outside / "precious").exists()
    assert len(swept.problems) == 4
    assert StoreState.objects.get().problems == swept.problems


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_sweep__folder_of_another_user__is_left_alone_and_said(world):
    os.chown(artifacts.path_of(digest_of(2)), 1_800_000_001, 1_800_000_001)
    swept = sweep(world)
    assert stored() == {2}
    assert swept.problems == [f"sha256-{2:064d} belongs to another user"]


def test_sweep__link_inside_of_a_set__what_it_leads_to_stays(world, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "precious").touch()
    (artifacts.path_of(digest_of(2)) / "link").symlink_to(outside)
    artifacts.path_of(digest_of(2)).chmod(0o550)
    sweep(world)
    assert stored() == set()
    assert (outside / "precious").exists()
    assert outside.stat().st_mode & 0o777 == 0o755


def test_sweep__downloads_left_behind__go_after_a_day(world):
    begun, left = artifacts.new_folder(), artifacts.new_folder()
    old = (world.now - timedelta(days=2)).timestamp()
    os.utime(left, (old, old))
    now = world.now.timestamp()
    os.utime(begun, (now, now))
    artifacts_sweep(now=world.now)
    assert begun.is_dir()
    assert not left.exists()


def test_dry_run__says_what_would_go_and_takes_nothing(world, capsys):
    world.serve(1)
    artifacts_sweep(now=world.now)
    world.now += MONTHS
    with world.at():
        plan = artifacts_plan(now=world.now)
        call_command("artifacts_sweep", "--dry-run")
    said = capsys.readouterr().out
    assert f"{digest_of(2)} would go" in said
    assert "2 sets would go; 1 stay" in said
    assert len(plan.gone) == 2
    assert stored() == {1, 2, 3}
    with world.at():
        call_command("artifacts_sweep")
    assert "2 sets went" in capsys.readouterr().out
    assert stored() == {1}


def test_task__sweeps(world):
    retention()
    assert StoreState.objects.exists()


def test_release__of_artifacts_that_were_let_go__waits_and_orders_them(world):
    sweep(world)
    release = world.request(2)
    assert release.status == "checking"
    assert release.status_reason == "Waits until the artifacts of tumours version 2 are fetched from MLflow again."
    assert Version.objects.get(number=2).digest_due_at is not None


def test_release__fetched_artifacts_are_others_than_were_asked_for__rejected(world):
    sweep(world)
    release = world.request(2)
    Version.objects.filter(number=2).update(digest=digest_of(7))
    with world.at():
        release_check(release_id=str(release.pk), now=world.now)
    release.refresh_from_db()
    assert release.status == "rejected"
    assert "were changed in MLflow" in release.status_reason


def test_system_page__says_size_sets_and_what_goes_next(world):
    world.serve(1)
    ArtifactSet.objects.update(size_bytes=3 * 1024**2)
    artifacts_sweep(now=world.now)
    world.now += timedelta(days=1)
    artifacts_sweep(now=world.now)
    (artifacts.store() / "notes").mkdir()
    artifacts_sweep(now=world.now)
    assert [row.digest for row in store_summary().next] == [digest_of(2), digest_of(3)]

    client = Client()
    client.login(username="vik", password=PASSWORD)
    page = " ".join(client.get("/system/").content.decode().split())
    assert "3 sets of artifacts, 9.0 MB of 100.0 GB" in page
    assert "Goes next:" in page
    assert "notes is no artifact set that mlorch took in" in page


def test_request__of_a_version_in_the_store__notes_the_need_at_once(world):
    artifacts_sweep(now=world.now)
    world.now += MONTHS
    world.request(2)
    assert ArtifactSet.objects.get(pk=digest_of(2)).needed_at == world.now
