"""Writing down who may vouch for people, and what their groups give. By who manages people, with a fresh proof."""

from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import F

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import issuer_roles_end
from mlorch_site.accounts.models import IssuerMembership, PersonSession, SignOnIssuer, User
from mlorch_site.accounts.person_sessions import sessions_ended
from mlorch_site.accounts.proof import require_recent_authentication
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.scopes import scope_checked
from mlorch_site.accounts.sign_on.issuers import RULES_MAX, SLUG, rule_of, url_problem
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib.errors import Conflict, Invalid, NotFound
from mlorch_site.lib.sealing import seal

WITHIN_MINUTES = 10  # how old the proof may be of whoever decides who vouches for people
TEXTS = ("name", "url", "client_id", "groups_claim")
SWITCHES = ("is_enabled", "links_verified_address", "counts_as_second_factor")
DAYS_MAX = 366


def _subject(row: SignOnIssuer) -> Subject:
    return Subject("issuer", row.slug, row.name)


def _require(actor: Actor) -> None:
    actor.require(Action.PEOPLE_MANAGE)
    require_recent_authentication(actor, WITHIN_MINUTES)


def written_issuer(slug: str) -> SignOnIssuer:
    """An issuer that somebody wrote down. Raises NotFound, also for one of the file."""
    row = SignOnIssuer.objects.filter(slug=slug).first()
    if row is None:
        raise NotFound(f"No issuer {slug[:40]} was written down here.")
    return row


def _checked(values: dict[str, Any], others: Any) -> dict[str, Any]:
    """The values that are kept, without the secret. Raises Invalid with the field."""
    kept: dict[str, Any] = {name: str(values[name]).strip() for name in TEXTS}
    kept |= {name: bool(values[name]) for name in SWITCHES} | {"binding_days": int(values["binding_days"])}
    if empty := next((name for name in TEXTS if not kept[name]), None):
        raise Invalid("This is needed.", details={empty: "required"})
    if problem := url_problem(kept["url"]):
        raise Invalid(problem, details={"url": "malformed"})
    if others.filter(url=kept["url"]).exists():
        raise Invalid("Another issuer has this address.", details={"url": "taken"})
    if not 1 <= kept["binding_days"] <= DAYS_MAX:
        raise Invalid(f"Between 1 and {DAYS_MAX} days.", details={"binding_days": "out of range"})
    return kept


@transaction.atomic
def issuer_create(*, actor: Actor, slug: str, secret: str, **values: Any) -> SignOnIssuer:
    """Write down an issuer; nobody gets anything from it before it has rules.

    Raises Invalid with the field that is wrong, ProofNeeded, Forbidden.
    """
    _require(actor)
    if not SLUG.match(slug):
        raise Invalid("Small letters, digits and hyphens, 40 at most.", details={"slug": "malformed"})
    if SignOnIssuer.objects.filter(slug=slug).exists():
        raise Invalid("Another issuer has this short name.", details={"slug": "taken"})
    kept = _checked(values, SignOnIssuer.objects.all())
    row = SignOnIssuer.objects.create(slug=slug, secret=seal(secret.strip()) if secret.strip() else "", **kept)
    audit_record(actor, "issuer.created", _subject(row), data={**kept, "secret": bool(row.secret)})
    return row


def _fresh(row: SignOnIssuer, expected: int) -> SignOnIssuer:
    fresh = SignOnIssuer.objects.select_for_update().get(pk=row.pk)
    if fresh.version != expected:
        raise Conflict("Somebody else changed this issuer. Look again, then decide.")
    SignOnIssuer.objects.filter(pk=row.pk).update(version=F("version") + 1)
    return fresh


@transaction.atomic
def issuer_edit(*, actor: Actor, row: SignOnIssuer, expected: int, secret: str, **values: Any) -> SignOnIssuer:
    """Change an issuer; an empty secret leaves the one it has. At another address its subjects are other people.

    Switched off, what it gave and its sessions end at once. Raises Conflict when it is not as `expected` any more,
    Invalid with the field that is wrong.
    """
    _require(actor)
    row = _fresh(row, expected)
    kept = _checked(values, SignOnIssuer.objects.exclude(pk=row.pk))
    changed = {name: value for name, value in kept.items() if getattr(row, name) != value}
    if secret.strip():
        changed["secret"] = seal(secret.strip())
    SignOnIssuer.objects.filter(pk=row.pk).update(**changed)
    if changed:
        told = {name: value for name, value in changed.items() if name != "secret"}
        audit_record(actor, "issuer.edited", _subject(row), data={**told, "secret": "secret" in changed})
    row.refresh_from_db()
    if "url" in changed or not row.is_enabled:
        _stop(actor, row)
    return row


def _stop(actor: Actor, row: SignOnIssuer) -> None:
    reason = f"{row.name} does not vouch for anybody here any more."
    issuer_roles_end(actor=actor, issuer=row.slug, still=set(), reason=reason)
    _memberships_end(row, set())
    sessions = list(PersonSession.objects.filter(issuer=row.slug).select_related("user"))
    for user in {session.user for session in sessions}:
        sessions_ended(actor, user, [session for session in sessions if session.user == user], reason)


def _memberships_end(row: SignOnIssuer, still: set[str]) -> None:
    ending = IssuerMembership.objects.filter(issuer=row.slug).exclude(group__name__in=still).select_related("group")
    for membership in ending:
        membership.delete()
        others = IssuerMembership.objects.filter(user=membership.user_id, group=membership.group)
        if not others.exists():
            User.objects.get(pk=membership.user_id).groups.remove(membership.group)


@transaction.atomic
def rule_add(
    *, actor: Actor, row: SignOnIssuer, expected: int, group: str, role: str, scope: str, member_of: str
) -> SignOnIssuer:
    """Let a group of the issuer give something, from the next sign-on of each person on. Twice is harmless.

    Raises Invalid for a rule that gives nothing, or in a scope of nothing that exists.
    """
    _require(actor)
    row = _fresh(row, expected)
    rule = rule_of({"group": group, "role": role, "scope": scope if role else "", "member_of": member_of})
    if rule.role:
        scope_checked(rule.scope)
    if len(row.rules) >= RULES_MAX:
        raise Invalid(f"An issuer has {RULES_MAX} rules at most.")
    if asdict(rule) not in row.rules:
        SignOnIssuer.objects.filter(pk=row.pk).update(rules=[*row.rules, asdict(rule)])
        audit_record(actor, "issuer.rule_added", _subject(row), data=asdict(rule))
    row.refresh_from_db()
    return row


@transaction.atomic
def rule_remove(*, actor: Actor, row: SignOnIssuer, expected: int, number: int) -> SignOnIssuer:
    """Take a rule away, and at once what no other rule of the issuer gives. Raises NotFound, Conflict."""
    _require(actor)
    row = _fresh(row, expected)
    if not 0 <= number < len(row.rules):
        raise NotFound("There is no such rule.")
    gone = row.rules[number]
    left = [rule for place, rule in enumerate(row.rules) if place != number]
    SignOnIssuer.objects.filter(pk=row.pk).update(rules=left)
    audit_record(actor, "issuer.rule_removed", _subject(row), data=gone)
    reason = f"{row.name}: the rule for the group {gone['group']} was taken away."
    still = {(rule["role"], rule["scope"]) for rule in left if rule["role"]}
    issuer_roles_end(actor=actor, issuer=row.slug, still=still, reason=reason[:300])
    _memberships_end(row, {rule["member_of"] for rule in left if rule["member_of"]})
    row.refresh_from_db()
    return row
