"""The traffic of endpoints before its changes were kept, as far as the histories of their releases say it.

An endpoint whose history does not lead to what it serves now begins with what it serves now.
"""

from django.db import migrations
from django.utils import timezone

FOUND = "Found like this when changes of traffic began to be kept."
SHIFTED, WENT_BACK = ("shifting", "promoting"), "reverting"
ENDED = ("release.succeeded", "release.rolled_back", "release.aborted", "release.failed")
FIRST, BETWEEN, LAST = range(3)  # at one moment: an endpoint is restored before its release moves, and retired after it


class Replay:
    """How one endpoint stands while its history is read, and a row for each change."""

    def __init__(self, row, endpoint):
        self.row, self.endpoint, self.rows = row, endpoint, []
        self.stable, self.arms, self.retired = None, [], False
        self._add(endpoint.created_at, f"{endpoint.name} was made.", "mlorch")

    def _add(self, at, sentence, actor, release=None, revision=0):
        stands = {"stable_release_id": self.stable, "arms": self.arms, "is_retired": self.retired}
        if self.rows and all(getattr(self.rows[-1], name) == value for name, value in stands.items()):
            return
        more = {"sentence": sentence[:500], "actor": actor, "release_id": release, "route_revision": revision}
        self.rows.append(self.row(endpoint=self.endpoint, at=at, is_derived=True, **more, **stands))

    def release_event(self, event):
        release = str(event.release_id)
        if event.kind == "release.succeeded":
            self.stable, self.arms = event.release_id, [_arm("stable", release, 100)]
        elif event.kind in ENDED or event.new == WENT_BACK:
            self.arms = self._stable_arms(100)
        elif event.kind == "rollout.step" and event.new in SHIFTED:
            weight = event.data["weight_pct"]
            candidate = _arm("candidate", release, weight, event.data.get("mirror_pct", 0))
            self.arms = [*self._stable_arms(100 - weight), candidate]
        revision = event.data.get("route_revision", 0)
        self._add(event.at, event.sentence, event.actor, event.release_id, revision)

    def _stable_arms(self, weight):
        return [_arm("stable", arm["release"], weight) for arm in self.arms if arm["arm"] == "stable"]

    def endpoint_act(self, record):
        self.retired = record.action == "endpoint.retired"
        if self.retired:
            self.arms = []
        self._add(record.at, f"{record.actor}: {record.action.replace('.', ' ')}.", record.actor)

    def leads_to(self, arms):
        endpoint = self.endpoint
        stands = (self.stable, self.retired, self.arms)
        return stands == (endpoint.stable_release_id, endpoint.retired_at is not None, arms)


def _arm(arm, release, weight, mirror=0):
    return {"arm": arm, "release": release, "weight_pct": weight, "mirror_pct": mirror}


def _history(apps, endpoint):
    """What happened to an endpoint, in order: (moment, place at that moment, what to do with it, row)."""
    events = apps.get_model("deployments", "ReleaseEvent").objects.filter(release__endpoint=endpoint).order_by("id")
    acts = apps.get_model("audit", "AuditRecord").objects.filter(
        subject_kind="endpoint", subject_id=str(endpoint.pk), action__in=("endpoint.retired", "endpoint.restored")
    )
    told = [(event.at, BETWEEN, Replay.release_event, event) for event in events]
    for record in acts.order_by("sequence"):
        place = LAST if record.action == "endpoint.retired" else FIRST
        told.append((record.at, place, Replay.endpoint_act, record))
    return sorted(told, key=lambda one: one[:2])


def derive(apps, schema_editor):
    row, now = apps.get_model("deployments", "TrafficChange"), timezone.now()
    for endpoint in apps.get_model("deployments", "Endpoint").objects.order_by("pk"):
        replay = Replay(row, endpoint)
        for _, _, act, happened in _history(apps, endpoint):
            act(replay, happened)
        arms = [_arm(a.arm, str(a.release_id), a.weight_pct, a.mirror_pct) for a in endpoint.arms.order_by("pk")]
        if replay.leads_to(arms):
            row.objects.bulk_create(replay.rows)
            continue
        stands = {"stable_release_id": endpoint.stable_release_id, "is_retired": endpoint.retired_at is not None}
        row.objects.create(endpoint=endpoint, at=now, sentence=FOUND, actor="mlorch", arms=arms, **stands)


class Migration(migrations.Migration):
    dependencies = [("deployments", "0010_traffic_changes"), ("audit", "0002_append_only")]
    operations = [migrations.RunPython(derive, migrations.RunPython.noop)]
