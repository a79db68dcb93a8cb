"""Things that are told, attempts to send them, and subscriptions that are told of them."""

import time_machine

from mlorch_site.accounts.models import User
from mlorch_site.lib import clock
from mlorch_site.notices.deliveries import delivery_attempt
from mlorch_site.notices.kinds import News
from mlorch_site.notices.services import notices_raise
from mlorch_site.notices.subscriptions import SubscriptionWish, subscription_create

PLACE = ("environment:production", "model:tumours")


def tell(people, thing="t1", scopes=PLACE):
    User.objects.filter(username="rita").update(email="rita@example.org")
    news = News("thing", thing, f"tumours {thing}", "It waits.", "/approvals/", scopes)
    notices_raise(news=news, people=[people.rita.user.pk])


def attempt(delivery):
    """Let the time of the delivery come, and try it; return it as it is then."""
    delivery.refresh_from_db()
    with time_machine.travel(delivery.due_at or clock.now(), tick=False):
        delivery_attempt(delivery_id=str(delivery.pk), now=clock.now())
    delivery.refresh_from_db()
    return delivery


def subscribe(people, hook, **changes):
    values = {"name": "pager", "url": hook.url, "kinds": ["thing"], "environments": ["production"], **changes}
    return subscription_create(actor=people.ada.actor, wish=SubscriptionWish(**values))
