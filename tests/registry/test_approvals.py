"""Requests for approval: who may decide, what ends them, and what makes an approval void when it is to take effect."""

from datetime import timedelta

import pytest

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from registry import tasks
from registry.approvals.selectors import approval_progress, approvals_visible_to, waiting_for, why_cannot_decide
from registry.approvals.services import approval_decide, approval_open, approval_recheck, approval_void
from registry.models import ApprovalRequest
from registry.selectors import current_policy
from registry.services import environment_create

RULES = [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}]
ENGINE = Actor.controller("test")
A = {"plan": "a"}


@pytest.fixture
def ask(people):
    environment = environment_create(actor=ENGINE, name="production", position=0, approval_rules=RULES)

    def opened(subject_id: str = "r1", content: str = "a", **changes: object) -> ApprovalRequest:
        values = {
            "subject_kind": "release",
            "subject_id": subject_id,
            "title": "tumours version 2 to production/clinic",
            "url": "/",
            "content": {"plan": content},
            "policy": current_policy(environment),
            "scopes": ["environment:production", "model:tumours"],
            "requester": people.emma.user,
            "excluded": [],
        }
        return approval_open(actor=ENGINE, **{**values, **changes})

    return opened


def decide(request, person, kind="approve", comment="") -> ApprovalRequest:
    approval_decide(actor=actor_for_user(person.user), request=request, kind=kind, comment=comment)
    return ApprovalRequest.objects.get(pk=request.pk)


def test_decide__every_rule_met__approved_and_audited(ask, people):
    request = ask()
    assert decide(request, people.rita).status == "open"
    assert approval_progress(request).missing == "Needs 1 more Risk officer."
    assert decide(request, people.oscar).status == "approved"
    assert approval_recheck(ApprovalRequest.objects.get(), A, clock.now()) == ""
    actions = AuditRecord.objects.filter(action__startswith="approval").order_by("sequence")
    assert list(actions.values_list("action", "actor")) == [
        ("approval.opened", "test"),
        ("approval.decided", "rita"),
        ("approval.decided", "oscar"),
        ("approval.granted", "approvals"),
    ]


def test_decide__one_person_with_both_roles__counts_once(ask, people):
    RoleBinding.objects.create(user=people.rita.user, role=Role.RISK_OFFICER, scope="*")
    request = decide(ask(), people.rita)
    assert request.status == "open"
    assert decide(request, people.oscar).status == "approved"


@pytest.mark.parametrize("name", ["vik", "emma", "mona", "ada", "max", "noa"])
def test_decide__without_a_role_the_policy_asks_for__forbidden(ask, people, name):
    with pytest.raises(Forbidden):
        decide(ask(), getattr(people, name))


def test_decide__requester_who_is_also_a_reviewer__forbidden(ask, people):
    RoleBinding.objects.create(user=people.emma.user, role=Role.REVIEWER, scope="*")
    with pytest.raises(Forbidden, match="You asked for this release"):
        decide(ask(), people.emma)


def test_decide__author_of_the_version__forbidden(ask, people):
    with pytest.raises(Forbidden, match="You wrote part of what this is about"):
        decide(ask(excluded=[people.rita.user.pk]), people.rita)


def test_decide__reviewer_of_another_environment__forbidden(ask, people):
    RoleBinding.objects.filter(user=people.rita.user).update(scope="environment:staging")
    with pytest.raises(Forbidden):
        decide(ask(), people.rita)


def test_decide__read_only_token__forbidden(ask, people):
    bindings = people.rita.actor.bindings
    actor = Actor("token", "rita", people.rita.user, bindings, token_scopes=frozenset({"read"}))
    with pytest.raises(Forbidden, match="only read"):
        approval_decide(actor=actor, request=ask(), kind="approve", comment="")


@pytest.mark.parametrize("kind", ["reject", "request_changes", "maybe"])
def test_decide__without_a_comment_or_unknown__invalid(ask, people, kind):
    with pytest.raises(Invalid):
        decide(ask(), people.rita, kind, "  ")


def test_reject__ends_the_request_for_everybody(ask, people):
    request = decide(ask(), people.rita, "reject", "too slow")
    assert request.status == "rejected"
    assert request.status_reason == "rita: too slow"
    with pytest.raises(Conflict):
        decide(request, people.oscar)


def test_request_changes__takes_back_ones_approval(ask, people):
    request = ask()
    decide(request, people.rita)
    decide(request, people.rita, "request_changes", "show the confusion matrix")
    assert decide(request, people.oscar).status == "open"
    assert decide(request, people.rita).status == "approved"


def test_decide__after_the_expiry__conflict(ask, people):
    request = ask()
    ApprovalRequest.objects.update(expires_at=clock.now())
    with pytest.raises(Conflict, match="expired"):
        decide(request, people.rita)


def test_tick__past_the_expiry__expired_once(ask, people):
    ask()
    ApprovalRequest.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    tasks.tick()
    tasks.tick()
    assert ApprovalRequest.objects.get().status == "expired"
    assert AuditRecord.objects.filter(action="approval.expired").count() == 1


def test_open__policy_without_rules__approved_at_once(people):
    environment = environment_create(actor=ENGINE, name="development", position=0)
    request = approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r",
        title="t",
        url="/",
        content={"plan": "a"},
        policy=current_policy(environment),
        scopes=[environment.scope],
        requester=people.emma.user,
        excluded=[],
    )
    assert request.status == "approved"
    assert approval_recheck(request, A, clock.now()) == ""


def test_open__again_for_the_same_subject__voids_the_older(ask):
    older = ask()
    ask(content="b")
    older.refresh_from_db()
    assert older.status == "void"


@pytest.fixture
def approved(ask, people):
    request = ask()
    decide(request, people.rita)
    return decide(request, people.oscar)


def test_recheck__content_changed__says_so(approved):
    assert "has changed since: plan: a → b." in approval_recheck(approved, {"plan": "b"}, clock.now())


def test_recheck__too_late__says_so(approved):
    assert "expired" in approval_recheck(approved, A, approved.expires_at)


def test_recheck__voided__says_so(approved):
    approval_void(actor=ENGINE, request=approved, reason="the plan changed")
    assert "void" in approval_recheck(approved, A, clock.now())


def test_recheck__approver_switched_off__says_who(approved, people):
    User.objects.filter(pk=people.oscar.user.pk).update(is_active=False)
    assert approval_recheck(approved, A, clock.now()) == "oscar approved and is not active any more."


def test_recheck__approver_lost_the_role_that_counted_but_kept_another__says_who(ask, people):
    """Holding some role still is not enough: the one that the rule asks for must be there."""
    RoleBinding.objects.create(user=people.rita.user, role=Role.VIEWER, scope="*")
    request = ask()
    decide(request, people.rita)
    decide(request, people.oscar)
    RoleBinding.objects.filter(user=people.rita.user, role=Role.REVIEWER).delete()
    request.refresh_from_db()
    assert approval_recheck(request, A, clock.now()) == "rita approved and has lost the role since."


def test_waiting__only_for_those_who_can_decide_and_have_not_approved(ask, people):
    request = ask()
    assert list(waiting_for(people.rita.actor)) == [request]
    assert list(waiting_for(people.mona.actor)) == []
    decide(request, people.rita)
    assert list(waiting_for(people.rita.actor)) == []
    assert list(waiting_for(people.oscar.actor)) == [request]


def test_visible__only_in_the_own_scopes(ask, people):
    request = ask()
    assert list(approvals_visible_to(people.vik.actor)) == [request]
    assert not approvals_visible_to(people.max.actor).exists()
    assert why_cannot_decide(Actor.anonymous(), request) == "Only a person can decide."


def test_decide__the_same_click_arrives_ten_times__is_one_decision(ask, people):
    request = ask()
    for _ in range(10):
        decide(request, people.rita)
    decide(request, people.rita, comment="looked again")

    assert list(request.decisions.values_list("comment", flat=True)) == ["", "looked again"]
    assert AuditRecord.objects.filter(action="approval.decided").count() == 2
