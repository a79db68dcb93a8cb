"""Notices: one for each person and thing, seen by who may see the thing, e-mailed as the person wants it."""

from dataclasses import replace
from datetime import timedelta
from email.utils import getaddresses

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.urls import reverse

from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.notices import limits, tasks
from mlorch_site.notices.deliveries import delivery_attempt
from mlorch_site.notices.kinds import News, NoticeKind, register_kind
from mlorch_site.notices.models import Delivery, Notice, NoticeSettings
from mlorch_site.notices.selectors import notices_visible_to, unread_count
from mlorch_site.notices.services import (
    next_digest,
    notice_read,
    notice_settings_set,
    notices_forget,
    notices_raise,
    notices_settle,
)
from tests.factories import make_person, take_role
from tests.support.live import signed_in

OVER: dict[str, str] = {}  # thing → why nobody is to be told of it any more
SCOPES = ("environment:production", "model:tumours")


@pytest.fixture(autouse=True)
def kind(db, settings):
    settings.MAIL_IS_CONFIGURED = True
    OVER.clear()
    register_kind(NoticeKind("thing", "A thing waits", lambda thing: OVER.get(thing, ""), why_not, waits=True))
    register_kind(NoticeKind("alarm", "An alarm", lambda thing: "", lambda actor, thing: "", must_mail=True))


def why_not(actor, thing):
    return "" if actor.roles_in(SCOPES) else "The person cannot see it any more."


def news(thing="t1", kind="thing", **changes):
    values = {"title": f"tumours {thing}", "sentence": "It waits.", "path": "/approvals/", "scopes": SCOPES}
    return News(kind=kind, thing=thing, **{**values, **changes})


def tell(*people, **changes):
    User.objects.filter(email="").update(email="somebody@example.org")
    return notices_raise(news=news(**changes), people=[person.user.pk for person in people])


def send_due():
    """Send what is due, as the tick and its tasks do; return the deliveries' statuses."""
    for pk in tasks.due_now(clock.now()):
        delivery_attempt(delivery_id=pk, now=clock.now())
    return list(Delivery.objects.order_by("created_at").values_list("status", flat=True))


def test_raise__twice__is_one_notice_and_one_email(people):
    assert [tell(people.rita, people.oscar), tell(people.rita, people.oscar)] == [2, 0]

    assert send_due() == send_due() == ["sent", "sent"]
    assert (Notice.objects.count(), len(mail.outbox)) == (2, 2)
    assert tell(people.rita, occasion="again") == 1


def test_email__says_the_thing_in_two_forms_and_leads_to_its_page(people, settings):
    settings.WEB_URL = "https://mlorch.example.org/"
    tell(people.rita)
    send_due()

    [message] = mail.outbox
    [(html, mimetype)] = message.alternatives
    assert (message.subject, mimetype) == ("mlorch: A thing waits: tumours t1", "text/html")
    for text in (message.body, html):
        assert "https://mlorch.example.org/approvals/" in text
        assert "It waits." in text
    assert message.extra_headers["Message-ID"] == f"<{Delivery.objects.get().pk}@mlorch.example.org>"
    assert message.message()["Auto-Submitted"] == "auto-generated"


HOSTILE = ["x\r\nBcc: evil@example.org", "a\nb\tc", "\u202egnp.exe\u200b", "<script>alert(1)</script>"]


@pytest.mark.parametrize("name", HOSTILE)
def test_email__of_a_hostile_name__has_its_own_headers_only(people, name):
    people.rita.user.first_name = "Rita\r\nCc: evil@example.org"
    people.rita.user.save()
    tell(people.rita, title=name, sentence=name)
    send_due()

    [message] = mail.outbox
    parsed = message.message()
    assert parsed["Bcc"] is None is parsed["Cc"]
    assert [address for _, address in getaddresses(message.to)] == ["somebody@example.org"]
    assert all(letter.isprintable() for letter in message.subject)
    assert "<script>" not in message.alternatives[0][0]
    assert "\u202e" not in message.body


@pytest.mark.parametrize("change", ["over", "role", "inactive", "off", "settled"])
def test_email__of_what_is_not_to_be_told_any_more__is_dropped_with_the_reason(people, change):
    tell(people.rita)
    if change == "over":
        OVER["t1"] = "It is decided."
    elif change == "role":
        take_role(people.ada.actor, people.rita.user, Role.REVIEWER)
    elif change == "inactive":
        User.objects.filter(pk=people.rita.user.pk).update(is_active=False)
    elif change == "off":
        notice_settings_set(actor=people.rita.actor, modes={"thing": "off"})
    else:
        notices_settle(kinds=["thing"], thing="t1")

    assert send_due() == ["dropped"]
    assert mail.outbox == []
    assert Delivery.objects.get().last_error


@pytest.mark.parametrize("why", ["no server", "no address", "off"])
def test_raise__without_a_way_to_mail__is_on_the_page_only(people, settings, why):
    settings.MAIL_IS_CONFIGURED = why != "no server"
    notice_settings_set(actor=people.rita.actor, modes={"thing": "off" if why == "off" else "at_once"})
    if why == "no address":
        assert notices_raise(news=news(), people=[people.rita.user.pk]) == 1
    else:
        tell(people.rita)

    assert Delivery.objects.count() == 0
    assert unread_count(people.rita.actor) == 1


def test_digest__takes_what_still_waits_once_in_the_morning_of_the_person(people):
    User.objects.filter(pk=people.rita.user.pk).update(time_zone="America/New_York", email="rita@example.org")
    notice_settings_set(actor=people.rita.actor, modes={"thing": "digest"})
    people.rita.user.refresh_from_db()
    with time_machine.travel("2026-11-30 12:30Z", tick=False):
        for thing in ("t1", "t2", "t3"):
            tell(people.rita, thing=thing)
        assert next_digest(people.rita.user, clock.now()).isoformat() == "2026-11-30T08:00:00-05:00"
        assert not tasks.tick_is_due()
        OVER["t2"] = "It is decided."
        notice_read(actor=people.rita.actor, notice_id=Notice.objects.get(thing="t3").pk)
    with time_machine.travel("2026-11-30 13:00Z", tick=False):
        assert tasks.tick_is_due()
        assert [tasks.digests_make(now=clock.now()), tasks.digests_make(now=clock.now())] == [1, 0]
        assert send_due() == ["sent"]
        assert not tasks.tick_is_due()

    [message] = mail.outbox
    assert message.subject == "mlorch: 1 thing, 1 waiting for you"
    assert [f"tumours {thing}" in message.body for thing in ("t1", "t2", "t3")] == [True, False, False]
    assert NoticeSettings.objects.get().digest_due_at is None


def test_settings__what_cannot_be__is_refused_by_name_and_nothing_is_lost(people):
    notice_settings_set(actor=people.rita.actor, modes={"thing": "off"})
    with pytest.raises(Invalid) as refused:
        notice_settings_set(
            actor=people.rita.actor,
            modes={
                "thing": "at_once",
                "alarm": "off",
                "other": "off",
            },
        )
    assert set(refused.value.details) == {"alarm", "other"}
    assert NoticeSettings.objects.get().modes == {"thing": "off"}
    assert AuditRecord.objects.filter(action="person.notices_set").count() == 1

    page = signed_in("rita").post(reverse("notice-settings"), {"thing": "digest", "alarm": "off"})
    assert page.status_code == 400
    assert "This e-mail cannot be switched off." in page.content.decode()


def test_notices__of_a_place_out_of_sight__are_neither_listed_nor_counted_nor_opened(people):
    lena = make_person("lena", [(Role.REVIEWER, "environment:production"), (Role.VIEWER, "environment:staging")])
    tell(lena)
    tell(lena, thing="t2", scopes=("environment:staging",))
    browser, notice = signed_in("lena"), Notice.objects.get(thing="t1")
    assert "tumours t1" in browser.get(reverse("notices")).content.decode()
    take_role(people.ada.actor, lena.user, Role.REVIEWER)

    actor = actor_for_user(lena.user)
    assert [one.thing for one in notices_visible_to(actor)] == ["t2"]
    assert unread_count(actor) == 1
    assert "tumours t1" not in browser.get(reverse("notices") + "?tab=all").content.decode()
    assert browser.get(reverse("notice-open", args=[notice.pk])).status_code == 404
    assert browser.post(f"/api/v1/notices/{notice.pk}/read").status_code == 404


def test_page__lists_reads_and_leads_to_the_thing(people):
    tell(people.rita)
    tell(people.rita, thing="t2", title="<b>bold</b>")
    browser = signed_in("rita")
    text = browser.get(reverse("notices")).content.decode()
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert 'aria-label="Notices, 2 unread"' in text
    opened = browser.get(reverse("notice-open", args=[Notice.objects.get(thing="t1").pk]))
    assert (opened.status_code, opened.headers["Location"]) == (302, "/approvals/")
    assert "1 unread" in browser.get(reverse("bell")).content.decode()
    browser.post(reverse("notices-read"))
    assert "none unread" in browser.get(reverse("bell")).content.decode()
    assert "Nothing unread" in browser.get(reverse("notices")).content.decode()


def test_notices__of_another_person__are_not_there(people):
    tell(people.rita)
    notice = Notice.objects.get()
    assert signed_in("ada").get(reverse("notice-open", args=[notice.pk])).status_code == 404
    assert Client().get(reverse("notices")).status_code == 302
    assert signed_in("ada").get("/api/v1/notices").json()["results"] == []
    assert signed_in("rita").get("/api/v1/notices").json()["results"][0]["title"] == "tumours t1"


def test_rest__settings_and_reading(people):
    tell(people.rita)
    browser = signed_in("rita")
    changed = browser.patch("/api/v1/notices/settings", {"modes": {"thing": "digest"}}, content_type="application/json")
    assert changed.json() == browser.get("/api/v1/notices/settings").json() == {"modes": {"thing": "digest"}}
    wrong = browser.patch("/api/v1/notices/settings", {"modes": {"thing": "loud"}}, content_type="application/json")
    assert (wrong.status_code, list(wrong.json()["error"]["details"])) == (400, ["thing"])
    assert browser.post(f"/api/v1/notices/{Notice.objects.get().pk}/read").json()["read_at"]


def test_read__by_a_token_that_may_only_read__is_refused(people):
    tell(people.rita)
    reader = replace(people.rita.actor, kind="token", token_scopes=frozenset({"read"}))
    with pytest.raises(Forbidden):
        notice_read(actor=reader, notice_id=Notice.objects.get().pk)


def test_old_ones__are_forgotten(people):
    tell(people.rita)
    assert notices_forget(now=clock.now() + limits.NOTICES_KEPT - timedelta(minutes=1)) == 0
    assert notices_forget(now=clock.now() + limits.NOTICES_KEPT + timedelta(minutes=1)) == 1
