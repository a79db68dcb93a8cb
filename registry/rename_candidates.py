"""A model that is gone and others that are there: which of them it may be, why, and what saying so would change.

The mirror follows a rename by itself where a version proves it. What is listed here is weaker, so a person decides.
"""

from dataclasses import dataclass
from datetime import timedelta
from difflib import SequenceMatcher
from typing import Any

from django.db.models import Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.hashing import content_hash
from registry.models import Model, Version
from registry.selectors import models_visible_to

CANDIDATES_MAX = 5
NAMES_ALIKE = 0.6  # difflib's ratio; 1 for the same name
SOON = timedelta(hours=1)
STRONG, WEAK = 10, 1  # what a reason weighs

type_Reasons = dict[int, list[tuple[int, str]]]


@dataclass(frozen=True)
class RenameCandidate:
    """A model that the missing one may be, the reasons, and why it cannot be, empty when it can."""

    model: Model
    reasons: list[str]
    why_not: str


@dataclass(frozen=True)
class RenameEffect:
    """What it changes that `found` is the missing model.

    `arriving` are the numbers of versions that come from `found`; `superseded` those of them that the missing model had
    too, with the same files; `absent` those that only the missing model had. `aliases` maps those that are written to
    MLflow again to the version's number. `expects` says what was looked at: it differs when either model has changed.
    """

    arriving: list[int]
    superseded: list[int]
    absent: list[int]
    aliases: dict[str, int]
    why_not: str
    expects: str


def rename_candidates(actor: Actor, missing: Model) -> list[RenameCandidate]:
    """The models that the missing one may be, likeliest first; only those that the actor may see (reads the
    database).
    """
    models = models_visible_to(actor).exclude(pk=missing.pk)
    reasons: type_Reasons = {}
    _shared_versions(missing, models, reasons)
    for pk in models.filter(created_at=missing.created_at).values_list("pk", flat=True):
        reasons.setdefault(pk, []).append((STRONG, "It was made at the same moment."))
    for pk, name, created_at, description in models.values_list("pk", "name", "created_at", "description"):
        if missing.description and description == missing.description:
            reasons.setdefault(pk, []).append((WEAK, "It has the same description."))
        if SequenceMatcher(None, missing.name, name).ratio() >= NAMES_ALIKE:
            reasons.setdefault(pk, []).append((WEAK, "The names are alike."))
        if missing.deleted_at is not None and abs(missing.deleted_at - created_at) <= SOON:
            reasons.setdefault(pk, []).append((WEAK, "It was made when the other one went."))
    likeliest = sorted(reasons, key=lambda pk: (-sum(weight for weight, _ in reasons[pk]), pk))[:CANDIDATES_MAX]
    rows = models.in_bulk(likeliest)
    return [
        RenameCandidate(rows[pk], [sentence for _, sentence in reasons[pk]], rename_effect(missing, rows[pk]).why_not)
        for pk in likeliest
    ]


def _shared_versions(missing: Model, models: QuerySet[Model], reasons: "type_Reasons") -> None:
    """Add a reason for each model that has a version with the same files, or from the same run."""
    ours = list(_present(missing))
    digests = {version.digest: version.number for version in ours if version.digest}
    runs = {version.run_id: version.number for version in ours if version.run_id}
    shared = Q(digest__in=digests) | Q(run_id__in=runs)
    said: set[tuple[int, str]] = set()
    for theirs in Version.objects.filter(shared, superseded_at=None, model__in=models).order_by("number"):
        what, number = "has the same files as", digests.get(theirs.digest)
        if number is None:
            what, number = "comes from the same run as", runs[theirs.run_id]
        if (theirs.model_id, what) not in said:
            said.add((theirs.model_id, what))
            sentence = f"Its version {theirs.number} {what} version {number} of {missing}."
            reasons.setdefault(theirs.model_id, []).append((STRONG, sentence))


def _present(model: Model) -> QuerySet[Version]:
    return model.versions.filter(superseded_at=None)


def rename_effect(missing: Model, found: Model) -> RenameEffect:
    """What would change if `found` were declared to be `missing` (reads the database)."""
    ours = {version.number: version for version in _present(missing)}
    theirs = {version.number: version for version in _present(found)}
    both = sorted(ours.keys() & theirs.keys())
    aliases = {
        intent.name: intent.version_number
        for intent in missing.alias_intents.filter(version__superseded_at=None)
        if intent.version_number is not None and intent.version_number in both
    }
    return RenameEffect(
        arriving=sorted(theirs),
        superseded=both,
        absent=sorted(ours.keys() - theirs.keys()),
        aliases=aliases,
        why_not=_why_not(missing, found, [(ours[number], theirs[number]) for number in both]),
        expects=content_hash([_seen(missing), _seen(found)]),
    )


def _why_not(missing: Model, found: Model, both: list[tuple[Version, Version]]) -> str:
    if missing.deleted_at is None:
        return f"{missing} is in MLflow."
    if found.deleted_at is not None:
        return f"{found} was deleted in MLflow too."
    if found.endpoints.exists():
        return f"{found} has endpoints of its own, so it is another model."
    if found.policies.exists() or found.drafts.exists():
        return f"{found} has lines of policy of its own, so it is another model."
    for ours, theirs in both:
        if not ours.digest or not theirs.digest:
            return f"Both have a version {ours.number}, and its files are not known of both."
        if ours.digest != theirs.digest:
            return f"Both have a version {ours.number}, with different files, so they are two models."
    return ""


def _seen(model: Model) -> dict[str, Any]:
    """What of a model a person has looked at before declaring."""
    return {
        "model": [model.pk, model.name, str(model.created_at), str(model.deleted_at)],
        "versions": [
            [version.pk, version.number, version.status, version.digest, str(version.superseded_at)]
            for version in model.versions.order_by("pk")
        ],
        "endpoints": [str(pk) for pk in model.endpoints.order_by("pk").values_list("pk", flat=True)],
        "policies": list(model.policies.order_by("pk").values_list("pk", flat=True)),
        "intents": [list(row) for row in model.alias_intents.order_by("name").values_list("name", "version_id")],
    }
