"""Sign-in, sign-out and passwords: each a record, one throttle for all doors, addresses that cannot be made up."""

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from mlorch_site.accounts import throttle
from mlorch_site.accounts.models import AttemptCount, User
from mlorch_site.accounts.selectors import SESSION_BEGAN
from mlorch_site.accounts.services import token_create
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from tests.factories import PASSWORD
from tests.support.live import signed_in

DOORS = ["/sign-in/", "/admin/login/?next=/admin/"]
NEW_PASSWORD = "another long passphrase"


@pytest.fixture(autouse=True)
def clean(people):
    cache.clear()
    return people


def ask(browser: Client, name: str, password: str, **headers: str) -> int:
    return browser.post("/sign-in/", {"username": name, "password": password}, **headers).status_code


def fail(name: str, times: int, address: str = "192.0.2.1") -> list[int]:
    return [ask(Client(REMOTE_ADDR=address), name, "wrong") for _ in range(times)]


def newest(action: str) -> AuditRecord:
    return AuditRecord.objects.filter(action=action).latest("sequence")


def test_sign_in_and_out__are_records_with_the_peer_s_address():
    browser = Client(REMOTE_ADDR="192.0.2.7")
    assert ask(browser, "vik", PASSWORD) == 302
    browser.post("/sign-out/")

    for action in ("session.begun", "session.ended"):
        record = newest(action)
        assert (record.actor, record.address, record.subject_label) == ("vik", "192.0.2.7", "vik")
    assert browser.get("/").status_code == 302


def test_failure__is_a_record_that_names_known_people_only():
    ask(Client(), "vik", "wrong")
    ask(Client(), "my secret by mistake", "vik")

    labels = list(AuditRecord.objects.filter(action="session.refused").values_list("subject_label", flat=True))
    assert sorted(labels) == ["a name that nobody has", "vik"]


def test_throttle__by_name__whatever_the_address_and_its_spelling():
    statuses = [ask(Client(REMOTE_ADDR=f"192.0.{n}.1"), name, "wrong") for n, name in enumerate(["vik", "VIK"] * 5)]
    answer = Client(REMOTE_ADDR="198.51.100.1").post("/sign-in/", {"username": "vik", "password": PASSWORD})

    assert statuses == [200] * 10
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 800
    assert "Wait 15 minutes" in answer.content.decode()
    assert newest("session.throttled").subject_label == "vik"


@pytest.mark.parametrize(
    ("one", "near", "far"),
    [("192.0.2.1", "192.0.2.200", "192.0.3.1"), ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")],
)
def test_throttle__by_network__whatever_the_name(one, near, far):
    for number in range(throttle.PER_NETWORK_MAX):
        fail(f"nobody{number}", 1, one)

    assert ask(Client(REMOTE_ADDR=near), "vik", PASSWORD) == 429
    assert ask(Client(REMOTE_ADDR=far), "vik", PASSWORD) == 302


def test_throttle__success__gives_the_attempts_back():
    fail("vik", 9)
    assert ask(Client(REMOTE_ADDR="192.0.2.1"), "vik", PASSWORD) == 302
    assert set(fail("vik", 10)) == {200}
    assert AttemptCount.objects.get(key="network:192.0.2.0/24").attempts == 19


def test_throttle__span_over__begins_anew():
    fail("vik", 11)
    AttemptCount.objects.update(since=clock.now() - throttle.SPAN)
    assert ask(Client(), "vik", PASSWORD) == 302


def test_throttle__counts_whose_span_is_over__are_forgotten():
    old = clock.now() - throttle.SPAN
    AttemptCount.objects.bulk_create(AttemptCount(key=f"name:{n}", since=old, attempts=1) for n in range(20))
    fail("vik", 1)
    assert AttemptCount.objects.count() == 2


def test_throttle__forwarded_addresses_of_anybody__do_not_help():
    statuses = [
        ask(Client(REMOTE_ADDR="192.0.2.1", headers={"X-Forwarded-For": f"198.51.{n}.1"}), f"nobody{n}", "wrong")
        for n in range(throttle.PER_NETWORK_MAX + 1)
    ]
    assert statuses[-1] == 429
    assert set(AuditRecord.objects.filter(action="session.refused").values_list("address", flat=True)) == {"192.0.2.1"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
    ],
)
def test_address__forwarded__is_believed_of_trusted_proxies_only(settings, peer, forwarded, seen):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    ask(Client(REMOTE_ADDR=peer, headers={"X-Forwarded-For": forwarded}), "vik", "wrong")
    assert newest("session.refused").address == seen


def test_scheme__forwarded_by_anybody__is_not_believed(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    settings.SECURE_SSL_REDIRECT = True
    header = {"X-Forwarded-Proto": "https"}

    assert Client(REMOTE_ADDR="192.0.2.1", headers=header).get("/healthz").status_code == 301
    assert Client(REMOTE_ADDR="10.0.0.1", headers=header).get("/healthz").status_code == 200


def test_admin__has_no_sign_in_of_its_own():
    answer = Client().get("/admin/", follow=True)
    assert answer.request["PATH_INFO"] == "/sign-in/"
    assert Client().post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
    assert not AuditRecord.objects.filter(action="session.begun").exists()


def test_admin__signed_in_without_access__is_refused_and_recorded():
    answer = signed_in("vik").get("/admin/", follow=True)
    assert answer.status_code == 403
    assert newest("act.refused").actor == "vik"


def test_token__refused__is_a_record_and_is_throttled():
    answers = [
        Client().get("/api/v1/models", headers={"Authorization": "Bearer mlo_guess"}).status_code
        for _ in range(throttle.PER_NETWORK_MAX + 1)
    ]
    assert answers == [401] * throttle.PER_NETWORK_MAX + [429]
    assert newest("token.refused").reason == "This API token is not known."


def test_token__live__goes_on_from_a_network_that_is_throttled(people):
    _, secret = token_create(actor=people.vik.actor, user=people.vik.user, name="ci", scopes=["read"], expires_at=None)
    AttemptCount.objects.create(key="network:127.0.0.0/24", since=clock.now(), attempts=throttle.PER_NETWORK_MAX)
    headers = {"Authorization": f"Bearer {secret}"}

    assert Client().get("/api/v1/models", headers=headers).status_code == 200


def test_password__changed_by_oneself__is_a_record_and_ends_other_sessions():
    browser, other = signed_in("vik"), signed_in("vik")
    fields = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert browser.post(reverse("password"), fields).status_code == 303

    assert newest("person.password_changed").actor == "vik"
    assert browser.get(reverse("tokens")).status_code == 200
    assert other.get(reverse("tokens")).status_code == 302
    assert User.objects.get(username="vik").check_password(NEW_PASSWORD)


def test_password__old_one_guessed__counts_as_an_attempt():
    browser = signed_in("vik")
    fields = {"old_password": "wrong", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    statuses = [browser.post(reverse("password"), fields).status_code for _ in range(11)]

    assert statuses == [422] * 10 + [429]
    assert newest("session.refused").actor == "vik"


@pytest.mark.parametrize(("mark", "reason"), [("last_seen", "not used"), (SESSION_BEGAN, "too old")])
def test_session__idle_or_too_old__ends_and_is_recorded(settings, mark, reason):
    browser = signed_in("vik")
    browser.get(reverse("tokens"))
    session = browser.session
    session[mark] = clock.now().timestamp() - settings.SESSION_MAX_S - 1
    session.save()

    assert browser.get(reverse("tokens")).status_code == 302
    assert reason in newest("session.expired").reason


def test_session__used_all_the_time__ends_all_the_same(settings):
    """What renews a session does not renew its beginning."""
    browser = signed_in("vik")
    browser.get(reverse("tokens"))
    began = browser.session[SESSION_BEGAN]
    session = browser.session
    session["last_seen"] = 0.0 + clock.now().timestamp() - 120
    session.save()
    browser.get(reverse("tokens"))

    assert browser.session[SESSION_BEGAN] == began


def test_refused_act__by_page_and_by_api__is_a_record(people):
    browser = signed_in("vik")
    browser.post(reverse("endpoint-rollback", args=["production", "nothing"]))
    assert newest("act.refused").subject_id == "endpoint-rollback"
    browser.post("/api/v1/releases", {}, content_type="application/json")
    assert newest("act.refused").subject_id == "api-releases"
    assert "role" in newest("act.refused").reason


def test_refused_acts__without_end__do_not_fill_the_record():
    browser = signed_in("vik")
    for _ in range(70):
        browser.post(reverse("endpoint-rollback", args=["production", "nothing"]))
    assert AuditRecord.objects.filter(action="act.refused").count() == 60


READ_PAGES = ["audit", "tokens", "api-tokens", "api-audit", "api-gateway-keys", "admin:accounts_user_changelist"]


@pytest.mark.parametrize("page", READ_PAGES)
def test_sensitive_page__read__is_a_record_once(page):
    browser = signed_in("ada")
    for _ in range(2):
        assert browser.get(reverse(page)).status_code == 200
    read = AuditRecord.objects.filter(action="page.read", subject_id=page)
    assert [(row.actor, row.subject_label) for row in read] == [("ada", reverse(page))]


def test_sensitive_page__another_person_of_the_admin__is_another_record(people):
    browser = signed_in("ada")
    for person in (people.vik.user, people.max.user):
        browser.get(reverse("admin:accounts_user_change", args=[person.pk]))
    assert AuditRecord.objects.filter(action="page.read").count() == 2


def test_throttle__many_at_once__are_all_counted(monkeypatch):
    """Each attempt counts before its password is looked at."""
    order = []
    monkeypatch.setattr(User, "check_password", lambda self, password: order.append(self.username) or False)
    fail("vik", 15)
    assert len(order) == 10
