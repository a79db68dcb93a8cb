"""What may be done with a version, and why not: its lifecycle, as pages, services and releases read it."""

from dataclasses import dataclass

from django.db.models import Q

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from registry.lifecycle import LIFECYCLE_MOVES, OUT_OF_USE, LifecycleAct, VersionLifecycle
from registry.models import LifecycleChange, Version
from registry.selectors import why_changed_outside

LIFECYCLE_TAG = "mlorch.lifecycle"
BLOCKING = frozenset({LifecycleAct.BLOCK, LifecycleAct.UNBLOCK})
EFFECTS: dict[LifecycleAct, str] = {
    LifecycleAct.DEPRECATE: "It can still be released, and whoever asks for that is told.",
    LifecycleAct.RETIRE: "It cannot be released any more. Its files leave the artifact store when nothing needs them.",
    LifecycleAct.RESTORE: "It can be released again.",
    LifecycleAct.BLOCK: "It cannot be released, and nothing goes back to it. A rollout of it is taken back. "
    "What it serves already goes on until somebody takes it back.",
    LifecycleAct.UNBLOCK: "It becomes deprecated: it can be released, and whoever asks for that is told.",
}


@dataclass(frozen=True)
class ActOffered:
    """An act as a page offers it; `why_not` is empty when this person may do it now."""

    act: LifecycleAct
    effect: str
    why_not: str


def lifecycle_changes(version: Version) -> list[LifecycleChange]:
    """What was decided about a version, newest first (reads the database)."""
    return list(version.lifecycle_changes.select_related("person"))


def newest_change(version: Version) -> LifecycleChange | None:
    """The decision that holds, None for a version about which nothing was decided (reads the database)."""
    return version.lifecycle_changes.select_related("person").first()


def action_of(act: LifecycleAct) -> Action:
    """What a role has to allow for an act."""
    return Action.VERSION_BLOCK if act in BLOCKING else Action.MODEL_EDIT


def why_not_act(actor: Actor, version: Version, act: LifecycleAct) -> str:
    """Why this actor may not do `act`, whatever state the version is in; empty when it may (reads the database)."""
    if reason := actor.why_not(action_of(act), [version.model.scope]):
        return reason
    if actor.user is None:
        return "This is for a person to decide."
    if act is LifecycleAct.UNBLOCK:
        change = version.lifecycle_changes.filter(act=LifecycleAct.BLOCK).select_related("person").first()
        if change is not None and change.person_id == actor.user.pk:
            return "You blocked it, so somebody else has to unblock it."
    return ""


def acts_offered(actor: Actor, version: Version) -> list[ActOffered]:
    """The acts that the lifecycle has for this version (reads the database)."""
    moves = LIFECYCLE_MOVES[VersionLifecycle(version.lifecycle)]
    return [ActOffered(act, EFFECTS[act], why_not_act(actor, version, act)) for act in moves]


def why_out_of_use(version: Version) -> str:
    """Why a version must not be released, by what people decided about it or about its files; empty when it may (reads
    the database).

    Who registers the files of a blocked version again has another number, and the same files.
    """
    if VersionLifecycle(version.lifecycle) in OUT_OF_USE:
        return _decided(version)
    if not version.digest:
        return ""
    blocked = Version.objects.filter(model=version.model_id, digest=version.digest, lifecycle=VersionLifecycle.BLOCKED)
    same = blocked.exclude(pk=version.pk).select_related("model").first()
    return f"{version} has the files of version {same.number}. {_decided(same)}" if same else ""


def is_blocked(version: Version, digest: str) -> bool:
    """Whether a version, or another one of the model whose files are those of `digest`, is blocked (reads the
    database).
    """
    blocked = Version.objects.filter(model=version.model_id, lifecycle=VersionLifecycle.BLOCKED)
    same = Q(pk=version.pk) | Q(digest=digest) if digest else Q(pk=version.pk)
    return blocked.filter(same).exists()


def why_not_served(version: Version, digest: str) -> str:
    """Why a version whose files had `digest` must not be brought to traffic: what was done to it in MLflow, or decided
    here. Asked at every moment of a release (reads the database).
    """
    return why_changed_outside(version, digest) or why_out_of_use(version)


def note_deprecated(version: Version) -> str:
    """What whoever releases a deprecated version should know; empty for any other (reads the database)."""
    return _decided(version) if version.lifecycle == VersionLifecycle.DEPRECATED else ""


def _decided(version: Version) -> str:
    change = newest_change(version)
    since = f" since {change.at:%Y-%m-%d %H:%M} UTC, by {change.person.username}: {change.reason}" if change else ""
    return f"{version} is {version.lifecycle}{since}".rstrip(".") + "."
