"""The mirror follows the registry, writes only what differs, and never writes without the lease."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.live.models import Event
from registry import tasks
from registry.backends.base import BackendRefused
from registry.models import Alias, BackendState, Finding, Model, Version
from registry.services import alias_applied, alias_want, sync_from_backend
from registry.services.sync import LEASE_S, lease_take


def numbered(model: Model, number: int) -> Version:
    """The version that has a number now."""
    return model.versions.get(number=number, superseded_at=None)


def version_of(name: str = "tumours", number: int = 1) -> Version:
    return Version.objects.select_related("model").get(model__name=name, number=number)


def actions() -> list[str]:
    return list(AuditRecord.objects.order_by("sequence").values_list("action", flat=True))


def test_sync__new_model_and_version__mirrored_audited_and_digest_wanted(registry, look):
    registry.add("tumours")
    assert look() == 1
    version = version_of()
    assert version.evidence["metrics"] == {"accuracy": 0.91}
    assert version.digest_due_at is not None
    assert actions() == ["model.mirrored", "version.mirrored"]
    assert BackendState.objects.get().reachable


def test_sync__nothing_changed__writes_nothing_and_asks_for_no_evidence(registry, look, monkeypatch):
    registry.add("tumours")
    look()
    monkeypatch.setattr(registry, "evidence", None)
    events = Event.objects.count()
    assert look() == 0
    assert Event.objects.count() == events


def test_sync__many_unchanged_models__takes_the_same_queries_as_few(registry, look):
    counts = []
    for size in (2, 20):
        for number in range(size):
            registry.add(f"model-{number}")
        look()
        with CaptureQueriesContext(
            connection,
        ) as seen:
            look()
        counts.append(len(seen))
    assert counts[0] == counts[1]


def test_sync__tag_set_without_a_new_time__mirrored(registry, look):
    registry.add("tumours")
    look()
    registry.change("tumours", 1, tags={"stage": "shadow"})
    assert look() == 1
    assert version_of().tags == {"stage": "shadow"}
    assert version_of().evidence["metrics"] == {"accuracy": 0.91}


def test_sync__version_becomes_ready__its_digest_is_wanted(registry, look):
    registry.add("tumours", status="PENDING_REGISTRATION")
    look()
    assert version_of().digest_due_at is None
    registry.change("tumours", 1, status="READY")
    look()
    assert version_of().digest_due_at is not None


def test_sync__version_deleted__kept_as_deleted(registry, look):
    registry.add("tumours")
    registry.add("tumours")
    look()
    registry.remove("tumours", 1)
    look()
    assert version_of().status == "DELETED"
    assert "version.deleted_outside" in actions()
    assert look() == 0


def test_sync__model_deleted_and_made_again__comes_back(registry, look):
    registry.add("tumours")
    look()
    before = registry.snapshot()
    registry.reset()
    look()
    assert Model.objects.get().deleted_at is not None
    registry.restore(before)
    look()
    assert Model.objects.get().deleted_at is None
    assert version_of().status == "READY"


def test_sync__evidence_of_one_version_refused__the_rest_is_mirrored(registry, look, monkeypatch):
    registry.add("tumours")
    registry.add("whales")
    asked = registry.evidence

    def evidence(self, version):
        if version.model == "tumours":
            raise BackendRefused("no permission for this run")
        return asked(self, version)

    monkeypatch.setattr(registry, "evidence", evidence)
    look()
    assert version_of("tumours").evidence == {}
    assert version_of("whales").evidence["metrics"]


def test_sync__lease_taken_over__writes_nothing_more(registry):
    registry.add("tumours")
    old = lease_take(clock.now())
    new = lease_take(clock.now() + timedelta(seconds=LEASE_S + 1))
    assert new == old + 1
    assert sync_from_backend(registry(), epoch=old, now=clock.now()) == 0
    assert not Model.objects.exists()
    assert not BackendState.objects.get().reachable


def test_lease__held__is_not_given_twice(registry):
    now = clock.now()
    assert lease_take(now) is not None
    assert lease_take(now) is None


def test_sync__registry_down_and_up_again__said_once_each_and_everything_stays(registry):
    registry.add("tumours")
    tasks.sync()
    registry.down = True
    tasks.sync()
    tasks.sync()
    state = BackendState.objects.get()
    assert (state.reachable, state.ever_reached) == (False, True)
    assert "switched off" in state.error
    assert version_of().status == "READY"
    registry.down = False
    tasks.sync()
    flips = Event.objects.filter(kind="backend.changed").order_by("sequence").values_list("data", flat=True)
    assert [flip["reachable"] for flip in flips] == [True, False, True]


@pytest.fixture
def champion(registry, look, people):
    """Version 1 of two is champion, by mlorch."""
    registry.add("tumours")
    registry.add("tumours")
    look()
    model = Model.objects.get()
    intent = alias_want(
        actor=people.emma.actor, model=model, name="champion", version=numbered(model, 1), reason="promoted"
    )
    tasks.apply_alias(intent.pk)
    intent.refresh_from_db()
    assert intent.applied_at is not None
    return intent


def test_alias__written__is_in_the_registry_and_in_the_mirror(registry, look, champion):
    assert registry.aliases("tumours") == {"champion": 1}
    assert Alias.objects.get().version_number == 1
    look()
    assert not Finding.objects.exists()


def test_alias__moved_outside__found_once_and_audited(registry, look, champion):
    registry().set_alias("tumours", "champion", 2)
    look()
    look()
    finding = Finding.objects.get()
    assert finding.summary == "Alias champion of tumours was moved from version 1 to version 2 outside mlorch."
    assert actions().count("alias.moved_outside") == 1


def test_alias__seen_before_mlorch_wrote_it__is_no_finding(registry, look, champion, people):
    """A look that began before the write still shows the old place."""
    old = registry.snapshot()
    intent = alias_want(
        actor=people.emma.actor, model=champion.model, name="champion", version=numbered(champion.model, 2), reason=""
    )
    tasks.apply_alias(intent.pk)
    new = registry.snapshot()
    registry.restore(old)
    look(ago_s=30)
    registry.restore(new)
    look()
    assert not Finding.objects.exists()
    assert Alias.objects.get().version_number == 2


def test_alias__moved_back_outside__closes_the_finding(registry, look, champion):
    registry().set_alias("tumours", "champion", 2)
    look()
    registry().set_alias("tumours", "champion", 1)
    look()
    assert Finding.objects.get().resolution == "Moved back outside mlorch."


def test_alias__registry_down__tried_later_with_the_reason(registry, champion, people):
    registry.down = True
    intent = alias_want(
        actor=people.emma.actor, model=champion.model, name="champion", version=numbered(champion.model, 2), reason=""
    )
    tasks.apply_alias(intent.pk)
    intent.refresh_from_db()
    assert intent.applied_at is None
    assert "switched off" in intent.last_error
    assert intent.due_at > clock.now()


def test_alias__task_repeated_before_it_is_due__does_nothing(registry, champion, people):
    registry.down = True
    intent = alias_want(
        actor=people.emma.actor, model=champion.model, name="champion", version=numbered(champion.model, 2), reason=""
    )
    tasks.apply_alias(intent.pk)
    registry.down = False
    tasks.apply_alias(intent.pk)
    assert registry.aliases("tumours") == {"champion": 1}


def test_alias__older_write_arrives_late__newer_wish_is_written_again(registry, champion, people):
    newer = alias_want(
        actor=people.emma.actor, model=champion.model, name="champion", version=numbered(champion.model, 2), reason=""
    )
    tasks.apply_alias(newer.pk)
    registry().set_alias("tumours", "champion", 1)
    alias_applied(actor=people.emma.actor, intent=champion)
    newer.refresh_from_db()
    assert newer.applied_at is None
    tasks.apply_alias(newer.pk)
    assert registry.aliases("tumours") == {"champion": 2}
