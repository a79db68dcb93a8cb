"""Filters of the inbox that a person keeps."""

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.services import user_subject
from mlorch_site.audit.services import audit_record
from mlorch_site.lib.errors import Forbidden, Invalid, NotFound
from mlorch_site.lib.readable import is_text
from registry.models import SavedFilter

NAME_MAX_CHARS = 60
QUERY_MAX_CHARS = 500
FILTERS_MAX = 30  # of one person


@transaction.atomic
def saved_filter_keep(*, actor: Actor, name: str, query: str) -> SavedFilter:
    """Keep what the inbox is filtered by under a name; the name again replaces it.

    Raises Invalid with the field to blame.
    """
    person = _person(actor)
    name, query = name.strip(), query.strip().removeprefix("?")
    if not 1 <= len(name) <= NAME_MAX_CHARS or not name.isprintable():
        said = f"A name has 1 to {NAME_MAX_CHARS} readable characters."
        raise Invalid(said, details={"name": "missing or too long"})
    if len(query) > QUERY_MAX_CHARS or not is_text(query):
        raise Invalid("This filter is too long to be kept.", details={"query": "too long"})
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    others = SavedFilter.objects.filter(person=person).exclude(name=name)
    if others.count() >= FILTERS_MAX:
        raise Invalid(f"{FILTERS_MAX} filters are kept at most; remove one first.", details={"name": "too many"})
    kept, _ = SavedFilter.objects.update_or_create(person=person, name=name, defaults={"query": query})
    audit_record(actor, "saved_filter.kept", user_subject(person), data={"name": name, "query": query})
    return kept


@transaction.atomic
def saved_filter_remove(*, actor: Actor, number: int) -> None:
    """Remove one of the person's own filters. Raises NotFound."""
    person = _person(actor)
    kept = SavedFilter.objects.filter(person=person, pk=number).first()
    if kept is None:
        raise NotFound("There is no such filter of yours.")
    audit_record(actor, "saved_filter.removed", user_subject(person), data={"name": kept.name})
    kept.delete()


def _person(actor: Actor) -> User:
    actor.require_write()
    if actor.user is None:
        raise Forbidden("Only a person keeps filters.")
    return actor.user
