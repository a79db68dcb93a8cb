"""Tags of versions in MLflow that mlorch writes: where it wants them, what was written, and what others changed."""

from datetime import datetime, timedelta

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.models import Finding, TagIntent, Version
from registry.services.aliases import RETRY_FIRST_S, RETRY_MAX_S, WRITE_LEASE_S

TAG_CHANGED = "tag_changed"
PUT_BACK_AGAIN = timedelta(minutes=10)  # between two writes, while somebody else keeps changing it


def tag_want(*, version: Version, key: str, value: str, now: datetime, due_at: datetime | None = None) -> None:
    """Want a tag of a version in MLflow to say `value` (empty: to be gone). Belongs into the transaction of the act.

    The registry's worker writes it; wanting the same again writes it once more.
    """
    wanted = {"value": value, "wanted_at": now, "applied_at": None, "last_error": "", "due_at": due_at or now}
    TagIntent.objects.update_or_create(version=version, key=key, defaults=wanted)


def tag_claim(*, intent_id: int, now: datetime) -> TagIntent | None:
    """A tag that is due to be written, for this worker alone; None when it is not due or another has it."""
    rows = TagIntent.objects.select_related("version__model")
    intent = rows.filter(pk=intent_id, applied_at=None, due_at__lte=now).first()
    if intent is None:
        return None
    later = now + timedelta(seconds=WRITE_LEASE_S)
    return intent if swap(intent, "applied_at", "due_at", due_at=later) else None


@transaction.atomic
def tag_applied(*, actor: Actor, intent: TagIntent) -> None:
    """Note that MLflow has the tag as `intent` wanted it. A newer wish that came in between is written once more."""
    now = clock.now()
    if not swap(intent, "value", "wanted_at", applied_at=now, last_error="", due_at=None):
        TagIntent.objects.filter(pk=intent.pk).update(applied_at=None, due_at=now)
        return
    row = Version.objects.select_for_update(of=("self",)).select_related("model").get(pk=intent.version_id)
    others = {key: value for key, value in row.tags.items() if key != intent.key}
    tags = {**others, intent.key: intent.value} if intent.value else others
    Version.objects.filter(pk=row.pk).update(tags=tags)
    data = {"tag": intent.key, "to": intent.value}
    audit_record(actor, "tag.written", audit_subjects.of_version(row), data=data)
    publish("registry", "version.changed", {"model": row.model.name, "version": row.number})


def tag_impossible(*, intent: TagIntent, reason: str) -> None:
    """Note that MLflow does not have the version any more, so that its tag is not written."""
    TagIntent.objects.filter(pk=intent.pk, applied_at=None).update(last_error=reason[:500], due_at=None)


def tag_failed(*, intent: TagIntent, error: str, now: datetime) -> None:
    """Note why MLflow did not take the tag, and when to try again."""
    waited_s = max(RETRY_FIRST_S, min(RETRY_MAX_S, (now - intent.wanted_at).total_seconds()))
    due_at = now + timedelta(seconds=waited_s)
    TagIntent.objects.filter(pk=intent.pk, applied_at=None).update(last_error=error[:500], due_at=due_at)


def note_tag(*, actor: Actor, version: Version, key: str, seen: str, now: datetime) -> None:
    """Compare a tag of ours with what MLflow shows; one that somebody else changed is put back, and is a finding.

    `now` is the moment before the registry was read: what mlorch itself wrote after it was not seen yet.
    """
    intent = TagIntent.objects.filter(version=version, key=key).first()
    if intent is not None and (intent.applied_at is None or intent.applied_at >= now):
        return
    wanted = intent.value if intent else ""
    if seen == wanted:
        return
    known = Finding.objects.filter(
        model=version.model, kind=TAG_CHANGED, data__version=version.pk, data__tag=key, resolved_at=None
    )
    is_known = known.exists()
    due_at = now + PUT_BACK_AGAIN if is_known else now
    tag_want(version=version, key=key, value=wanted, now=now, due_at=due_at)
    if is_known:
        return
    data = {"version": version.pk, "number": version.number, "tag": key, "from": wanted, "to": seen[:200]}
    summary = (
        f"The tag {key} of {version} was changed outside mlorch to “{seen[:60]}”; mlorch writes “{wanted}” back."
        if wanted
        else f"The tag {key} of {version} was set outside mlorch to “{seen[:60]}”; mlorch takes it away."
    )
    if not seen:
        summary = f"The tag {key} of {version} was removed outside mlorch; mlorch writes “{wanted}” back."
    Finding.objects.create(model=version.model, kind=TAG_CHANGED, summary=summary[:500], data=data, found_at=now)
    audit_record(actor, "tag.changed_outside", audit_subjects.of_version(version), data=data)
    publish("registry", "model.changed", {"model": version.model.name})
