"""What people decide about a version: deprecated, retired, blocked, and back."""

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.services import audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid
from mlorch_site.lib.readable import is_text
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.lifecycle import LIFECYCLE_MOVES, FactKind, LifecycleAct, VersionLifecycle
from registry.models import LifecycleChange, Version
from registry.services.facts import facts_note
from registry.services.tags import tag_want
from registry.version_lifecycle import LIFECYCLE_TAG, newest_change, why_not_act
from registry.version_uses import VersionUse, uses_of, uses_seen

LIFECYCLE_REASON_MAX_CHARS = 500
DONE = {
    LifecycleAct.DEPRECATE: "deprecated",
    LifecycleAct.RETIRE: "retired",
    LifecycleAct.RESTORE: "restored",
    LifecycleAct.BLOCK: "blocked",
    LifecycleAct.UNBLOCK: "unblocked",
}


class VersionInUse(Conflict):
    """The version is used, and the act would have let that pass unseen; `details` say where."""

    def __init__(self, text: str, uses: list[VersionUse]) -> None:
        details = {
            "uses": [{"kind": use.kind.value, "sentence": use.sentence, "url": use.url} for use in uses],
            "expects": uses_seen(uses),
        }
        super().__init__(text, code="in_use", details=details)


@transaction.atomic
def version_act(*, actor: Actor, version: Version, act: str, reason: str, expects: str = "") -> Version:
    """Deprecate, retire, restore, block or unblock a version, for a reason that is kept for ever.

    Doing the same again for the same reason is harmless. Nothing that is used is retired. What is used is blocked only
    by whoever has seen where: `expects` is `uses_seen` of that. Raises Invalid, Forbidden, IllegalTransition, and
    VersionInUse with where it is used.
    """
    row = Version.objects.select_for_update(of=("self",)).select_related("model").get(pk=version.pk)
    wanted, reason = _checked(act, reason), reason.strip()
    old = VersionLifecycle(row.lifecycle)
    if _is_done(actor, row, wanted, reason):
        return row
    if refusal := why_not_act(actor, row, wanted):
        raise Forbidden(refusal)
    assert actor.user is not None
    if wanted not in LIFECYCLE_MOVES[old]:
        raise IllegalTransition("version", old, DONE[wanted])
    _check_uses(row, wanted, expects)
    new = LIFECYCLE_MOVES[old][wanted]
    Version.objects.filter(pk=row.pk).update(lifecycle=new)
    row.lifecycle = new
    now = clock.now()
    LifecycleChange.objects.create(version=row, act=wanted, old=old, new=new, reason=reason, person=actor.user, at=now)
    facts_note(row.model, {FactKind.LIFECYCLE: new.value}, version=row)
    tag_want(version=row, key=LIFECYCLE_TAG, value=new.value, now=now)
    data = {"from": old.value, "to": new.value}
    audit_record(actor, f"version.{DONE[wanted]}", audit_subjects.of_version(row), reason=reason, data=data)
    publish("registry", "version.lifecycle", {"model": row.model.name, "version": row.number, "row": row.pk})
    return row


def _checked(act: str, reason: str) -> LifecycleAct:
    if act not in [known.value for known in LifecycleAct]:
        known = ", ".join(LifecycleAct)
        raise Invalid(f"With a version one can do: {known}.", details={"act": "unknown"})
    if not reason.strip() or not is_text(reason):
        raise Invalid("Say why; the reason is kept with the version.", details={"reason": "required"})
    if len(reason) > LIFECYCLE_REASON_MAX_CHARS:
        text = f"A reason has at most {LIFECYCLE_REASON_MAX_CHARS} characters."
        raise Invalid(text, details={"reason": "too long"})
    return LifecycleAct(act)


def _is_done(actor: Actor, row: Version, act: LifecycleAct, reason: str) -> bool:
    """Whether the newest decision is exactly this one: one click that arrives twice."""
    newest = newest_change(row)
    if newest is None or actor.user is None:
        return False
    return (newest.act, newest.reason, newest.person_id) == (act, reason, actor.user.pk)


def _check_uses(row: Version, act: LifecycleAct, expects: str) -> None:
    if act not in (LifecycleAct.RETIRE, LifecycleAct.BLOCK):
        return
    uses = uses_of(row)
    needed = [use for use in uses if use.is_in_the_way]
    if act is LifecycleAct.RETIRE and needed:
        text = f"{row} is in use, so it cannot be retired: {' '.join(use.sentence for use in needed)}"
        raise VersionInUse(text, uses)
    if act is LifecycleAct.BLOCK and uses and expects != uses_seen(uses):
        text = (
            f"{row} is in use: {' '.join(use.sentence for use in uses)} Blocking it takes no traffic away by itself. "
            "Look, and block it again."
        )
        raise VersionInUse(text, uses)
