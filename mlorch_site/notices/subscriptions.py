"""Subscriptions: URLs that are told of kinds of things, by webhooks that are signed with a secret of their own."""

import base64
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.db import transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import EVERYWHERE, Action
from mlorch_site.accounts.scopes import missing_scopes
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, Unavailable
from mlorch_site.lib.outgoing import check_url
from mlorch_site.lib.sealing import seal
from mlorch_site.live.outbox import publish
from mlorch_site.notices import limits
from mlorch_site.notices.actors import NOTICES
from mlorch_site.notices.kinds import TEST, News, kind_label, notice_kind
from mlorch_site.notices.lifecycle import Channel, DeliveryStatus, MessageFormat
from mlorch_site.notices.mail import address_of
from mlorch_site.notices.models import Delivery, Subscription
from mlorch_site.notices.selectors import may_manage
from mlorch_site.notices.slack_message import slack_message

TOPIC = "deliveries"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks begins every secret


@dataclass(frozen=True)
class SubscriptionWish:
    """What a subscription is to be: `environments` are names, or `["*"]` for all."""

    name: str
    url: str
    kinds: list[str]
    environments: list[str]
    format: str = MessageFormat.STANDARD.value


def subscription_create(*, actor: Actor, wish: SubscriptionWish) -> tuple[Subscription, str]:
    """Make a subscription and return it with its secret, which is shown once.

    Raises Invalid (details name the fields), Forbidden unless the actor manages notices in all its environments.
    """
    actor.require_write()
    _check(actor, wish)
    assert actor.user is not None
    secret = _new_secret()
    with transaction.atomic():
        if Subscription.objects.filter(ended_at=None).count() >= limits.SUBSCRIPTIONS_MAX:
            raise Conflict(f"There are {limits.SUBSCRIPTIONS_MAX} subscriptions already; end one that nobody needs.")
        made = Subscription.objects.create(
            name=wish.name.strip(),
            url=wish.url.strip(),
            format=wish.format,
            kinds=sorted(set(wish.kinds)),
            environments=_tidy(wish.environments),
            sealed_secret=seal(secret),
            created_by=actor.user,
            created_at=clock.now(),
        )
        data = {"url": made.shown_url, "format": made.format, "kinds": made.kinds, "environments": made.environments}
        _tell(actor, "subscription.created", made, data=data)
    return made, secret


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(limits.SECRET_BYTES)).decode()


def _tidy(names: list[str]) -> list[str]:
    return [EVERYWHERE] if EVERYWHERE in names else sorted(set(names))


def _check(actor: Actor, wish: SubscriptionWish) -> None:
    """Raise Invalid with a sentence for each field that is wrong, or Forbidden (looks the URL's host up)."""
    problems = {}
    if not 0 < len(wish.name.strip()) <= limits.NAME_MAX_CHARS:
        problems["name"] = f"1 to {limits.NAME_MAX_CHARS} characters."
    if not wish.kinds or any(notice_kind(kind) is None for kind in wish.kinds):
        problems["kinds"] = "Choose at least one kind, of those that are offered."
    if wish.format not in [str(known) for known in MessageFormat]:
        problems["format"] = "Choose how it is told: standard or slack."
    named = [f"environment:{name}" for name in wish.environments if name != EVERYWHERE]
    if not wish.environments or missing_scopes(named):
        problems["environments"] = "Choose environments that exist, or everything."
    elif not may_manage(actor, _tidy(wish.environments)):
        scopes = [] if EVERYWHERE in wish.environments else named
        raise Forbidden(actor.why_not(Action.NOTICE_MANAGE, scopes) or "You do not manage all of these environments.")
    if len(wish.url) > limits.URL_MAX_CHARS:
        problems["url"] = f"At most {limits.URL_MAX_CHARS} characters."
    else:
        try:
            check_url(wish.url.strip())
        except Unavailable as error:
            problems["url"] = error.message
    if problems:
        raise Invalid("The subscription cannot be made like this.", details=problems)


@transaction.atomic
def subscription_rotate(*, actor: Actor, subscription: Subscription) -> tuple[Subscription, str]:
    """Give a subscription another secret and return it once; the former one signs too for a day."""
    subscription = _locked(actor, subscription)
    secret, now = _new_secret(), clock.now()
    subscription.sealed_former, subscription.sealed_secret = subscription.sealed_secret, seal(secret)
    subscription.former_until = now + limits.SECRET_OVERLAP
    subscription.save(update_fields=["sealed_former", "sealed_secret", "former_until"])
    _tell(actor, "subscription.secret_rotated", subscription, data={"former_until": str(subscription.former_until)})
    return subscription, secret


@transaction.atomic
def subscription_disable(*, actor: Actor, subscription: Subscription, reason: str) -> Subscription:
    """Send nothing to it until it is enabled again. Twice is harmless."""
    subscription = _locked(actor, subscription)
    if subscription.disabled_at is None:
        _disable(actor, subscription, reason.strip() or f"Disabled by {actor.name}.")
    return subscription


@transaction.atomic
def subscription_enable(*, actor: Actor, subscription: Subscription) -> Subscription:
    """Send to it again, also what waited meanwhile. Twice is harmless."""
    subscription = _locked(actor, subscription)
    if subscription.disabled_at is not None:
        subscription.disabled_at, subscription.disabled_reason, subscription.failures = None, "", 0
        subscription.save(update_fields=["disabled_at", "disabled_reason", "failures"])
        _tell(actor, "subscription.enabled", subscription)
    return subscription


@transaction.atomic
def subscription_end(*, actor: Actor, subscription: Subscription, reason: str) -> Subscription:
    """End a subscription for good; its history stays, its secrets do not. Twice is harmless."""
    subscription = _locked(actor, subscription)
    if subscription.ended_at is None:
        subscription.ended_at = clock.now()
        subscription.sealed_secret = subscription.sealed_former = ""
        subscription.save(update_fields=["ended_at", "sealed_secret", "sealed_former"])
        waiting = subscription.deliveries.filter(status=DeliveryStatus.WAITING)
        waiting.update(status=DeliveryStatus.DROPPED, due_at=None, last_error="The subscription has ended.")
        _tell(actor, "subscription.ended", subscription, reason=reason)
    return subscription


@transaction.atomic
def subscription_test(*, actor: Actor, subscription: Subscription) -> Delivery:
    """Send a webhook of the type `test`. Raises Conflict while the subscription is disabled."""
    subscription = _locked(actor, subscription)
    if not subscription.is_active:
        raise Conflict("The subscription is disabled; enable it first.")
    news = News(TEST, uuid4().hex, "A test of this subscription", f"Asked for by {actor.name}.", "/")
    made = _delivery_add(subscription, news, clock.now())
    _tell(actor, "subscription.tested", subscription)
    return made


def _locked(actor: Actor, subscription: Subscription) -> Subscription:
    """The row as it is now, locked. Raises Forbidden, Conflict when it has ended."""
    actor.require_write()
    found = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if not may_manage(actor, found.environments):
        actor.require(Action.NOTICE_MANAGE)
    if found.ended_at is not None:
        raise Conflict("The subscription has ended.")
    return found


def _disable(actor: Actor, subscription: Subscription, reason: str) -> None:
    subscription.disabled_at, subscription.disabled_reason = clock.now(), reason[:500]
    subscription.save(update_fields=["disabled_at", "disabled_reason"])
    _tell(actor, "subscription.disabled", subscription, reason=reason)


def webhooks_raise(*, news: News, now: datetime) -> int:
    """Plan a webhook for each active subscription that is about this; once for each thing. Belongs into the transaction
    in which people are told.
    """
    environment, count = news.place("environment"), 0
    for subscription in Subscription.objects.filter(disabled_at=None, ended_at=None):
        is_of_place = subscription.environments == [EVERYWHERE] or environment in subscription.environments
        if is_of_place and news.kind in subscription.kinds:
            _delivery_add(subscription, news, now)
            count += 1
    return count


def _delivery_add(subscription: Subscription, news: News, now: datetime) -> Delivery:
    values = {
        "channel": Channel.WEBHOOK,
        "title": news.title[: limits.TITLE_MAX_CHARS],
        "environment": news.place("environment"),
        "model": news.place("model"),
        "body": _slack_body(news) if subscription.format == MessageFormat.SLACK else _body(news, now),
        "created_at": now,
        "due_at": now,
    }
    made, _ = Delivery.objects.get_or_create(
        subscription=subscription, kind=news.kind, thing=news.thing, occasion=news.occasion, defaults=values
    )
    return made


def _body(news: News, now: datetime) -> str:
    """What the webhook says, as Standard Webhooks has it: type, timestamp, data."""
    data = {
        "thing": news.thing,
        "occasion": news.occasion,
        "title": news.title,
        "sentence": news.sentence,
        "environment": news.place("environment"),
        "model": news.place("model"),
        "url": address_of(news.path),
        **news.data,
    }
    return json.dumps({"type": news.kind, "timestamp": now.isoformat(), "data": data}, separators=(",", ":"))


def _slack_body(news: News) -> str:
    place = " · ".join(name for name in (news.place("environment"), news.place("model")) if name)
    message = slack_message(
        label=kind_label(news.kind), title=news.title, sentence=news.sentence, place=place, path=news.path
    )
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def subscription_succeeded(subscription_id: UUID, *, now: datetime) -> None:
    """Note that a receiver took something."""
    Subscription.objects.filter(pk=subscription_id).update(failures=0, succeeded_at=now)


def subscription_failed(subscription_id: UUID, *, reason: str, is_gone: bool) -> None:
    """Count an attempt that failed; after too many, or when the receiver is gone, the subscription is disabled and that
    is a finding. Belongs into a transaction.
    """
    found = Subscription.objects.select_for_update().filter(pk=subscription_id, ended_at=None).first()
    if found is None:
        return
    found.failures += 1
    found.save(update_fields=["failures"])
    if found.disabled_at is None and (is_gone or found.failures >= limits.FAILURES_MAX):
        why = reason if is_gone else f"{found.failures} attempts failed one after the other. {reason}"
        _disable(NOTICES, found, why)


def _tell(
    actor: Actor, action: str, subscription: Subscription, *, reason: str = "", data: dict[str, object] | None = None
) -> None:
    scopes = tuple(f"environment:{name}" for name in subscription.environments if name != EVERYWHERE)
    subject = Subject("subscription", str(subscription.pk), subscription.name, scopes)
    audit_record(actor, action, subject, reason=reason, data=data)
    publish(TOPIC, "subscription.changed", {"subscription": str(subscription.pk)})
