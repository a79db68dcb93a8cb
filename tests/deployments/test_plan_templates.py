"""Plans under a name: saved in revisions, offered where they are for, and said by the releases that began with one."""

import pytest
from django.urls import reverse

from deployments.models import PlanTemplate, Release
from deployments.services import TemplateWish, plan_template_end, plan_template_save
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Forbidden, Invalid
from tests.deployments.world import World
from tests.support.live import signed_in

CAREFUL = {"kind": "canary", "steps": [{"weight": 5, "bake_s": 9, "min_requests": 3}], "hold": True, "watch_s": 60}
GUARDRAILS = [{"metric": "error_rate", "margin": 0.02}, {"metric": "latency_p50", "margin_ratio": 0.1}]


@pytest.fixture
def served(world: World) -> World:
    world.serve(1)
    return world


def save(world: World, name: str = "careful canary", **changes) -> PlanTemplate:
    values = {"strategy": CAREFUL, "guardrails": GUARDRAILS, **changes}
    return plan_template_save(actor=world.people.mona.actor, wish=TemplateWish(name, **values))


def test_save__again_and_changed__is_the_same_and_then_the_next_revision(served):
    first = save(served)
    assert save(served).pk == first.pk
    second = save(served, guardrails=[])
    first.refresh_from_db()

    assert (first.revision, second.revision) == (1, 2)
    assert first.ended_at is not None
    assert AuditRecord.objects.filter(action="plan_template.saved").count() == 2
    for _ in range(2):
        assert plan_template_end(actor=served.people.mona.actor, template=second).ended_at is not None
    assert save(served).revision == 3


@pytest.mark.parametrize(
    ("changes", "blamed"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"strategy": {"kind": "guess"}}, "strategy.kind"),
        ({"guardrails": [{"metric": "nonsense"}]}, "guardrails[0].metric"),
        ({"note": "x" * 501}, "note"),
    ],
)
def test_save__wrong__is_refused_at_its_field(served, changes, blamed):
    with pytest.raises(Invalid) as refused:
        save(served, **changes)
    assert blamed in refused.value.details


def test_save__without_the_right__is_refused(served):
    with pytest.raises(Forbidden):
        plan_template_save(actor=served.people.emma.actor, wish=TemplateWish("mine", CAREFUL))
    with pytest.raises(Forbidden):
        plan_template_save(actor=served.people.max.actor, wish=TemplateWish("mine", CAREFUL))


def test_request__by_template_alone__has_its_plan_and_says_so(served):
    template = save(served)
    release = served.request(2, template=str(template.pk), strategy={}, guardrails=None)

    assert (release.strategy, release.guardrails) == (template.strategy, template.guardrails)
    told = release.plan["template"]
    assert (told["name"], told["revision"], told["differs"]) == ("careful canary", 1, [])
    for address in (reverse("release", args=[release.pk]), reverse("plan-template", args=[template.pk])):
        assert "careful canary" in signed_in("vik").get(address).content.decode()


def test_request__changed_from_its_template__says_in_what(served):
    template = save(served)
    changed = {**CAREFUL, "steps": [{"weight": 50, "bake_s": 1, "min_requests": 0}], "watch_s": 0}
    release = served.request(2, template=str(template.pk), strategy=changed, guardrails=[])

    assert release.plan["template"]["differs"] == ["steps", "watch after promotion", "guardrails"]
    page = signed_in("vik").get(reverse("release", args=[release.pk])).content.decode()
    assert "changed since: steps, watch after promotion, guardrails" in page


def test_request__template_ended_of_another_place_or_not_there__is_refused(served):
    first, second = save(served), save(served, guardrails=[])
    with pytest.raises(Invalid, match="revision 1 has ended; revision 2 holds now"):
        served.request(2, template=str(first.pk))
    plan_template_end(actor=served.people.mona.actor, template=second)
    with pytest.raises(Invalid, match="revision 2 has ended"):
        served.request(2, template=str(second.pk))
    for wrong in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(Invalid, match="no such plan template"):
            served.request(2, template=wrong)


def test_form__template_chosen__fills_in_the_plan_and_carries_what_has_no_field(served):
    template = save(served, model=served.model, environment=served.environment)
    emma, address = signed_in("emma"), reverse("release-new")
    page = emma.get(address, {"model": "tumours", "environment": "production", "template": str(template.pk)})
    form = page.context["form"]
    assert (form["weight_0"].value(), form["hold"].value(), form["watch_s"].value()) == (5, True, 60)
    assert "P50" in page.content.decode() or "p50" in page.content.decode()
    sent = {name: form[name].value() for name in form.fields}
    sent = {name: value for name, value in sent.items() if value is not None and value is not False}
    with served.at():
        answer = emma.post(address, {**sent, "version": 2, "endpoint": "clinic"})
    assert answer.status_code == 303, answer.context["form"].errors
    assert Release.objects.latest("created_at").plan["template"]["differs"] == []
    elsewhere = emma.get(address, {"model": "tumours", "environment": "staging"})
    assert str(template.pk) not in elsewhere.content.decode()
    choice = {"model": "tumours", "environment": "production", "template": str(template.pk), "weight_0": 77}
    refilled = emma.post(reverse("release-form"), choice, headers={"HX-Trigger-Name": "template"})
    assert refilled.context["form"]["weight_0"].value() == 5


def test_pages__save_list_end__work_and_need_the_right(served):
    release = served.request(2, strategy=CAREFUL, guardrails=GUARDRAILS)
    address, mona = reverse("release-template", args=[release.pk]), signed_in("mona")
    assert signed_in("emma").get(address).status_code == 403
    assert "Save the plan" in mona.get(reverse("release", args=[release.pk])).content.decode()
    assert mona.post(address, {"name": "\x00", "place": "both"}).status_code == 400
    answer = mona.post(address, {"name": "careful", "place": "both", "note": "for tumours"})
    assert answer.status_code == 303
    template = PlanTemplate.objects.get()
    assert (template.environment, template.model) == (served.environment, served.model)
    assert "for tumours" in mona.get(reverse("plan-templates")).content.decode()
    end = reverse("plan-template-end", args=[template.pk])
    assert signed_in("emma").post(end).status_code == 403
    mona.post(end)
    assert "Offered no longer since" in mona.get(reverse("plan-template", args=[template.pk])).content.decode()
    assert "No plan templates yet" in mona.get(reverse("plan-templates")).content.decode()


def test_rest__saved_listed_used_and_ended(served):
    mona, emma = signed_in("mona"), signed_in("emma")
    body = {"name": "careful", "strategy": CAREFUL, "guardrails": GUARDRAILS, "environment": "production"}
    refused = emma.post(reverse("api-plan-templates"), body, content_type="application/json")
    assert refused.status_code == 403
    made = mona.post(reverse("api-plan-templates"), body, content_type="application/json")
    assert (made.status_code, made.json()["revision"], made.json()["model"]) == (201, 1, None)
    pk = made.json()["id"]
    assert [row["id"] for row in emma.get(reverse("api-plan-templates")).json()["results"]] == [pk]
    wish = {"model": "tumours", "version": 2, "environment": "production", "endpoint": "clinic", "template": pk}
    with served.at():
        asked = emma.post(reverse("api-releases"), wish, content_type="application/json")
    assert asked.status_code == 201, asked.json()
    ended = mona.post(reverse("api-plan-template-end", args=[pk]), {}, content_type="application/json")
    assert ended.json()["ended_at"] is not None
    assert emma.get(reverse("api-plan-templates")).json()["results"] == []
    assert emma.get(reverse("api-plan-template", args=[pk])).json()["name"] == "careful"
