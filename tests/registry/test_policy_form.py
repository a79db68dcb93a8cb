"""A policy is written in sentences: what the form shows is what it reads, and nothing that was written is lost."""

import re

import pytest
import time_machine
from django.urls import reverse
from hypothesis import HealthCheck, given, settings

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Role
from mlorch_site.lib import clock
from registry.forms import PolicyForm
from registry.models import Environment, Model, Policy, PolicyDraft
from registry.policy_fields import POLICY_FIELDS
from registry.policy_lines import PolicyLine
from registry.policy_sentences import SECTIONS, field_words
from registry.selectors import current_policy
from registry.services import draft_create, draft_edit, environment_create, policy_revise
from registry.services.environments import policy_values
from tests.factories import make_person
from tests.registry.policy_forms import sent
from tests.registry.policy_texts import policy_texts
from tests.support.live import signed_in

ENGINE = Actor.controller("test")
FREEZE = {
    "windows-0-kind": "freeze",
    "windows-0-name": "Holidays",
    "windows-0-starts": "2026-12-24T18:00",
    "windows-0-minutes": "600",
    "windows-0-zone": "Europe/Berlin",
    "windows-0-exceptions": "2026-12-25",
}


@pytest.fixture
def staging(people) -> Environment:
    return environment_create(
        actor=ENGINE, name="staging", position=1, approval_rules=[{"role": "reviewer", "count": 1}]
    )


@pytest.fixture
def ada(people):
    return signed_in("ada")


def add_url(**line: str) -> str:
    query = "&".join(f"{key}={value}" for key, value in {"environment": "staging", **line}.items())
    return f"{reverse('admin:registry_policydraft_add')}?{query}"


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.django_db
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(values=policy_texts())
def test_form__any_policy__is_read_as_it_is_shown(values):
    form = PolicyForm(sent(values), values=values)
    assert form.read() == values, (form.problems, form.text.errors, [rows.errors for rows in form.rows.values()])


def test_sentences__every_field_has_some_and_a_place():
    placed = {field for fields in SECTIONS.values() for field in fields}
    assert placed == {field for field in POLICY_FIELDS if field != "note"}
    usual = policy_values(Policy())
    assert all(field_words(field, usual[field]) for field in placed)


def test_write__a_rule_a_window_a_guardrail__is_a_draft_in_words(staging, people, ada):
    make_person("rosa", [(Role.REVIEWER, "*")])
    data = sent(
        current_policy(staging),
        **FREEZE,
        **{"rules-0-count": "2", "guardrails-0-metric": "error_rate", "guardrails-0-margin": "1.5", "note": "safer"},
    )
    answer = ada.post(add_url(tier="high"), data)
    draft = PolicyDraft.objects.get()
    assert answer.headers["Location"] == reverse("policy-draft", args=[draft.pk])
    assert (draft.tier, draft.note, draft.values["approval_rules"]) == (
        "high",
        "safer",
        [{"role": "reviewer", "count": 2}],
    )
    assert draft.values["default_guardrails"] == [{"metric": "error_rate", "margin": 0.015}]
    assert draft.values["windows"][0]["except"] == ["2026-12-25"]
    page = text_of(ada.get(f"{answer.headers['Location']}?month=2026-12"))
    for words in (
        "Draft of staging for tier high",
        "2 of Reviewer have to approve.",
        "2 of Reviewer: 2 people , rita, rosa",
        "at most 1.5 points above",
        "24 open 00:00–17:00",
        "Holidays: no rollout begins from Thursday 2026-12-24 18:00 for 10 h (Europe/Berlin), not on 2026-12-25",
        "No release of before would have come under it",
    ):
        assert words in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rules-0-count": "0"}, "greater than or equal to 1"),
        ({"rules-1-who": "role:reviewer", "rules-1-count": "1"}, "named twice"),
        ({"windows-0-kind": "freeze", "windows-0-name": "x"}, "This field is required"),
        ({**FREEZE, "windows-0-zone": "Berlin"}, "is not a time zone"),
        ({**FREEZE, "windows-0-rule": "FREQ=SECONDLY"}, "A window&#x27;s rule is an RRULE"),
        ({"approval_days": "0"}, "greater than or equal to 1"),
        ({"guardrails-0-metric": "error_rate", "guardrails-0-margin": "100"}, "a margin is a number between 0 and 1"),
        ({"gates": ["coffee"]}, "coffee is not one of the available choices"),
        ({"margin_error_rate": "100"}, "margin"),
    ],
)
def test_write__something_wrong__said_at_its_place_and_the_rest_is_kept(staging, people, ada, changes, words):
    answer = ada.post(add_url(), sent(current_policy(staging), note="my own words", **changes))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert words.lower() in page.lower()
    assert "Please correct what is marked below" in page
    assert 'value="my own words"' in page
    assert not PolicyDraft.objects.exists()


def test_write__a_row_taken_away_and_an_empty_one__are_none(staging, people, ada):
    ada.post(add_url(), sent(current_policy(staging), **{"rules-0-DELETE": "on"}))
    assert PolicyDraft.objects.get().values["approval_rules"] == []


def test_write__draft_changed_by_somebody_else_meanwhile__shown_and_both_texts_are_there(staging, people, ada):
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), note="mine")
    bob = make_person("bob", [(Role.ADMINISTRATOR, "*")])
    draft_edit(actor=bob.actor, draft=draft, seen=1, values={"approval_days": 12}, note="his")
    where = reverse("admin:registry_policydraft_change", args=[draft.pk])
    answer = ada.post(where, sent(draft.values, approval_days="11", note="hers", seen="1"))
    page = text_of(answer)
    assert answer.status_code == 409
    assert "Somebody else wrote this draft meanwhile" in page
    assert "holds, 12 days. An approval is waited for, and holds, 11 days." in page
    assert 'value="11"' in answer.content.decode()
    assert ada.post(where, sent(draft.values, approval_days="11", note="hers", seen="2")).status_code == 302
    draft.refresh_from_db()
    assert (draft.values["approval_days"], draft.note) == (11, "hers")


def test_write__what_is_in_review__leads_to_its_page(staging, people, ada):
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), note="mine")
    PolicyDraft.objects.update(stage="review")
    answer = ada.get(reverse("admin:registry_policydraft_change", args=[draft.pk]))
    assert answer.headers["Location"] == reverse("policy-draft", args=[draft.pk])


@pytest.mark.parametrize("line", [{"environment": "nowhere"}, {"tier": "medium"}, {"model": "none"}, {"choose": "1"}])
def test_write__a_line_that_does_not_exist__is_chosen_again(staging, people, ada, line):
    page = ada.get(add_url(**line)).content.decode()
    assert "Only for models of the tier" in page
    assert ada.post(add_url(**line), sent(current_policy(staging))).status_code == 200
    assert not PolicyDraft.objects.exists()


def test_write__for_a_model__starts_from_what_rules_it(staging, people, ada):
    Model.objects.create(name="tumours", risk_tier="high", created_at=clock.now(), updated_at=clock.now())
    policy_revise(actor=ENGINE, environment=staging, tier="high", approval_days=9)
    page = ada.get(add_url(model="tumours")).content.decode()
    assert "Policy of staging for model tumours" in page
    assert "starts from revision 2" in page
    assert re.search(r'name="approval_days"[^>]*value="9"|value="9"[^>]*name="approval_days"', page)


def test_page__moves_by_hand__say_what_came_of_them(staging, people, ada):
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), values={"approval_days": 7}, note="shorter")
    page, move = reverse("policy-draft", args=[draft.pk]), reverse("policy-draft-move", args=[draft.pk])

    def do(how: str, seen: int, **more: str) -> str:
        assert ada.post(move, {"how": how, "seen": seen, **more}).status_code == 303
        return text_of(ada.get(page))

    assert "A draft is moved by" in do("eat", 1)
    assert "changed since you looked" in do("submit", 9)
    assert "It is up for review" in do("submit", 1)
    assert "Say why it goes back" in do("return", 2)
    assert "Give the day and the time" in do("schedule", 2, starts_at="soon")
    assert "It is a draft again" in do("return", 2, reason="once more")
    assert "It is up for review" in do("submit", 3)
    assert "Revision 2 of staging is in force" in do("publish", 4)
    assert current_policy(staging).approval_days == 7
    vik = signed_in("vik")
    assert "published by ada" in text_of(vik.get(page))
    assert vik.post(move, {"how": "withdraw", "seen": 5}).status_code == 403


def test_page__another_revision_came_into_force__theirs_and_ours_are_shown_and_settled(staging, people, ada):
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), values={"approval_days": 9}, note="mine")
    policy_revise(actor=ENGINE, environment=staging, approval_days=7, gates=["digest_known"])
    where, move = reverse("policy-draft", args=[draft.pk]), reverse("policy-draft-move", args=[draft.pk])
    page = text_of(ada.get(where))
    for words in (
        "Revision 2 of the policy of staging was published by the installation",
        "yours started from revision 1",
        "Both changed: How long approvals hold.",
        "holds, 30 days. An approval is waited for, and holds, 7 days.",
        "holds, 7 days. An approval is waited for, and holds, 9 days.",
    ):
        assert words in page
    assert ada.post(move, {"how": "rebase", "seen": 1}).status_code == 303
    assert "Somebody else was first" not in text_of(ada.get(where))
    draft.refresh_from_db()
    assert (draft.values["approval_days"], draft.values["gates"]) == (9, ["digest_known"])


def test_end__of_a_line__begins_a_draft_that_says_what_rules_then(staging, people, ada):
    policy_revise(actor=ENGINE, environment=staging, tier="high", approval_days=9)
    assert ada.post("/policies/staging/2/end/", {"note": "no more"}).status_code == 303
    draft = PolicyDraft.objects.get()
    page = text_of(ada.get(reverse("policy-draft", args=[draft.pk])))
    assert "The end of the policy of staging for tier high" in page
    assert "holds, 9 days. An approval is waited for, and holds, 30 days." in page
    assert ada.post("/policies/staging/1/end/", {"note": "no more"}).status_code == 303
    assert PolicyDraft.objects.count() == 1
    assert signed_in("vik").post("/policies/staging/2/end/", {"note": "no"}).status_code == 403


def test_page__for_whoever_only_reads__buttons_say_why_and_no_releases_are_shown(staging, people):
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), note="mine")
    vik = signed_in("vik")
    where = reverse("policy-draft", args=[draft.pk])
    assert vik.get(where).status_code == 404
    PolicyDraft.objects.update(stage="review")
    page = text_of(vik.get(where))
    assert "This needs the role Administrator for environment:staging." in page
    assert "Tried on releases of before" not in page
    assert signed_in("max").get(where).status_code == 200


@pytest.mark.parametrize("page", ["registry_policy_delete", "registry_environment_delete"])
def test_admin__nothing_is_deleted(staging, people, ada, page):
    pk = current_policy(staging).pk if "policy" in page else staging.pk
    assert ada.post(reverse(f"admin:{page}", args=[pk]), {"post": "yes"}).status_code == 403


def test_admin__revision__leads_to_its_page_and_environment_is_looked_at(staging, people, ada):
    policy = current_policy(staging)
    answer = ada.get(reverse("admin:registry_policy_change", args=[policy.pk]))
    assert answer.headers["Location"] == "/policies/staging/1/"
    where = reverse("admin:registry_environment_change", args=[staging.pk])
    assert ada.get(where).status_code == 200
    assert ada.post(where, {"name": "other", "position": 1, "aliases": ""}).status_code == 403
    assert ada.get(reverse("admin:registry_policy_add")).status_code == 403


def test_protected__one_administrator__says_before_writing_and_in_review_what_to_do(people, staging, ada):
    policy_revise(actor=ENGINE, environment=staging, protected=True)
    assert "Nobody could publish this yet." in text_of(ada.get(add_url()))
    draft = draft_create(actor=people.ada.actor, line=PolicyLine(staging), values={"approval_days": 3}, note="x")
    page = ada.get(f"/policies/drafts/{draft.pk}/")
    assert "Nobody could publish this yet." in text_of(page)
    assert "/people/NAME/bindings" in text_of(page)
    assert "environment:staging" in text_of(page)
    assert reverse("admin:accounts_user_add") in page.content.decode()
    make_person("bob", [(Role.ADMINISTRATOR, "environment:staging")])
    assert "Nobody could publish" not in text_of(ada.get(f"/policies/drafts/{draft.pk}/"))
    assert "Nobody could publish" not in text_of(ada.get(add_url()))


def preview(client, url="/environments/staging/window-preview/", **changes):
    said = {"windows-TOTAL_FORMS": 2, "windows-INITIAL_FORMS": 0, **FREEZE, **changes}
    return client.post(url, {name: value for name, value in said.items() if value is not None})


@time_machine.travel("2026-12-01T12:00:00Z", tick=False)
def test_window_preview__what_is_written__the_next_times_in_its_zone_and_nothing_kept(people, staging, ada):
    page = text_of(preview(ada, **{"windows-0-exceptions": None, "windows-0-rule": "FREQ=DAILY;INTERVAL=2"}))
    assert "Frozen Thu 24 Dec 2026 18:00 – Fri 25 Dec 2026 04:00 Europe/Berlin: Holidays" in page
    assert page.count("Frozen ") == 5
    row = {"kind": "freeze", "name": "Audit", "zone": "UTC", "starts": "2026-12-02T00:00", "minutes": 60}
    policy_revise(actor=ENGINE, environment=staging, windows=[row])
    broader = text_of(preview(ada, "/environments/staging/window-preview/?tier=high"))
    assert "Frozen Wed 02 Dec 2026 00:00 – Wed 02 Dec 2026 01:00 UTC: Audit (revision 2 of staging)" in broader
    assert not PolicyDraft.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("zone", "Berlin", "&#x27;Berlin&#x27; is not a time zone"),
        ("starts", "tomorrow", "A window starts at a local time"),
        ("minutes", "0", "greater than or equal to 1"),
        ("rule", "FREQ=SECONDLY", "A window&#x27;s rule is an RRULE"),
        ("exceptions", "christmas", "The exceptions of a window"),
        ("name", "", "This field is required"),
    ],
)
def test_window_preview__something_wrong__said_at_its_field_and_the_window_left_out(
    people, staging, ada, field, value, said
):
    answer = preview(ada, **{f"windows-0-{field}": value})
    html = answer.content.decode()
    place = html[html.index(f'id="id_windows-0-{field}-errors"') :]
    assert answer.status_code == 200
    assert said in place[: place.index("</div>")]
    assert "Frozen " not in html
    assert "Windows with an error are left out." in html


def test_window_preview__who_may_not_write_or_hostile_input__refused(people, staging, ada):
    assert preview(signed_in("emma")).status_code == 403
    assert preview(ada, "/environments/nowhere/window-preview/").status_code == 404
    assert ada.get("/environments/staging/window-preview/").status_code == 405
    assert preview(ada, **{"windows-TOTAL_FORMS": "1000000"}).status_code == 200
    assert preview(ada, **{"windows-TOTAL_FORMS": None}).status_code == 200
