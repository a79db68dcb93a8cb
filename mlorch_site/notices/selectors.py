"""Reads of notices, deliveries and subscriptions. Everything here reads the database."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import EVERYWHERE, Action
from mlorch_site.accounts.selectors import actor_for_user, in_scopes
from mlorch_site.lib.errors import NotFound
from mlorch_site.notices.kinds import NoticeKind, notice_kind
from mlorch_site.notices.lifecycle import Channel, DeliveryStatus, NoticeMode
from mlorch_site.notices.models import Delivery, DeliveryAttempt, Notice, NoticeSettings, Subscription


def notices_visible_to(actor: Actor) -> QuerySet[Notice]:
    """The actor's own notices about what they can see now, newest first."""
    if actor.user is None or not actor.may_anywhere(Action.VIEW):
        return Notice.objects.none()
    return Notice.objects.filter(in_scopes(actor, environment="environment", model="model"), person=actor.user)


def unread(notices: QuerySet[Notice]) -> QuerySet[Notice]:
    """Those of `notices` that are neither read nor done with."""
    return notices.filter(read_at=None, settled_at=None)


def mode_of(person: User, kind: NoticeKind) -> NoticeMode:
    """How a person wants to be told of a kind by e-mail; at once unless they said otherwise."""
    found: NoticeSettings | None = getattr(person, "notice_settings", None)
    mode = NoticeMode((found.modes if found else {}).get(kind.name, NoticeMode.AT_ONCE))
    return mode if mode in kind.modes else NoticeMode.AT_ONCE


def why_not_told(notice: Notice) -> str:
    """Why a person is not told of something any more, by what is true now; empty when they are."""
    kind = notice_kind(notice.kind)
    if kind is None:
        return "This kind of notice is not known any more."
    if notice.settled_at is not None:
        return "It does not wait for the person any more."
    if not notice.person.is_active:
        return "The person is switched off."
    if mode_of(notice.person, kind) is NoticeMode.OFF:
        return "The person wants no e-mail of this kind."
    return kind.why_over(notice.thing) or kind.why_not(actor_for_user(notice.person), notice.thing)


def may_manage(actor: Actor, environments: list[str]) -> bool:
    """Whether the actor may manage what is sent of all these environments; `["*"]` means all there are."""
    if environments == [EVERYWHERE]:
        return actor.may(Action.NOTICE_MANAGE)
    return bool(environments) and all(actor.may(Action.NOTICE_MANAGE, [f"environment:{name}"]) for name in environments)


def subscriptions_visible_to(actor: Actor) -> QuerySet[Subscription]:
    """The subscriptions that have not ended, to those who manage all of their environments (reads the environments of
    all for a scoped actor).
    """
    rows = Subscription.objects.filter(ended_at=None).select_related("created_by")
    if actor.may(Action.NOTICE_MANAGE):
        return rows
    places = rows.values_list("pk", "environments")
    return rows.filter(pk__in=[pk for pk, names in places if may_manage(actor, names)])


def subscription_for(actor: Actor, pk: UUID | str) -> Subscription:
    """One subscription that the actor manages. Raises NotFound."""
    found = subscriptions_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such subscription.")
    return found


def deliveries_visible_to(actor: Actor) -> QuerySet[Delivery]:
    """The deliveries about places whose notices the actor manages, and all of the subscriptions that they manage."""
    tries = Prefetch("tries", DeliveryAttempt.objects.order_by("pk"))
    rows = Delivery.objects.select_related("person", "subscription").prefetch_related(tries)
    if actor.may(Action.NOTICE_MANAGE):
        return rows
    managed = [scope for _, scope in actor.bindings if actor.may(Action.NOTICE_MANAGE, [scope])]
    places = {
        kind: [s.partition(":")[2] for s in managed if s.startswith(f"{kind}:")] for kind in ("environment", "model")
    }
    of_places = Q(environment__in=places["environment"]) | Q(model__in=places["model"])
    mails = Q(channel=Channel.MAIL) & of_places
    return rows.filter(mails | Q(subscription__in=subscriptions_visible_to(actor).values("pk")))


def delivery_for(actor: Actor, pk: UUID | str) -> Delivery:
    """One delivery that the actor manages. Raises NotFound."""
    found = deliveries_visible_to(actor).filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such delivery.")
    return found


@dataclass(frozen=True)
class SendingProblems:
    """What the system page says of e-mail and webhooks."""

    mail_is_configured: bool
    mail_from: str
    without_address: int
    given_up: list[Delivery]
    disabled: list[Subscription]
    waiting: int
    oldest: datetime | None


SHOWN_MAX = 5


def sending_problems(actor: Actor) -> SendingProblems:
    """Whether e-mail is configured, and what could not be sent of what the actor manages."""
    deliveries = deliveries_visible_to(actor)
    waiting = deliveries.filter(status=DeliveryStatus.WAITING, attempts__gt=0).order_by("created_at")
    first = waiting.first()
    return SendingProblems(
        mail_is_configured=settings.MAIL_IS_CONFIGURED,
        mail_from=settings.DEFAULT_FROM_EMAIL,
        without_address=User.objects.filter(is_active=True, email="").count(),
        given_up=list(deliveries.filter(status=DeliveryStatus.GIVEN_UP, seen_at=None)[:SHOWN_MAX]),
        disabled=list(subscriptions_visible_to(actor).exclude(disabled_at=None)[:SHOWN_MAX]),
        waiting=waiting.count(),
        oldest=first.created_at if first else None,
    )


def modes_of(actor: Actor) -> dict[str, str]:
    """How the actor wants to be told, kind → mode, of the kinds that they said something of."""
    found = NoticeSettings.objects.filter(person=actor.user).first() if actor.user else None
    return dict(found.modes) if found else {}


def unread_count(actor: Actor) -> int:
    """How many notices of the actor are neither read nor done with."""
    return unread(notices_visible_to(actor)).count()
