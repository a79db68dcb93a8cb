"""An installation whose policies are older than sandboxes is told so where it can be changed; nothing is changed."""

import pytest
from django.test import Client

from deployments.models import AgentState
from mlorch_site.accounts.actor import Actor
from registry.models import Policy
from registry.services import environment_create
from registry.services.defaults import defaults_create
from tests.factories import PASSWORD

ACTOR = Actor.controller("test")
SENTENCE = "The policy of production accepts models without a sandbox."
FULL = "full"


@pytest.fixture
def upgraded(people):
    """Production as it was made before sandboxes, with an agent that offers one now."""
    AgentState.objects.create(agent="agent-1", host="here", sandbox=FULL)
    return environment_create(actor=ACTOR, name="production", position=0, aliases=True)


def page(name: str, url: str) -> str:
    client = Client()
    client.login(username=name, password=PASSWORD)
    answer = client.get(url)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_system_page__production_demands_nothing__says_so_with_what_agents_offer(upgraded):
    said = page("vik", "/system/")
    assert SENTENCE in said
    assert "agent-1 offers full." in said
    assert "Policies of production" not in said, "who may not revise a policy gets no link to it"


def test_system_page__administrator__gets_a_link_that_leads_to_the_policies(upgraded):
    url = f"/admin/registry/policy/?environment__id__exact={upgraded.pk}"
    assert f'href="{url}"' in page("ada", "/system/")
    assert "1 policy" in page("ada", url)


def test_policies_in_the_admin__production_demands_nothing__say_so(upgraded):
    assert SENTENCE in page("ada", "/admin/registry/policy/")


@pytest.mark.parametrize("offered", ["none: this kernel has no Landlock", ""])
def test_system_page__no_agent_offers_a_sandbox__is_silent(upgraded, offered):
    AgentState.objects.update(sandbox=offered)
    assert SENTENCE not in page("ada", "/system/")


def test_system_page__agent_that_offers_less_than_full__is_named_with_its_level(upgraded):
    AgentState.objects.update(sandbox="partly: no namespaces (unshare: Operation not permitted)")
    assert "agent-1 offers partly." in page("ada", "/system/")


def test_system_page__environment_that_the_person_may_not_see__is_not_named(upgraded):
    assert SENTENCE not in page("max", "/system/")


def test_new_installation__is_told_nothing(people):
    AgentState.objects.create(agent="agent-1", host="here", sandbox=FULL)
    defaults_create(actor=ACTOR)
    for url in ("/system/", "/admin/registry/policy/"):
        assert "without a sandbox" not in page("ada", url)


def test_warning__pages_that_were_looked_at__changed_no_policy(upgraded):
    page("ada", "/system/")
    page("ada", "/admin/registry/policy/")
    assert [policy.sandbox_level_min for policy in Policy.objects.all()] == ["none"]
