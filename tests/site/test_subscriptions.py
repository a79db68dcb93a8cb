"""Webhook subscriptions against a real receiver: signatures, secrets, failures, and who may manage which."""

import socket
from datetime import timedelta
from threading import Thread

import pytest
import time_machine
from django.urls import reverse
from standardwebhooks import Webhook

from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock, outgoing
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid, Unavailable
from mlorch_site.notices import limits
from mlorch_site.notices.deliveries import delivery_attempt, delivery_replay, due_now
from mlorch_site.notices.kinds import NoticeKind, register_kind
from mlorch_site.notices.models import Delivery, Subscription
from mlorch_site.notices.selectors import deliveries_visible_to, subscriptions_visible_to
from mlorch_site.notices.subscriptions import (
    SubscriptionWish,
    subscription_create,
    subscription_disable,
    subscription_enable,
    subscription_end,
    subscription_rotate,
    subscription_test,
)
from registry.models import Environment
from tests.factories import make_person
from tests.support.live import signed_in
from tests.support.receivers import webhook_server
from tests.support.sending import attempt, subscribe, tell

NOON = "2026-11-30 12:00Z"


@pytest.fixture(autouse=True)
def kind(db, settings):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    register_kind(NoticeKind("thing", "A thing waits", lambda thing: "", lambda actor, thing: ""))
    for position, name in enumerate(("production", "staging")):
        Environment.objects.create(name=name, position=position)


@pytest.fixture
def hook():
    with webhook_server() as found:
        yield found


def test_webhook__is_signed_as_the_standard_has_it_and_its_retry_is_the_same_message(people, hook):
    subscription, secret = subscribe(people, hook)
    hook.status = 503
    tell(people)
    tell(people, thing="t2", scopes=("environment:staging",))
    [delivery] = Delivery.objects.filter(channel="webhook")
    assert attempt(delivery).status == "waiting"
    hook.status = 204
    assert attempt(delivery).status == "sent"

    first, second = hook.heard
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.message_id
    with time_machine.travel(int(second.headers["webhook-timestamp"]), tick=False):
        told = Webhook(secret).verify(second.body, second.headers)
    assert (told["type"], told["data"]["environment"], told["data"]["model"]) == ("thing", "production", "tumours")
    subscription.refresh_from_db()
    assert (subscription.failures, subscription.succeeded_at is not None) == (0, True)
    assert secret not in str(Subscription.objects.values().get()) + str(list(AuditRecord.objects.values("data")))


def test_secret__rotated__both_sign_for_a_day_then_only_the_later_one(people, hook):
    subscription, old = subscribe(people, hook)
    with time_machine.travel(NOON, tick=False):
        _, new = subscription_rotate(actor=people.ada.actor, subscription=subscription)
        tell(people)
        delivery_attempt(delivery_id=str(Delivery.objects.get().pk), now=clock.now())
        for secret in (old, new):
            assert Webhook(secret).verify(hook.heard[0].body, hook.heard[0].headers)
    with time_machine.travel(NOON, tick=False) as traveller:
        traveller.shift(limits.SECRET_OVERLAP)
        subscription_test(actor=people.ada.actor, subscription=subscription)
        delivery_attempt(delivery_id=str(Delivery.objects.get(kind="test").pk), now=clock.now())
        assert len(hook.heard[1].headers["webhook-signature"].split()) == 1
        assert Webhook(new).verify(hook.heard[1].body, hook.heard[1].headers)


def test_key_of_the_site__another_one__says_that_the_secret_is_to_be_rotated(people, hook, settings):
    subscribe(people, hook)
    tell(people)
    settings.SECRET_KEY = "z" * 60
    assert "set the secret anew" in attempt(Delivery.objects.get()).last_error
    assert hook.heard == []


@pytest.mark.parametrize("status", [301, 307])
def test_webhook__redirected__is_not_followed(people, hook, status):
    subscribe(people, hook)
    hook.status = status
    tell(people)
    assert attempt(Delivery.objects.get()).last_error == f"The receiver answered {status}; redirects are not followed."


def test_webhook__too_many_failures__disables_the_subscription_with_a_finding_and_nothing_more_is_sent(people, hook):
    subscription, _ = subscribe(people, hook)
    Subscription.objects.update(failures=limits.FAILURES_MAX - 1)
    hook.status = 500
    tell(people)
    attempt(Delivery.objects.get())
    tell(people, thing="t2")

    subscription.refresh_from_db()
    assert f"{limits.FAILURES_MAX} attempts failed" in subscription.disabled_reason
    assert Delivery.objects.count() == 1
    assert due_now(clock.now() + timedelta(days=1)) == []
    text = signed_in("ada").get(reverse("system")).content.decode()
    assert "The webhook subscription pager is disabled." in text
    with pytest.raises(Conflict):
        subscription_test(actor=people.ada.actor, subscription=subscription)
    subscription_enable(actor=people.ada.actor, subscription=subscription)
    assert len(due_now(clock.now() + timedelta(days=1))) == 1


def test_webhook__receiver_that_is_gone__disables_at_once(people, hook):
    subscription, _ = subscribe(people, hook)
    hook.status = 410
    tell(people)
    assert attempt(Delivery.objects.get()).status == "given_up"
    subscription.refresh_from_db()
    assert subscription.disabled_at is not None


def test_webhook__of_an_ended_subscription__is_dropped_and_its_secret_is_gone(people, hook):
    subscription, _ = subscribe(people, hook)
    tell(people)
    ended = subscription_end(actor=people.ada.actor, subscription=subscription, reason="moved")
    assert Delivery.objects.get().status == "dropped"
    assert (ended.sealed_secret, subscriptions_visible_to(people.ada.actor).count()) == ("", 0)


def test_receiver_that_says_a_byte_now_and_then__is_left_after_a_while(people, monkeypatch, settings):
    monkeypatch.setattr(outgoing, "WHOLE_CALL_S", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))

    def drip():
        peer, _ = listener.accept()
        try:
            while True:
                peer.sendall(b"H")
                peer.settimeout(0.02)
                try:
                    if not peer.recv(4096):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        peer.close()

    thread = Thread(target=drip)
    thread.start()
    with pytest.raises(Unavailable):
        outgoing.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", b"{}", "application/json")
    thread.join()
    listener.close()


def test_slow_receiver__takes_only_some_of_each_tick(people, hook):
    subscribe(people, hook)
    subscribe(people, hook, name="other")
    for number in range(9):
        tell(people, thing=f"t{number}")
    assert len(due_now(clock.now())) == 2 * limits.DUE_PER_SUBSCRIPTION


# Who may


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user:secret@example.org/"}, "url"),
        ({"url": "x" * 600}, "url"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["nothing"]}, "kinds"),
        ({"environments": []}, "environments"),
        ({"environments": ["atlantis"]}, "environments"),
        ({"name": " "}, "name"),
    ],
)
def test_subscription__that_cannot_be__names_the_field_and_loses_nothing(people, hook, change, field):
    with pytest.raises(Invalid) as refused:
        subscribe(people, hook, **change)
    assert list(refused.value.details) == [field]
    form = {
        "name": "pager",
        "url": hook.url,
        "format": "standard",
        "kinds": ["thing"],
        "environments": ["production"],
        **change,
    }
    page = signed_in("ada").post(reverse("subscriptions"), form)
    assert page.status_code == 400
    assert Subscription.objects.count() == 0
    if field != "name":
        assert 'value="pager"' in page.content.decode()


def test_subscription__to_a_public_address__needs_tls(people, hook, monkeypatch):
    monkeypatch.setattr(outgoing, "vetted_address", lambda host, port: "93.184.216.34")
    with pytest.raises(Invalid) as refused:
        subscribe(people, hook, url="http://example.org/hook")
    assert refused.value.details == {"url": "Only https is spoken to public addresses."}


def test_scoped_administrator__manages_what_lies_in_the_own_environment_only(people, hook):
    scoped = make_person("stella", [(Role.ADMINISTRATOR, "environment:staging")])
    mine, _ = subscription_create(actor=scoped.actor, wish=SubscriptionWish("mine", hook.url, ["thing"], ["staging"]))
    both, _ = subscribe(people, hook, environments=["production", "staging"])
    for environments in (["*"], ["production"], ["production", "staging"]):
        with pytest.raises(Forbidden):
            subscription_create(actor=scoped.actor, wish=SubscriptionWish("x", hook.url, ["thing"], environments))
    assert list(subscriptions_visible_to(scoped.actor)) == [mine]
    with pytest.raises(Forbidden):
        subscription_disable(actor=scoped.actor, subscription=both, reason="")
    tell(people)
    tell(people, thing="t2", scopes=("environment:staging",))
    assert {one.thing for one in deliveries_visible_to(scoped.actor)} == {"t2"}
    assert {one.subscription for one in deliveries_visible_to(scoped.actor)} <= {mine, None}
    assert signed_in("stella").get(reverse("subscription", args=[both.pk])).status_code == 404


@pytest.mark.parametrize("who", ["vik", "emma", "rita", "oscar", "mona"])
def test_others__reach_no_door(people, who):
    browser = signed_in(who)
    for where in (reverse("deliveries"), reverse("subscriptions"), "/api/v1/deliveries", "/api/v1/subscriptions"):
        assert browser.get(where).status_code == 403, where
    assert browser.post(reverse("mail-test")).status_code == 403
    body = {"name": "x", "url": "https://example.org/", "kinds": ["thing"], "environments": ["*"]}
    assert browser.post("/api/v1/subscriptions", body, content_type="application/json").status_code == 403


def test_pages_and_rest__make_test_rotate_replay_and_end(people, hook):
    browser = signed_in("ada")
    form = {"name": "pager", "url": hook.url, "format": "standard", "kinds": ["thing"], "environments": ["production"]}
    page = browser.post(reverse("subscriptions"), form).content.decode()
    subscription = Subscription.objects.get()
    secret = page[page.index("whsec_") :].partition("<")[0]
    assert "whsec_" not in browser.get(reverse("subscriptions")).content.decode()
    own = reverse("subscription", args=[subscription.pk])
    browser.post(own + "test/")
    delivery = attempt(Delivery.objects.get())
    assert (
        Webhook(secret).sign(
            delivery.message_id, clock.from_unix(int(hook.heard[0].headers["webhook-timestamp"])), delivery.body
        )
        in hook.heard[0].headers["webhook-signature"]
    )
    rotated = browser.post(own + "rotate/").content.decode()
    assert "whsec_" in rotated
    assert secret not in rotated
    assert "Sent" in browser.get(own).content.decode()
    api = f"/api/v1/subscriptions/{subscription.pk}"
    assert browser.post(api + "/test").status_code == 202
    assert browser.post(f"/api/v1/deliveries/{delivery.pk}/replay").json()["status"] == "waiting"
    with pytest.raises(IllegalTransition):
        delivery_replay(actor=people.ada.actor, delivery=Delivery.objects.get(pk=delivery.pk))
    assert browser.post(api + "/disable").json()["disabled_reason"] == "Disabled by ada."
    browser.post(own + "test/")
    assert "The subscription is disabled; enable it first." in browser.get(own).content.decode()
    assert browser.post(api + "/enable").json()["disabled_at"] is None
    assert browser.get("/api/v1/subscriptions").json()["count"] == 1
    assert browser.post(own + "end/").status_code == 303
    assert browser.get(own).status_code == 404
