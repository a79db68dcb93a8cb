"""Deliveries: real receivers, attempts that are claimed and kept, back-off, giving up, and sending once more."""

from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from standardwebhooks import Webhook

from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock, outgoing
from mlorch_site.lib.errors import Conflict, Forbidden, IllegalTransition, Invalid, Unavailable
from mlorch_site.notices import deliveries, limits
from mlorch_site.notices.deliveries import deliveries_forget, delivery_attempt, delivery_replay, due_now, mail_test
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.models import Delivery, DeliveryAttempt, Subscription
from mlorch_site.notices.selectors import deliveries_visible_to, subscriptions_visible_to
from mlorch_site.notices.services import notices_raise
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
from tests.support.receivers import mail_server, webhook_server

NOON = "2026-11-30 12:00Z"
PLACE = ("environment:production", "model:tumours")


@pytest.fixture(autouse=True)
def kind(db, settings):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    register_kind(NoticeKind("thing", "A thing waits", lambda thing: "", lambda actor, thing: ""))
    for position, name in enumerate(("production", "staging")):
        Environment.objects.create(name=name, position=position)


@pytest.fixture
def box(settings):
    with mail_server(settings) as found:
        yield found


@pytest.fixture
def hook():
    with webhook_server() as found:
        yield found


def tell(people, thing="t1", scopes=PLACE):
    User.objects.filter(username="rita").update(email="rita@example.org")
    news = News("thing", thing, f"tumours {thing}", "It waits.", "/approvals/", scopes)
    notices_raise(news=news, people=[people.rita.user.pk])


def attempt(delivery, *, after=timedelta(0)):
    """Let the time of the delivery come, and try it; return it as it is then."""
    delivery.refresh_from_db()
    with time_machine.travel((delivery.due_at or clock.now()) + after, tick=False):
        delivery_attempt(delivery_id=str(delivery.pk), now=clock.now())
    delivery.refresh_from_db()
    return delivery


def subscribe(people, hook, **changes):
    values = {"name": "pager", "url": hook.url, "kinds": ["thing"], "environments": ["production"], **changes}
    return subscription_create(actor=people.ada.actor, wish=SubscriptionWish(**values))


# E-mail


def test_mail__arrives_at_a_real_server_with_the_same_id_however_often_it_is_sent(people, box):
    tell(people)
    delivery = attempt(Delivery.objects.get())
    assert (delivery.status, delivery.attempts, delivery.sent_at is not None) == ("sent", 1, True)
    delivery_replay(actor=people.ada.actor, delivery=delivery)
    assert attempt(delivery).status == "sent"

    first, second = box.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert first["To"] == "rita <rita@example.org>"
    assert [part.get_content_type() for part in first.iter_parts()] == ["text/plain", "text/html"]


def test_mail__refused_for_now__is_tried_later_and_later_and_at_last_given_up_with_a_finding(people, box):
    box.to_recipient = "451 greylisted"
    tell(people)
    delivery, waits = Delivery.objects.get(), []
    for before in (0, 1, limits.ATTEMPTS_MAX - 2):
        Delivery.objects.update(attempts=before)
        at = Delivery.objects.get().due_at
        attempt(delivery)
        waits.append(delivery.due_at - at)
    assert waits == [timedelta(seconds=30), timedelta(seconds=60), limits.RETRY_LAST]
    attempt(delivery)
    assert (delivery.status, delivery.due_at) == ("given_up", None)
    assert AuditRecord.objects.filter(action="delivery.given_up").count() == 1

    browser, told = signed_in("ada"), "Given up: tumours t1. The mail server answered 451: greylisted"
    for page in ("system", "deliveries"):
        assert told in browser.get(reverse(page)).content.decode()
    assert "451" not in signed_in("vik").get(reverse("system")).content.decode()
    browser.post(reverse("delivery-action", args=[delivery.pk, "seen"]))
    assert "Given up:" not in browser.get(reverse("system")).content.decode()


@pytest.mark.parametrize(
    ("to_recipient", "to_data", "status"),
    [("550 no such user", "", "given_up"), ("", "554 spam", "given_up"), ("", "452 disk full", "waiting")],
)
def test_mail__answer_of_the_server__decides_whether_it_is_tried_again(people, box, to_recipient, to_data, status):
    box.to_recipient, box.to_data = to_recipient, to_data
    tell(people)
    delivery = attempt(Delivery.objects.get())
    assert delivery.status == status
    assert (to_recipient or to_data)[:3] in delivery.last_error


def test_mail__server_away__is_tried_again(people, settings):
    settings.MAIL_IS_CONFIGURED, settings.EMAIL_HOST, settings.EMAIL_PORT = True, "127.0.0.1", 1
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    tell(people)
    delivery = attempt(Delivery.objects.get())
    assert (delivery.status, delivery.last_error) == (
        "waiting",
        "The mail server could not be talked to (ConnectionRefusedError).",
    )


def test_test_mail__by_button__arrives_and_without_server_or_address_says_why(people, settings, box):
    with pytest.raises(Forbidden):
        mail_test(actor=people.vik.actor)
    with pytest.raises(Invalid, match="no e-mail address"):
        mail_test(actor=people.ada.actor)
    User.objects.filter(username="ada").update(email="ada@example.org")
    signed_in("ada").post(reverse("mail-test"))
    attempt(Delivery.objects.get())
    assert box.messages[0]["Subject"] == "mlorch: a test of e-mail"
    settings.MAIL_IS_CONFIGURED = False
    browser = signed_in("ada")
    browser.post(reverse("mail-test"))
    page = browser.get(reverse("deliveries")).content.decode()
    assert "No mail server is configured; set MLORCH_SMTP_URL." in page
    assert "No mail server is configured" in signed_in("ada").get(reverse("system")).content.decode()


# Claims


def test_attempt__by_several_at_once_or_too_early__sends_once(people, box):
    tell(people)
    delivery = Delivery.objects.get()
    delivery_attempt(delivery_id=str(delivery.pk), now=delivery.due_at - timedelta(seconds=1))
    assert box.messages == []
    claimed = deliveries._claim(str(delivery.pk), clock.now())
    delivery_attempt(delivery_id=str(delivery.pk), now=clock.now())
    assert (box.messages, claimed.attempts) == ([], 1)


def test_process_dies_while_sending__sent_again_after_the_lease_and_the_attempt_says_so(people, box):
    tell(people)
    deliveries._claim(str(Delivery.objects.get().pk), clock.now())
    assert due_now(clock.now()) == []
    later = clock.now() + limits.LEASE
    assert len(due_now(later)) == 1
    delivery = attempt(Delivery.objects.get())
    assert list(DeliveryAttempt.objects.values_list("number", "outcome")) == [(1, ""), (2, "sent")]
    text = signed_in("ada").get(reverse("delivery", args=[delivery.pk])).content.decode()
    assert "its process ended meanwhile" in text


def test_process_that_dies_each_time__is_given_up_in_the_end(people, box):
    tell(people)
    delivery = Delivery.objects.get()
    for _ in range(limits.ATTEMPTS_MAX):
        delivery.refresh_from_db()
        assert deliveries._claim(str(delivery.pk), delivery.due_at)
    assert attempt(delivery).status == "given_up"
    assert box.messages == []


# Webhooks


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
    assert "Rotate the secret" in attempt(Delivery.objects.get()).last_error
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
    assert attempt(Delivery.objects.get()).status == "dropped"
    assert (ended.sealed_secret, subscriptions_visible_to(people.ada.actor).count()) == ("", 0)


def test_receiver_that_says_a_byte_now_and_then__is_left_after_a_while(people, monkeypatch, settings):
    import socket
    from threading import Thread

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
    form = {"name": "pager", "url": hook.url, "kinds": ["thing"], "environments": ["production"], **change}
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
    form = {"name": "pager", "url": hook.url, "kinds": ["thing"], "environments": ["production"]}
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


def test_old_deliveries__are_forgotten_but_not_those_that_wait(people, hook):
    subscribe(people, hook)
    tell(people)
    later = clock.now() + limits.DELIVERIES_KEPT + timedelta(hours=1)
    assert deliveries_forget(now=later) == 0
    attempt(Delivery.objects.get())
    assert deliveries_forget(now=later) > 0
