"""Models that got another name in the registry: our row follows, with everything that hangs on it."""

from datetime import datetime

from mlorch_site.accounts.bindings import scope_unbind
from mlorch_site.audit.services import audit_record
from mlorch_site.live.outbox import publish
from registry import audit_subjects
from registry.actors import MIRROR
from registry.backends.base import SeenModel, SeenVersion
from registry.lifecycle import FactKind
from registry.models import Finding, Model
from registry.services.facts import facts_note

MODEL_RENAMED = "model_renamed"

type_Identities = set[tuple[int, datetime, str, str]]


def find_renames(seen: list[SeenModel], versions: dict[str, list[SeenVersion]]) -> dict[Model, str]:
    """Our row → the name that its model has now.

    A model under a new name is the one that we know when it was made at the same moment and has one of its versions, by
    number and identity. A name alone says nothing: it may have been given to another model.
    """
    known = {model.name: model for model in Model.objects.filter(deleted_at=None)}
    news = [model for model in seen if model.name not in known or known[model.name].created_at != model.created_at]
    here = {model.name for model in seen} - {model.name for model in news}
    away = [model for name, model in known.items() if name not in here]
    renames: dict[Model, str] = {}
    for found in news:
        theirs = {(version.number, *version.identity) for version in versions[found.name]}
        same = [row for row in away if row.created_at == found.created_at and _identities(row) & theirs]
        if len(same) == 1:
            renames[same[0]] = found.name
    return renames


def _identities(model: Model) -> "type_Identities":
    return {(version.number, *version.identity) for version in model.versions.filter(superseded_at=None)}


def unbind_name(name: str) -> None:
    """End the roles that were given for another model of this name: they say nothing about the one that has it now."""
    scope_unbind(actor=MIRROR, scope=Model.scope_of(name), reason="Another model has this name in MLflow now.")


def model_renamed(*, model: Model, name: str, now: datetime) -> None:
    """Give our row the name that its model has in the registry. Belongs into the transaction of the sync."""
    old = model.name
    Model.objects.filter(pk=model.pk).update(name=name)
    model.name = name
    facts_note(model, {FactKind.NAME: name})
    summary = (
        f"{old} was renamed to {name} in MLflow. Its versions, endpoints, releases and approvals followed; role "
        f"bindings to model:{old} did not."
    )
    data = {"from": old, "to": name}
    Finding.objects.create(model=model, kind=MODEL_RENAMED, summary=summary, data=data, found_at=now)
    audit_record(MIRROR, "model.renamed_outside", audit_subjects.of_model(model), data=data)
    unbind_name(name)
    for changed in (old, name):
        publish("registry", "model.changed", {"model": changed})
