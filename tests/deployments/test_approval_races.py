"""A hundred attempts at once to decide, take back, withdraw, change, comment and start: whatever comes first, the rows
and the record agree, and nobody waits for ever.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.db import connections
from django.db.models import F

from deployments.models import Release, ReleaseEvent, Rollout
from deployments.services import ReleaseCommand, release_abort, release_decide, release_request, release_withdraw
from deployments.services.advance import release_look
from deployments.services.checks import release_check
from deployments.services.emergency import release_emergency
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from registry.approvals.comments import comment_add
from registry.approvals.delegations import delegation_give
from registry.approvals.selectors import approval_progress
from registry.models import ApprovalRequest, Comment, Decision, Emergency, Policy
from tests.deployments.world import World, make_model
from tests.factories import make_person
from tests.support.own_database import own_database

ATTEMPTS, THREADS = 34, 10
RULES = [{"role": "reviewer", "count": 2}, {"role": "risk_officer", "count": 1}]
BEGINNINGS = {"approval.granted", "approval.bypassed"}
ENDINGS = {*BEGINNINGS, "approval.withdrawn", "approval.voided"}
WORDS = count()


@pytest.fixture
def db(django_db_setup: Any, django_db_blocker: Any, tmp_path: Any) -> Iterator[None]:
    """A database that threads share, in the place of the one in a transaction of the test's own."""
    quiet = [mock.patch("mlorch_site.live.outbox._after_commit"), mock.patch("mlorch_site.lib.enqueue.enqueue")]
    with django_db_blocker.unblock(), own_database(tmp_path), quiet[0], quiet[1]:
        yield


@pytest.fixture
def crew(people: Any, data_dir: Any) -> Any:
    """The personas with two reviewers more, of whom carol lets bob decide for her."""
    people.bob, people.carol = (make_person(name, [(Role.REVIEWER, "*")]) for name in ("bob", "carol"))
    World(people, rules=RULES)
    now = clock.now()
    until = now + timedelta(days=7)
    delegation_give(actor=people.carol.actor, delegate="bob", scopes=["*"], starts_at=now, ends_at=until, reason="away")
    return people


def ask(people: Any, name: str) -> Release:
    model = make_model(name, 1)
    command = ReleaseCommand(model.name, 1, "production", name, {"kind": "immediate"}, guardrails=[])
    release = release_request(actor=people.emma.actor, command=command)
    release_check(release_id=str(release.pk), now=clock.now())
    return fresh(release)


def fresh(release: Release) -> Release:
    rows = Release.objects.select_related("endpoint__environment", "endpoint__model", "version__model", "approval")
    return rows.select_related("policy", "serving_config", "requester").get(pk=release.pk)


def deciding(people: Any, release: Release) -> list[Callable[[], object]]:
    """What people and the engine do while a request is open; each reads its rows itself, as a request does."""

    def decide(name: str, decision: str, for_whom: str = "") -> Callable[[], object]:
        comment = "" if decision == "approve" else f"{decision} {next(WORDS)}"
        actor = actor_for_user(getattr(people, name).user)
        return lambda: release_decide(
            actor=actor, release=fresh(release), decision=decision, comment=comment, on_behalf_of=for_whom
        )

    def say() -> object:
        return comment_add(actor=people.emma.actor, request=fresh(release).approval, text=f"@rita {next(WORDS)}")  # type: ignore[arg-type]

    return [
        decide("rita", "approve"),
        decide("rita", "take_back"),
        decide("bob", "approve"),
        decide("bob", "approve", "carol"),
        decide("carol", "request_changes"),
        decide("oscar", "approve"),
        decide("emma", "approve"),
        say,
        lambda: release_look(release_id=str(release.pk), now=clock.now()),
    ]


def ending(people: Any, release: Release) -> dict[str, Callable[[], object]]:
    """What ends a request, besides the approval itself."""
    emma = people.emma.actor
    model = release.endpoint.model.name
    again = ReleaseCommand(
        model, 1, "production", release.endpoint.name, {"kind": "immediate"}, guardrails=[], supersedes=str(release.pk)
    )
    return {
        "superseded": lambda: release_request(actor=emma, command=again),
        "started": lambda: release_look(release_id=str(release.pk), now=clock.now()),
        "withdrawn": lambda: release_withdraw(actor=emma, release=fresh(release), reason="no"),
        "aborted": lambda: release_abort(actor=emma, release=fresh(release), reason="no"),
        "changed": lambda: Release.objects.filter(pk=release.pk).update(plan={**release.plan, "ticket": "other"}),
    }


def attempt(act: Callable[[], object]) -> str:
    """What came of an act: nothing, or the refusal of the domain. Anything else is a failure of the test."""
    try:
        act()
    except DomainError as error:
        return type(error).__name__
    finally:
        connections.close_all()
    return ""


@pytest.mark.parametrize("own_ending", ["started", "withdrawn", "aborted", "changed", "superseded"])
def test_race__a_hundred_attempts__rows_and_record_agree(crew: Any, own_ending: str) -> None:
    release = ask(crew, own_ending)
    acts = deciding(crew, release)
    order = random.Random(own_ending)
    chosen = [order.choice(acts) for _ in range(ATTEMPTS)] + [ending(crew, release)[own_ending]] * 2
    order.shuffle(chosen)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(attempt, chosen))
    release_look(release_id=str(release.pk), now=clock.now())
    assert_agree(release)
    others = Release.objects.filter(endpoint=release.endpoint_id).exclude(pk=release.pk)
    assert others.count() == (own_ending == "superseded" and "Superseded" in fresh(release).status_reason)


@pytest.mark.parametrize("first", ["approve", "emergency", "reject", "withdraw"])
def test_race__emergency_against_the_last_approval__one_way_ends_the_request(crew: Any, first: str) -> None:
    Policy.objects.update(emergency_allowed=True)
    release = ask(crew, f"last-{first}")
    rita, bob, oscar = (people.actor for people in (crew.rita, crew.bob, crew.oscar))
    for actor in (rita, bob):
        release_decide(actor=actor, release=fresh(release), decision="approve")
    expects = fresh(release).approval.content_hash  # type: ignore[union-attr]
    emergency = {"expects": expects, "reason": "fire", "ticket": "T-1"}
    ways: dict[str, Callable[[], object]] = {
        "approve": lambda: release_decide(actor=oscar, release=fresh(release), decision="approve"),
        "emergency": lambda: release_emergency(actor=crew.mona.actor, release=fresh(release), **emergency),
        "reject": lambda: release_decide(actor=oscar, release=fresh(release), decision="reject", comment="no"),
        "withdraw": lambda: release_withdraw(actor=crew.emma.actor, release=fresh(release), reason="no"),
    }
    looks = [lambda: release_look(release_id=str(release.pk), now=clock.now())] * 3
    chosen = [*ways.values(), *[ways[first]] * 3, *looks]
    random.Random(first).shuffle(chosen)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(attempt, [ways[first], *chosen]))
    release_look(release_id=str(release.pk), now=clock.now())
    assert_agree(release)
    assert_ended_once(release)


def assert_ended_once(release: Release) -> None:
    """One act ended the request; an emergency is there exactly when it was that one, and nobody's word is beside it."""
    request = ApprovalRequest.objects.get(pk=fresh(release).approval_id)
    records = AuditRecord.objects.filter(subject_kind="approval", subject_id=str(request.pk))
    ends = list(records.filter(action__in=ENDINGS).values_list("action", flat=True))
    (end,) = ends + ["rejected" for record in records if record.data.get("kind") == "reject"]
    used, words = Emergency.objects.filter(request=request), request.decisions.filter(person__username="oscar")
    assert (end == "approval.bypassed") == used.exists() == (request.status == "bypassed")
    assert words.count() == (end in ("approval.granted", "rejected"))
    assert used.count() <= 1
    assert not used or used[0].skipped["rules"] == ["1 Risk officer: nobody so far"]
    begun = ReleaseEvent.objects.filter(release=release, kind__in=["release.approved", "release.in_emergency"])
    assert begun.count() == (end in BEGINNINGS)


def assert_agree(release: Release) -> None:
    release = fresh(release)
    request = ApprovalRequest.objects.get(pk=release.approval_id)
    records = list(AuditRecord.objects.filter(subject_kind="approval", subject_id=str(request.pk)).order_by("sequence"))
    actions = [record.action for record in records]
    decided = [record for record in records if record.action == "approval.decided"]
    assert len(decided) == request.decisions.count()
    assert actions.count("approval.commented") == Comment.objects.filter(request=request).count()
    ends = [number for number, action in enumerate(actions) if action in ENDINGS]
    assert all(number > max(0, *(n for n, a in enumerate(actions) if a == "approval.decided"), 0) for number in ends)
    assert "emma" not in {record.actor for record in decided}
    expected = {
        "open": {"awaiting_approval"},
        "approved": {"approved", "rolling_out", "succeeded", "aborted"},
        "bypassed": {"in_emergency", "rolling_out", "succeeded"},
        "rejected": {"rejected"},
        "withdrawn": {"aborted"},
        "void": {"rejected"},
    }
    assert release.status in expected[request.status], (release.status, request.status)
    assert (request.status == "approved") <= approval_progress(request).met
    assert actions.count("approval.granted") <= 1
    started = Rollout.objects.filter(release=release).count()
    assert started <= 1
    assert ReleaseEvent.objects.filter(release=release, kind="release.rolling_out").count() == started
    assert not started or BEGINNINGS & set(actions)
    assert not Decision.objects.filter(request=request).exclude(content_hash=F("request__content_hash")).exists()
