"""Deliveries: a real mail server, attempts that are claimed and kept, back-off, giving up, and sending once more."""

from datetime import timedelta

import pytest
from django.urls import reverse

from mlorch_site.accounts.models import User
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.notices import deliveries, limits
from mlorch_site.notices.deliveries import deliveries_forget, delivery_attempt, delivery_replay, due_now, mail_test
from mlorch_site.notices.kinds import NoticeKind, register_kind
from mlorch_site.notices.models import Delivery, DeliveryAttempt
from registry.models import Environment
from tests.support.live import signed_in
from tests.support.receivers import mail_server, webhook_server
from tests.support.sending import attempt, subscribe, tell


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


def test_old_deliveries__are_forgotten_but_not_those_that_wait(people, hook):
    subscribe(people, hook)
    tell(people)
    later = clock.now() + limits.DELIVERIES_KEPT + timedelta(hours=1)
    assert deliveries_forget(now=later) == 0
    attempt(Delivery.objects.get())
    assert deliveries_forget(now=later) > 0
