"""Signed webhooks as Standard Webhooks has them: posted to a vetted address, without redirects, within limits."""

from standardwebhooks import Webhook

from mlorch_site.lib import clock
from mlorch_site.lib.errors import Unavailable
from mlorch_site.lib.outgoing import post
from mlorch_site.lib.sealing import unseal
from mlorch_site.notices.kinds import TEST, notice_kind
from mlorch_site.notices.models import Delivery, Subscription
from mlorch_site.notices.send_results import NothingToTell, RefusedForGood

USER_AGENT = "mlorch-webhooks"
GONE = 410


def webhook_post(delivery: Delivery) -> int:
    """Post the body of a delivery; return the status of the answer.

    Raises NothingToTell for a subscription that has ended and for what does not wait any more, RefusedForGood when the
    receiver says that it is gone, Unavailable for every other answer than success.
    """
    subscription = delivery.subscription
    if subscription is None or subscription.ended_at is not None:
        raise NothingToTell("The subscription has ended.")
    kind = notice_kind(delivery.kind)
    if delivery.kind != TEST and (reason := kind.why_over(delivery.thing) if kind else "The kind is not known."):
        raise NothingToTell(reason)
    body = delivery.body.encode()
    status = post(subscription.url, body, "application/json", headers_of_webhook(subscription, delivery, body))
    if status == GONE:
        raise RefusedForGood(f"The receiver answered {GONE}: it is gone.")
    if 300 <= status < 400:
        raise Unavailable(f"The receiver answered {status}; redirects are not followed.")
    if not 200 <= status < 300:
        raise Unavailable(f"The receiver answered {status}.")
    return status


def headers_of_webhook(subscription: Subscription, delivery: Delivery, body: bytes) -> dict[str, str]:
    """What a receiver proves a webhook by: its id, the moment, and a signature of each secret that holds now."""
    now = clock.now()
    secrets = [unseal(subscription.sealed_secret)]
    if subscription.former_until is not None and subscription.former_until > now:
        secrets.append(unseal(subscription.sealed_former))
    signatures = [Webhook(secret).sign(delivery.message_id, now, body.decode()) for secret in secrets]
    return {
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        "User-Agent": USER_AGENT,
    }
