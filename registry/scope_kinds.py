"""What roles can be bound to in the registry: environments, and models."""

from collections.abc import Collection

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.scopes import OFFERED_MAX, ScopeKind, register_kind
from registry.models import Environment, Model
from registry.selectors import environments_visible_to


def environments_existing(names: Collection[str]) -> set[str]:
    return set(Environment.objects.filter(name__in=names).values_list("name", flat=True))


def environments_offered(text: str) -> list[str]:
    return list(Environment.objects.filter(name__icontains=text).values_list("name", flat=True)[:OFFERED_MAX])


def environments_visible(actor: Actor) -> list[str]:
    return list(environments_visible_to(actor).values_list("name", flat=True))


def models_existing(names: Collection[str]) -> set[str]:
    """Those that were not deleted."""
    return set(Model.objects.filter(deleted_at=None, name__in=names).values_list("name", flat=True))


def models_offered(text: str) -> list[str]:
    known = Model.objects.filter(deleted_at=None, name__icontains=text)
    return list(known.values_list("name", flat=True)[:OFFERED_MAX])


def register_all() -> None:
    """Called once, when the app is ready."""
    register_kind(ScopeKind("environment", environments_existing, environments_offered, environments_visible))
    register_kind(ScopeKind("model", models_existing, models_offered))
