"""Sending: one attempt at a time, each claimed by a lease, and tried again later and later until it is given up.

A process that dies between sending and noting it leaves an attempt without an outcome, and the message is sent again
when the lease is over: so it can arrive twice, under the same id, and never silently not at all.
"""

from datetime import datetime
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models import QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, IllegalTransition, Invalid, Unavailable
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from mlorch_site.notices import limits
from mlorch_site.notices.actors import NOTICES
from mlorch_site.notices.kinds import TEST
from mlorch_site.notices.lifecycle import DELIVERY_MOVES, Channel, DeliveryStatus
from mlorch_site.notices.mail import is_mail_configured, mail_send
from mlorch_site.notices.models import Delivery, DeliveryAttempt
from mlorch_site.notices.posting import webhook_post
from mlorch_site.notices.send_results import NothingToTell, RefusedForGood
from mlorch_site.notices.subscriptions import TOPIC, subscription_failed, subscription_succeeded

log = structlog.get_logger(__name__)


def deliveries_due(now: datetime) -> QuerySet[Delivery]:
    """What is to be sent now; what is for a disabled subscription waits until it is enabled."""
    waiting = Delivery.objects.filter(due_at__lte=now, status=DeliveryStatus.WAITING)
    return waiting.filter(subscription__disabled_at=None).order_by("due_at")


def due_now(now: datetime) -> list[str]:
    """The ids of what this tick sends: of a subscription only some, so that a slow receiver holds up nobody else."""
    chosen: list[str] = []
    of_subscription: dict[object, int] = {}
    for pk, subscription in deliveries_due(now).values_list("pk", "subscription")[: limits.DUE_PER_TICK * 10]:
        count = of_subscription.get(subscription, 0)
        if subscription is None or count < limits.DUE_PER_SUBSCRIPTION:
            of_subscription[subscription] = count + 1
            chosen.append(str(pk))
    return chosen[: limits.DUE_PER_TICK]


def delivery_attempt(*, delivery_id: str, now: datetime) -> None:
    """Try to send one delivery that is due. Asking twice sends once: whoever comes second finds it claimed."""
    delivery = _claim(delivery_id, now)
    if delivery is None:
        return
    began, status = clock.now(), None
    try:
        status = _send(delivery)
        outcome: DomainError | None = None
    except DomainError as error:
        outcome = error
    except Exception as error:  # of a library: one delivery stops no other
        log.exception("delivery.failed", delivery=delivery_id)
        outcome = Unavailable(f"It failed unexpectedly ({type(error).__name__}).")
    took_ms = int((clock.now() - began).total_seconds() * 1000)
    with transaction.atomic():
        tried = {"outcome": "failed" if outcome else "sent", "status": status, "duration_ms": max(took_ms, 0)}
        tried |= {"error": (outcome.message if outcome else "")[:500]}
        delivery.tries.filter(number=delivery.attempts).update(**tried)
        _note(delivery, outcome)


def _send(delivery: Delivery) -> int | None:
    if delivery.channel == Channel.WEBHOOK:
        return webhook_post(delivery)
    mail_send(delivery)
    return None


@transaction.atomic
def _claim(delivery_id: str, now: datetime) -> Delivery | None:
    """The delivery, with an attempt begun, for whoever moved its time; None for everybody else."""
    rows = Delivery.objects.select_related("person__notice_settings", "subscription")
    delivery = rows.filter(pk=delivery_id, status=DeliveryStatus.WAITING).first()
    if delivery is None or not delivery.is_due(now):
        return None
    if delivery.attempts >= limits.ATTEMPTS_MAX:
        _end(delivery, DeliveryStatus.GIVEN_UP, "Every attempt ended without an outcome.")
        return None
    if not swap(delivery, "due_at", "status", due_at=now + limits.LEASE, attempts=delivery.attempts + 1):
        return None
    DeliveryAttempt.objects.create(delivery=delivery, number=delivery.attempts, at=now)
    return delivery


def _note(delivery: Delivery, outcome: DomainError | None) -> None:
    """Write how the attempt ended, unless its lease ran out and somebody else has the delivery."""
    if outcome is None:
        _end(delivery, DeliveryStatus.SENT, "", sent_at=clock.now())
    elif isinstance(outcome, NothingToTell):
        _end(delivery, DeliveryStatus.DROPPED, outcome.message)
    elif isinstance(outcome, RefusedForGood) or delivery.attempts >= limits.ATTEMPTS_MAX:
        _end(delivery, DeliveryStatus.GIVEN_UP, outcome.message)
    else:
        wait = min(limits.RETRY_FIRST * 2 ** (delivery.attempts - 1), limits.RETRY_LAST)
        swap(delivery, "due_at", "status", due_at=clock.now() + wait, last_error=outcome.message[:500])
    if delivery.subscription_id is not None:
        _count(delivery.subscription_id, outcome)
    publish(TOPIC, "delivery.changed", {"delivery": str(delivery.pk)})


def _count(subscription_id: UUID, outcome: DomainError | None) -> None:
    """Let the subscription know whether its receiver took it."""
    if outcome is None:
        subscription_succeeded(subscription_id, now=clock.now())
    elif not isinstance(outcome, NothingToTell):
        is_gone = isinstance(outcome, RefusedForGood)
        subscription_failed(subscription_id, reason=outcome.message, is_gone=is_gone)


def _end(delivery: Delivery, to: DeliveryStatus, reason: str, **values: object) -> None:
    if to not in DELIVERY_MOVES[DeliveryStatus(delivery.status)]:
        raise IllegalTransition("delivery", delivery.status, to)
    changed = swap(delivery, "due_at", "status", status=to.value, due_at=None, last_error=reason[:500], **values)
    if changed and to is DeliveryStatus.GIVEN_UP:
        log.error("delivery.given_up", delivery=str(delivery.pk), attempts=delivery.attempts)
        audit_record(NOTICES, "delivery.given_up", delivery_subject(delivery), reason=reason)


@transaction.atomic
def delivery_replay(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Send a delivery once more, under the same id, with all its attempts anew. Raises Forbidden, IllegalTransition
    for one that still waits or is not needed any more, and Conflict while its subscription is disabled.
    """
    _require(actor, delivery)
    if DeliveryStatus.WAITING not in DELIVERY_MOVES[DeliveryStatus(delivery.status)]:
        raise IllegalTransition("delivery", delivery.status, "waiting", delivery.last_error)
    if delivery.subscription is not None and not delivery.subscription.is_active:
        raise Conflict("The subscription is disabled; enable it first.")
    first = delivery.tries.order_by("-number").values_list("number", flat=True).first() or 0
    if not swap(delivery, "status", status=DeliveryStatus.WAITING.value, due_at=clock.now(), attempts=0, seen_at=None):
        raise Conflict("The delivery changed at the same moment; look again.")
    audit_record(actor, "delivery.replayed", delivery_subject(delivery), data={"attempts_before": first})
    publish(TOPIC, "delivery.changed", {"delivery": str(delivery.pk)})
    return delivery


@transaction.atomic
def delivery_seen(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Note that somebody knows of a delivery that was given up; it is no finding any more. Twice is harmless."""
    _require(actor, delivery)
    if delivery.status != DeliveryStatus.GIVEN_UP:
        raise Conflict("Only a delivery that was given up has to be taken note of.")
    if swap(delivery, "seen_at", seen_at=delivery.seen_at or clock.now()):
        audit_record(actor, "delivery.seen", delivery_subject(delivery), reason=delivery.last_error)
        publish(TOPIC, "delivery.changed", {"delivery": str(delivery.pk)})
    return delivery


@transaction.atomic
def mail_test(*, actor: Actor) -> Delivery:
    """Send the actor an e-mail that says nothing. Raises Invalid without an address, Unavailable without a server."""
    if not actor.may_anywhere(Action.NOTICE_MANAGE):
        actor.require(Action.NOTICE_MANAGE)
    assert actor.user is not None
    if not is_mail_configured():
        raise Unavailable("No mail server is configured; set MLORCH_SMTP_URL.", code="mail_not_configured")
    if not actor.user.email:
        raise Invalid("You have no e-mail address; an administrator sets it.", details={"email": "missing"})
    now = clock.now()
    delivery = Delivery.objects.create(
        channel=Channel.MAIL,
        person=actor.user,
        kind=TEST,
        thing=uuid4().hex,
        title="A test of e-mail",
        created_at=now,
        due_at=now,
    )
    audit_record(actor, "delivery.tested", delivery_subject(delivery))
    publish(TOPIC, "delivery.changed", {"delivery": str(delivery.pk)})
    return delivery


def _require(actor: Actor, delivery: Delivery) -> None:
    actor.require_write()
    places = [
        f"{kind}:{name}" for kind, name in (("environment", delivery.environment), ("model", delivery.model)) if name
    ]
    if delivery.subscription is not None:
        places = [f"environment:{name}" for name in delivery.subscription.environments if name != "*"]
    actor.require(Action.NOTICE_MANAGE, places)


def delivery_subject(delivery: Delivery) -> Subject:
    """How the audit record names a delivery."""
    scopes = (f"environment:{delivery.environment}",) if delivery.environment else ()
    return Subject("delivery", str(delivery.pk), delivery.title, scopes)


def deliveries_forget(*, now: datetime) -> int:
    """Delete deliveries that ended long ago; return how many."""
    old = Delivery.objects.filter(created_at__lt=now - limits.DELIVERIES_KEPT)
    return old.exclude(status=DeliveryStatus.WAITING).delete()[0]
