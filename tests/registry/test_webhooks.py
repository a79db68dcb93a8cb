"""Deliveries of MLflow: only signed, fresh ones count, and each only once."""

import json

import pytest
import time_machine

from registry import webhooks
from registry.models import WebhookDelivery

SECRET = "a shared secret"
AT = 1_787_000_000
BODY = b'{"entity":"model_version_alias","action":"created","data":{"name":"fraud","alias":"champion","version":"7"}}'
# Computed apart from this code: printf '%s' 'd-1.1787000000.<BODY>' | openssl dgst -sha256 -hmac 'a shared secret'
# -binary | base64
KNOWN_SIGNATURE = "v1,bwlG8QspflYr1oxQPulkNI1a3Wvhhw9AnYoY5BsjYJ4="


@pytest.fixture
def looks(monkeypatch):
    """The list of looks that deliveries asked for."""
    asked: list[int] = []
    monkeypatch.setattr(webhooks.sync, "delay", lambda: asked.append(1))
    return asked


@pytest.fixture
def deliver(client, settings, db, looks, django_capture_on_commit_callbacks):
    settings.MLFLOW_WEBHOOK_SECRET = SECRET

    def post(body: bytes = BODY, *, at: float = AT, timestamp: str = str(AT), number: str = "d-1", signature: str = ""):
        headers = {
            "X-MLflow-Delivery-Id": number,
            "X-MLflow-Timestamp": timestamp,
            "X-MLflow-Signature": signature or webhooks.signature_of(SECRET, number, timestamp, body),
        }
        with time_machine.travel(at, tick=False), django_capture_on_commit_callbacks(execute=True):
            return client.post("/webhooks/mlflow", body, content_type="application/json", headers=headers)

    return post


def test_signature__known_vector__agrees_with_openssl():
    assert webhooks.signature_of(SECRET, "d-1", str(AT), BODY) == KNOWN_SIGNATURE


def test_delivery__signed__accepted_and_asks_for_one_look(deliver, looks):
    assert deliver().json() == {"status": "accepted"}
    assert looks == [1]
    kept = WebhookDelivery.objects.get()
    assert kept.event == "model_version_alias.created"
    assert kept.data == {"name": "fraud", "alias": "champion", "version": "7"}


def test_delivery__repeated__known_and_asks_for_nothing(deliver, looks):
    deliver()
    assert deliver().json() == {"status": "known"}
    assert looks == [1]


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "v1,AAAA"},
        {"signature": "é"},
        {"signature": KNOWN_SIGNATURE.removeprefix("v1,")},
        {"signature": KNOWN_SIGNATURE, "body": BODY.replace(b"7", b"8")},
        {"signature": KNOWN_SIGNATURE, "number": "d-2"},
        {"timestamp": "soon"},
        {"timestamp": "²"},
        {"number": "x" * 65},
        {"at": AT + 301},
        {"at": AT - 301},
    ],
)
def test_delivery__that_cannot_be_trusted__401_and_nothing_kept(deliver, looks, changes):
    answer = deliver(**changes)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert not WebhookDelivery.objects.exists()
    assert looks == []


def test_delivery__no_secret_set__401(deliver, settings):
    settings.MLFLOW_WEBHOOK_SECRET = ""
    assert deliver(signature=webhooks.signature_of("", "d-1", str(AT), BODY)).status_code == 401


def test_delivery__too_large__413(deliver):
    assert deliver(b"x" * (webhooks.BODY_MAX_BYTES + 1)).status_code == 413


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"entity": "x"}', b"7", b"[" * 100_000])
def test_delivery__signed_but_no_event__400(deliver, body):
    assert deliver(body).status_code == 400


def test_delivery__hostile_texts__are_cut(deliver):
    event = {"entity": "a\0" * 20 + "\ud800", "action": "b", "data": {"name": "n\0\udfff" * 1000, "value": "secret"}}
    assert deliver(json.dumps(event).encode()).status_code == 200
    kept = WebhookDelivery.objects.get()
    assert "\0" not in kept.event + kept.data["name"]
    assert len(kept.data["name"]) <= webhooks.TEXT_MAX_CHARS
    assert set(kept.data) == {"name"}
