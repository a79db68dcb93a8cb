"""The access review: every binding of today and of the past, for those who look whether people still need what they
hold.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max

from mlorch_site.accounts.access import held_at
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import ApiToken, RoleBinding
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record

READ_AT_ONCE = 1000
COLUMNS = [
    "person",
    "full_name",
    "active",
    "role",
    "scope",
    "state",
    "given_at",
    "given_by",
    "given_by_oneself",
    "reason",
    "expires_at",
    "ended_at",
    "ended_by",
    "end_reason",
    "last_sign_in_at",
    "last_token_use_at",
]


@transaction.atomic
def access_review_note(*, actor: Actor, form: str) -> None:
    """Record that the access review was exported as `form`. Raises Forbidden for those who may not read all records."""
    actor.require(Action.AUDIT_VIEW)
    audit_record(actor, "access.exported", Subject("access", "review", "access review"), data={"form": form})


def access_review_rows(now: datetime) -> Iterator[dict[str, Any]]:
    """Each binding with its person, the oldest first; times are ISO 8601 in UTC, or None."""
    used = ApiToken.objects.filter(last_used_at__isnull=False).values_list("user").annotate(Max("last_used_at"))
    last_use = dict(used.order_by())
    bindings = RoleBinding.objects.select_related("user", "given_by", "ended_by").order_by("user__username", "pk")
    for binding in bindings.iterator(chunk_size=READ_AT_ONCE):
        yield _row(binding, now, last_use.get(binding.user_id))


def _row(binding: RoleBinding, now: datetime, last_token_use_at: datetime | None) -> dict[str, Any]:
    user, held = binding.user, held_at(binding, now)
    return {
        "person": user.username,
        "full_name": user.get_full_name(),
        "active": user.is_active,
        "role": binding.role,
        "scope": binding.scope,
        "state": held.state,
        "given_at": _text(binding.given_at),
        "given_by": held.given_by,
        "given_by_oneself": binding.is_given_by_oneself,
        "reason": binding.reason,
        "expires_at": _text(binding.expires_at),
        "ended_at": _text(binding.ended_at),
        "ended_by": binding.ended_by.username if binding.ended_by else "",
        "end_reason": binding.end_reason,
        "last_sign_in_at": _text(user.last_login),
        "last_token_use_at": _text(last_token_use_at),
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
