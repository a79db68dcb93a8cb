"""Artifacts: taken once, by content, read-only; what changes later is found; what cannot be taken says why."""

import os
import stat
from datetime import timedelta

import pytest

from dataplane.wire import digest
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from registry import artifacts, tasks
from registry.actors import WORKER
from registry.backends.base import BackendDown, BackendRefused, SeenFile
from registry.models import ArtifactSet, Finding, Version
from registry.selectors import artifact_sets, is_stored
from registry.services import artifact_sets_sweep, artifacts_fetch, digest_recheck, digest_want


@pytest.fixture
def version(registry, store, look):
    registry.add("tumours", files={"data/model.skops": b"weights"})
    look()
    return Version.objects.select_related("model").get()


def digested(version: Version) -> Version:
    tasks.digest_version(version.pk)
    version.refresh_from_db()
    return version


def test_digest__known_files__is_sha256_over_the_sorted_manifest(tmp_path):
    """The expected value was computed with sha256sum over the lines of docs/wire.md section 7."""
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c").write_bytes(b"one")
    assert (
        artifacts.digest_of(artifacts.manifest_of(tmp_path))
        == "sha256:53c8fd321d1d2e4e9390b6efecd9c465cf8b54f5d8bcf08a5600781b19ece4c0"
    )


def test_task__due__stores_the_files_read_only_under_their_digest(version, store):
    assert digested(version).digest_status == "computed"
    folder = store / version.digest.replace(":", "-")
    assert list(artifact_sets([version.digest])) == [version.digest]
    assert (folder / "data/model.skops").read_bytes() == b"weights"
    assert not any(path.stat().st_mode & stat.S_IWUSR for path in folder.rglob("*"))
    readable = stat.S_IRGRP | stat.S_IXGRP  # also for workers of a user of their own
    assert folder.stat().st_mode & readable == readable
    assert [entry[0] for entry in version.manifest] == ["MLmodel", "data/model.skops"]
    assert not list(store.glob(".tmp-*"))


def test_task__run_again__does_nothing(version):
    digested(version)
    assert AuditRecord.objects.filter(action="version.digested").count() == 1
    digested(version)
    assert AuditRecord.objects.filter(action="version.digested").count() == 1


def test_stored__before_the_digest_is_known__no(version):
    assert not is_stored(version.digest)


def test_task__registry_down__stays_pending_with_the_reason(registry, version):
    """What needs the digest waits; it is not refused because a neighbour is away."""
    registry.down = True
    assert digested(version).digest_status == "pending"
    assert "switched off" in version.digest_error
    assert version.digest_due_at > clock.now()
    registry.down = False
    digest_want(version=version, now=clock.now())
    assert digested(version).digest_status == "computed"
    assert version.digest_error == ""


def test_task__artifacts_cannot_be_taken__failed_once_with_the_reason(registry, version, store, monkeypatch):
    def download(self, model, number, target):
        (target / "link").symlink_to("/etc/passwd")

    monkeypatch.setattr(registry, "download", download)
    assert digested(version).digest_status == "failed"
    assert version.digest_error == "The artifacts are not taken: link is a link or a special file."
    assert not list(store.iterdir())
    assert AuditRecord.objects.filter(action="version.digest_failed").count() == 1


def test_task__artifacts_changed_behind_the_registry__found_and_audited(registry, version):
    before = digested(version).digest
    registry.change_file("tumours", 1, "data/model.skops", b"other weights")
    digest_want(version=version, now=clock.now())
    assert digested(version).digest != before
    assert Finding.objects.get().kind == "artifacts_changed"
    record = AuditRecord.objects.get(action="version.artifacts_changed")
    assert record.data == {"before": before, "after": version.digest}
    assert artifacts.path_of(before).is_dir(), "what was approved before can still be looked at"


def let_everything_go(store) -> None:
    """Sweep until nothing is left of what a sweep may take."""
    now = clock.now()
    artifact_sets_sweep(actor=WORKER, needed=set, now=now)
    artifact_sets_sweep(actor=WORKER, needed=set, now=now + timedelta(days=365))
    assert not list(store.iterdir())


def test_let_go_and_asked_for_again__fetched_with_the_same_digest(version, store):
    before = digested(version).digest
    let_everything_go(store)
    assert not is_stored(before)
    assert artifacts_fetch(version=version, now=clock.now()).startswith(
        "Waits until the artifacts of tumours version 1"
    )

    assert digested(version).digest == before
    assert artifacts_fetch(version=version, now=clock.now()) == ""
    assert ArtifactSet.objects.get().let_go_at is None
    assert not Finding.objects.exists()


def test_let_go_and_changed_in_the_registry__fetched_as_another_set_and_found(registry, version, store):
    before = digested(version).digest
    let_everything_go(store)
    registry.change_file("tumours", 1, "data/model.skops", b"other weights")
    artifacts_fetch(version=version, now=clock.now())

    assert digested(version).digest != before
    assert not is_stored(before)
    assert Finding.objects.get().kind == "artifacts_changed"


def test_let_go_and_registry_down__waits_with_the_reason(registry, version, store):
    digested(version)
    let_everything_go(store)
    artifacts_fetch(version=version, now=clock.now())
    registry.down = True
    digested(version)
    assert "switched off" in artifacts_fetch(version=version, now=clock.now())


def test_taken_in_again__marked_as_gone_and_not_yet_deleted__stays(version, store):
    """A sweep that died after its record; then the version is fetched again."""
    digested(version)
    ArtifactSet.objects.update(let_go_at=clock.now())
    artifacts_fetch(version=version, now=clock.now())
    digested(version)
    artifact_sets_sweep(actor=WORKER, needed=set, now=clock.now())
    assert is_stored(version.digest)


def test_recheck__orders_one_look_and_is_silent_after_it(version):
    digested(version)
    approved_at = clock.now()
    assert digest_recheck(version=version, since=approved_at, now=clock.now()).startswith("Waits for a last look")
    digested(version)
    assert digest_recheck(version=version, since=approved_at, now=clock.now()) == ""


def test_recheck__registry_down__waits_with_the_reason(registry, version):
    digested(version)
    since = clock.now()
    digest_recheck(version=version, since=since, now=since)
    registry.down = True
    digested(version)
    assert "switched off" in digest_recheck(version=version, since=since, now=clock.now())


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("x"), None])
def test_manifest__link_pipe_or_nothing__invalid(tmp_path, make):
    if make:
        make(tmp_path / "odd")
    with pytest.raises(Invalid):
        artifacts.manifest_of(tmp_path)


@pytest.mark.parametrize(("name", "limit"), [("FILES_MAX", 1), ("SIZE_MAX_BYTES", 3)])
def test_manifest__over_a_limit__invalid(tmp_path, monkeypatch, name, limit):
    monkeypatch.setattr(digest, name, limit)
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"34")
    with pytest.raises(Invalid, match="more than"):
        artifacts.manifest_of(tmp_path)


@pytest.mark.parametrize(("name", "limit"), [("FILES_MAX", 1), ("SIZE_MAX_BYTES", 10)])
def test_task__listed_as_too_much__refused_before_the_download(registry, version, monkeypatch, name, limit):
    downloaded: list[int] = []
    monkeypatch.setattr(digest, name, limit)
    monkeypatch.setattr(registry, "download", lambda self, model, number, target: downloaded.append(number))

    assert digested(version).digest_status == "failed"
    assert version.digest_error.startswith("The artifacts are not taken: there are more than")
    assert downloaded == []


@pytest.mark.parametrize("listed", ["without sizes", "nothing", "refused"])
def test_task__registry_does_not_tell_sizes__checked_after_the_download(registry, version, monkeypatch, listed):
    def files(self, model, number):
        if listed == "refused":
            raise BackendRefused("cannot list")
        yield from [SeenFile("MLmodel", None)] if listed == "without sizes" else []

    monkeypatch.setattr(registry, "files", files)
    monkeypatch.setattr(digest, "SIZE_MAX_BYTES", 10)
    assert digested(version).digest_error.startswith("The artifacts are not taken: there are more than")

    monkeypatch.setattr(digest, "SIZE_MAX_BYTES", 1000)
    digest_want(version=version, now=clock.now())
    assert digested(version).digest.startswith("sha256:")


def test_task__registry_down_while_listing__waits(registry, version, monkeypatch):
    def files(self, model, number):
        raise BackendDown("away")
        yield

    monkeypatch.setattr(registry, "files", files)

    assert (digested(version).digest_status, version.digest_error) == ("pending", "away")
