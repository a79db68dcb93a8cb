"""People and roles in the admin go through the services: checked, audited, and never deleted."""

import pytest
from django.urls import reverse

from mlorch_site.accounts.bindings import role_bind
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.services import person_edit
from mlorch_site.audit.models import AuditRecord
from mlorch_site.audit.verification import verify
from mlorch_site.lib.errors import Forbidden, Invalid
from registry.models import Environment

PASSWORD = "a long enough pass phrase"


def form_of(name: str, rows: list[tuple[str, str]], person: User | None = None, **changes: object) -> dict:
    """What the browser posts for a person with these new bindings."""
    kept = list(person.bindings.order_by("pk")) if person else []
    values = {
        "username": name,
        "full_name": "Nina New",
        "password": "" if person else PASSWORD,
        "is_active": "on",
        "bindings-TOTAL_FORMS": str(len(kept) + len(rows)),
        "bindings-INITIAL_FORMS": str(len(kept)),
        "bindings-MIN_NUM_FORMS": "0",
        "bindings-MAX_NUM_FORMS": "1000",
    }
    for number, row in enumerate(kept):
        values |= {f"bindings-{number}-id": row.pk, f"bindings-{number}-user": person.pk}
    for number, (role, scope) in enumerate(rows, start=len(kept)):
        values |= {f"bindings-{number}-role": role, f"bindings-{number}-scope": scope}
        values |= {f"bindings-{number}-reason": "new here"}
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


@pytest.fixture
def browser(client, people):
    Environment.objects.create(name="production")
    client.force_login(people.ada.user)
    return client


def test_person__added_with_roles__created_bound_and_audited(browser):
    rows = [("reviewer", "environment:production"), ("viewer", "*")]
    answer = browser.post(reverse("admin:accounts_user_add"), form_of("nina", rows))
    assert answer.status_code == 302, answer.context["errors"]
    nina = User.objects.get(username="nina")
    assert nina.check_password(PASSWORD)
    assert set(nina.bindings.values_list("role", "scope")) == set(rows)
    actions = list(AuditRecord.objects.filter(actor="ada").order_by("sequence").values_list("action", flat=True))
    assert actions == ["person.created", "role.bound", "role.bound"]
    assert verify().holds


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"username": "EMMA"}, "There is a person called EMMA already."),
        ({"password": "short"}, "too short"),
        ({"bindings-0-scope": "environment:galaxy"}, "Select a valid choice"),
        ({"bindings-0-scope": ""}, "This field is required"),
        ({"bindings-0-role": ""}, "This field is required"),
        ({"bindings-0-reason": ""}, "This field is required"),
    ],
)
def test_person__bad_input__refused_with_the_field_and_nothing_written(browser, people, changes, sentence):
    answer = browser.post(reverse("admin:accounts_user_add"), form_of("nina", [("viewer", "*")], **changes))
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not User.objects.filter(username="nina").exists()


def test_person__switched_off__is_inactive_and_roles_are_kept(browser, people):
    rita = people.rita.user
    posted = form_of("rita", [], person=rita, is_active=None)
    assert browser.post(reverse("admin:accounts_user_change", args=[rita.pk]), posted).status_code == 302
    rita.refresh_from_db()
    assert not rita.is_active
    assert set(AuditRecord.objects.values_list("action", flat=True)) == {"person.edited"}


@pytest.mark.parametrize(
    "changes",
    [
        {"bindings-0-DELETE": "on"},
        {"bindings-0-role": "administrator", "bindings-0-scope": "*", "bindings-0-reason": "mine"},
        {"bindings-0-given_by": "1", "bindings-0-given_at": "2020-01-01", "bindings-0-ended_at_0": "2020-01-01"},
    ],
)
def test_person__binding_posted_otherwise__history_is_not_written(browser, people, changes):
    rita = people.rita.user
    before = list(rita.bindings.values())
    posted = form_of("rita", [], person=rita, **changes)
    browser.post(reverse("admin:accounts_user_change", args=[rita.pk]), posted)

    assert list(rita.bindings.values()) == before
    assert not AuditRecord.objects.filter(action__startswith="role.").exists()


def test_person__role_that_the_service_refuses__is_said_and_not_given(browser, people):
    role_bind(actor=people.ada.actor, user=people.mona.user, role=Role.ADMINISTRATOR, scope="*", reason="second")
    ada = people.ada.user
    posted = form_of("ada", [("reviewer", "environment:production")], person=ada, is_staff="on")
    answer = browser.post(reverse("admin:accounts_user_change", args=[ada.pk]), posted, follow=True)

    assert "Ask another administrator: mona" in answer.content.decode()
    assert ada.bindings.count() == 1


def test_person__switching_oneself_off__refused(people):
    with pytest.raises(Invalid, match="another administrator"):
        person_edit(actor=people.ada.actor, user=people.ada.user, full_name="Ada", active=False, staff=True)


def test_person__edited_without_the_right__forbidden(people):
    with pytest.raises(Forbidden):
        person_edit(actor=people.mona.actor, user=people.vik.user, full_name="V", active=True, staff=True)


def test_person__new_password__ends_the_sessions(client, people):
    client.force_login(people.vik.user)
    person_edit(actor=people.ada.actor, user=people.vik.user, full_name="", active=True, staff=False, password=PASSWORD)
    assert client.get(reverse("preferences")).status_code == 302


def test_people__cannot_be_deleted(browser, people):
    assert browser.post(reverse("admin:accounts_user_delete", args=[people.vik.user.pk])).status_code == 403
    assert User.objects.filter(username="vik").exists()


def test_people__staff_without_the_role__may_not_look(client, people):
    User.objects.filter(pk=people.mona.user.pk).update(is_staff=True)
    client.force_login(people.mona.user)
    assert client.get(reverse("admin:accounts_user_changelist")).status_code == 403


def test_audit__in_the_admin__readable_and_nothing_else(browser, people):
    person_edit(actor=people.ada.actor, user=people.vik.user, full_name="Vik V", active=True, staff=False)
    record = AuditRecord.objects.get()
    page = browser.get(reverse("admin:audit_auditrecord_changelist"))
    assert "person.edited" in page.content.decode()
    assert browser.get(reverse("admin:audit_auditrecord_add")).status_code == 403
    change = reverse("admin:audit_auditrecord_change", args=[record.pk])
    assert browser.get(change).status_code == 200
    assert browser.post(change, {"reason": "forged"}).status_code == 403
    assert browser.post(reverse("admin:audit_auditrecord_delete", args=[record.pk])).status_code == 403


def test_person__in_the_admin__roles_are_shown_to_read_and_new_ones_picked(browser, people):
    page = browser.get(reverse("admin:accounts_user_change", args=[people.rita.user.pk])).content.decode()

    assert 'name="bindings-0-role"' not in page  # what rita holds
    assert "Reviewer" in page
    assert 'name="bindings-__prefix__-role"' in page
    assert '<option value="environment:production">' in page
    assert 'name="bindings-0-DELETE"' not in page


def test_person__role_with_an_expiry_added__is_given_until_then(browser, people):
    rita = people.rita.user
    changes = {"bindings-1-expires_at_0": "2030-01-02", "bindings-1-expires_at_1": "03:04:05"}
    posted = form_of("rita", [("viewer", "environment:production")], person=rita, **changes)
    assert browser.post(reverse("admin:accounts_user_change", args=[rita.pk]), posted).status_code == 302

    given = rita.bindings.get(role="viewer")
    assert (given.expires_at.isoformat(), given.given_by) == ("2030-01-02T03:04:05+00:00", people.ada.user)
