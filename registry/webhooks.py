"""Deliveries of MLflow's webhooks: verified, de-duplicated, and taken as a hint to look.

Signature as MLflow makes it: `v1,` + base64(HMAC-SHA256(secret, delivery id "." timestamp "." raw body)).
"""

import base64
import hashlib
import hmac
import json
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mlorch_site.accounts.route_permission import signed_delivery
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, TooLarge, Unauthenticated
from registry.models import WebhookDelivery
from registry.tasks import sync

log = structlog.get_logger(__name__)

AGE_MAX_S = 300
BODY_MAX_BYTES = 256 * 1024
ID_MAX_CHARS = 64
TEXT_MAX_CHARS = 300
KEPT_KEYS = ("name", "version", "alias")


def signature_of(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The signature that MLflow sends for a delivery."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def verify(headers: Any, body: bytes, *, now: float) -> str:
    """The delivery's id. Raises Unauthenticated for a missing, wrong or old signature."""
    delivery_id = headers.get("X-MLflow-Delivery-Id", "")
    timestamp = headers.get("X-MLflow-Timestamp", "")
    given = headers.get("X-MLflow-Signature", "")
    if not settings.MLFLOW_WEBHOOK_SECRET:
        raise Unauthenticated("No webhook secret is set, so no delivery can be trusted.")
    if not delivery_id or len(delivery_id) > ID_MAX_CHARS or not (timestamp.isascii() and timestamp.isdigit()):
        raise Unauthenticated("The delivery's id or timestamp is missing or malformed.")
    wanted = signature_of(settings.MLFLOW_WEBHOOK_SECRET, delivery_id, timestamp, body)
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        raise Unauthenticated("The signature is wrong.")
    if abs(now - int(timestamp)) > AGE_MAX_S:
        raise Unauthenticated(f"The delivery is more than {AGE_MAX_S} s old.")
    return str(delivery_id)


def _storable(text: str) -> str:
    """The text without what no database keeps."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _kept(data: Any) -> dict[str, str]:
    """What is worth keeping of a delivery: which model, version and alias it was about."""
    given = data if isinstance(data, dict) else {}
    return {key: _storable(str(given[key]))[:TEXT_MAX_CHARS] for key in KEPT_KEYS if key in given}


@signed_delivery
@csrf_exempt
@require_POST
def mlflow_webhook(request: HttpRequest) -> JsonResponse:
    """Take a delivery of MLflow: 200 when it is new or known, 401 when it cannot be trusted."""
    if len(request.body) > BODY_MAX_BYTES:
        raise TooLarge(f"A delivery has at most {BODY_MAX_BYTES} bytes.")
    now = clock.now()
    delivery_id = verify(request.headers, request.body, now=now.timestamp())
    try:
        content = json.loads(request.body)
        event = _storable(f"{content['entity']}.{content['action']}"[:80])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid("The delivery is not an MLflow event.") from error
    try:
        with transaction.atomic():
            WebhookDelivery.objects.create(
                delivery_id=delivery_id, event=event, received_at=now, data=_kept(content.get("data"))
            )
    except IntegrityError:
        return JsonResponse({"status": "known"})
    log.info("webhook.received", event_name=event)
    transaction.on_commit(sync.delay, robust=True)
    return JsonResponse({"status": "accepted"})
