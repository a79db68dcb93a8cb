"""Known flaws of packages, and what requirements resolve to."""

import hashlib
from datetime import timedelta

from django.db import IntegrityError, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict
from mlorch_site.live.outbox import publish
from registry.evidence.advisories import read_advisories
from registry.models import Advisory, AdvisorySet, Resolution

NAME_MAX_CHARS = 200
ROWS_AT_ONCE = 2_000
UNFINISHED_KEPT = timedelta(minutes=15)  # far longer than loading takes


def advisories_load(*, actor: Actor, name: str, raw: bytes) -> AdvisorySet:
    """Load an advisory file, and let it be the one in force; until then the one before stays.

    The same file again changes nothing. Raises Invalid for a file that cannot be taken, which changes nothing either,
    and Conflict while another process loads the same one.
    """
    actor.require(Action.POLICY_EDIT)
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    known = AdvisorySet.objects.filter(digest=digest, is_current=True).first()
    if known is not None:
        return known
    read = read_advisories(raw)
    now = clock.now()
    AdvisorySet.objects.filter(is_current=False, loaded_at__lt=now - UNFINISHED_KEPT).delete()
    as_of = min(read.as_of, now)  # what says that it is of tomorrow is not fresh for longer
    made, is_ours = AdvisorySet.objects.get_or_create(
        digest=digest, defaults={"name": name[:NAME_MAX_CHARS], "count": read.count, "as_of": as_of, "loaded_at": now}
    )
    if not is_ours:
        raise Conflict(
            "The advisory file is being loaded by another process, or was cut off minutes ago; try it later."
        )
    for begin in range(0, len(read.rows), ROWS_AT_ONCE):
        part = read.rows[begin : begin + ROWS_AT_ONCE]
        Advisory.objects.bulk_create(
            Advisory(source=made, package=row.package, number=row.number, content=row.content) for row in part
        )
    try:
        _let_rule(actor, made)
    except IntegrityError as error:
        made.delete()
        raise Conflict("Another advisory file came into force at this very moment; load this one again.") from error
    return made


@transaction.atomic
def _let_rule(actor: Actor, made: AdvisorySet) -> None:
    """Put a set that is whole in force, in place of the one before."""
    before = AdvisorySet.objects.select_for_update().filter(is_current=True).first()
    if before is not None:
        AdvisorySet.objects.filter(pk=before.pk).update(is_current=False)
    AdvisorySet.objects.filter(pk=made.pk).update(is_current=True)
    made.is_current = True
    data = {
        "digest": made.digest,
        "count": made.count,
        "as_of": made.as_of.isoformat(),
        "before": before.digest if before else "",
    }
    audit_record(actor, "advisories.loaded", Subject("advisories", str(made.pk), made.name), data=data)
    publish("registry", "advisories.loaded", {"digest": made.digest})
    if before is not None:
        before.delete()


@transaction.atomic
def resolution_keep(*, key: str, installed: list[str], has_own_environment: bool, sandbox: str) -> Resolution:
    """Keep what requirements were resolved to when they were installed. What was kept before under the key is replaced.

    No act of its own: the gate that installed them leaves its evidence.
    """
    values = {
        "installed": installed,
        "has_own_environment": has_own_environment,
        "sandbox": sandbox,
        "at": clock.now(),
    }
    row, _ = Resolution.objects.update_or_create(key=key, defaults=values)
    return row
