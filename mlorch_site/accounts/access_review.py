"""The access review: every binding of today and of the past, of people and of service accounts, for those who look
whether they still need what they hold; with who vouches for them and what they prove themselves with.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import Max

from mlorch_site.accounts.access import held_at
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import ApiToken, RoleBinding, User
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.services import Subject, audit_record

READ_AT_ONCE = 1000
COLUMNS = [
    "person",
    "full_name",
    "kind",
    "owner",
    "active",
    "works",
    "role",
    "scope",
    "state",
    "given_at",
    "given_by",
    "given_by_oneself",
    "sign_on",
    "reason",
    "expires_at",
    "ended_at",
    "ended_by",
    "end_reason",
    "last_sign_in_at",
    "last_sign_in_by",
    "last_token_use_at",
    "second_factors",
    "recovery_codes_left",
]


@transaction.atomic
def access_review_note(*, actor: Actor, form: str) -> None:
    """Record that the access review was exported as `form`. Raises Forbidden for those who may not read all records."""
    actor.require(Action.AUDIT_VIEW)
    audit_record(actor, "access.exported", Subject("access", "review", "access review"), data={"form": form})


def access_review_rows(now: datetime) -> Iterator[dict[str, Any]]:
    """Each binding with its person, and each person without any; times are ISO 8601 in UTC, or None."""
    used = ApiToken.objects.filter(last_used_at__isnull=False).values_list("user").annotate(Max("last_used_at"))
    last_use, factors, proofs = dict(used.order_by()), _factors(), _last_proofs()
    bindings = RoleBinding.objects.select_related("user__owner", "given_by", "ended_by")
    for binding in bindings.order_by("user__username", "pk").iterator(chunk_size=READ_AT_ONCE):
        known = _of_person(binding.user, last_use, factors, proofs)
        yield {name: {**known, **_of_binding(binding, now)}[name] for name in COLUMNS}
    bare = User.objects.filter(bindings=None).select_related("owner").order_by("username")
    for user in bare.iterator(chunk_size=READ_AT_ONCE):
        nothing = {**dict.fromkeys(COLUMNS), "role": "", "state": "no role", "given_by_oneself": False, "sign_on": ""}
        yield {**nothing, **_of_person(user, last_use, factors, proofs)}


def _factors() -> dict[int, dict[str, int]]:
    """Person → kind of factor → how many; of recovery codes, how many are left."""
    found: dict[int, dict[str, int]] = {}
    for person, kind, data in Authenticator.objects.values_list("user", "type", "data"):
        count = len(data["digests"]) if kind == Authenticator.Type.RECOVERY_CODES else 1
        kinds = found.setdefault(person, {})
        kinds[kind] = kinds.get(kind, 0) + count
    return found


def _last_proofs() -> dict[str, str]:
    """Person's key → how the newest of their sign-ins was proven, as the record says."""
    begun = AuditRecord.objects.filter(action__startswith="session.begun", subject_kind="person")
    newest = begun.values("subject_id").annotate(newest=Max("sequence")).values("newest")
    rows = AuditRecord.objects.filter(sequence__in=newest).values_list("subject_id", "data")
    return {person: str(data.get("proven_by", "password")) for person, data in rows}


def _of_person(
    user: User, last_use: dict[int, datetime], factors: dict[int, dict[str, int]], proofs: dict[str, str]
) -> dict[str, Any]:
    own = factors.get(user.pk, {})
    words = {Authenticator.Type.TOTP: "authenticator app", Authenticator.Type.WEBAUTHN: "passkey"}
    return {
        "person": user.username,
        "full_name": user.get_full_name(),
        "kind": "service account" if user.is_service else "person",
        "owner": user.owner.username if user.owner else "",
        "active": user.is_active,
        "works": user.may_act,
        "last_sign_in_at": _text(user.last_login),
        "last_sign_in_by": proofs.get(str(user.pk), ""),
        "last_token_use_at": _text(last_use.get(user.pk)),
        "second_factors": ", ".join(f"{own[kind]} {word}" for kind, word in words.items() if kind in own),
        "recovery_codes_left": own.get(Authenticator.Type.RECOVERY_CODES, 0),
    }


def _of_binding(binding: RoleBinding, now: datetime) -> dict[str, Any]:
    held = held_at(binding, now)
    return {
        "role": binding.role,
        "scope": binding.scope,
        "state": held.state,
        "given_at": _text(binding.given_at),
        "given_by": held.given_by,
        "given_by_oneself": binding.is_given_by_oneself,
        "sign_on": binding.issuer,
        "reason": binding.reason,
        "expires_at": _text(binding.expires_at),
        "ended_at": _text(binding.ended_at),
        "ended_by": binding.ended_by.username if binding.ended_by else "",
        "end_reason": binding.end_reason,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
