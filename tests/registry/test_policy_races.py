"""A hundred attempts at once to write, review, publish and take back drafts of two lines: whatever comes first, one
revision of a line is in force, each followed the one its draft began on, and the record agrees.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any
from unittest import mock

import pytest
from django.db import connections

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from registry import services
from registry.models import Environment, Policy, PolicyDraft
from registry.policy_lines import PolicyLine
from tests.factories import make_person
from tests.support.own_database import own_database

ATTEMPTS, THREADS = 100, 8
ROUNDS_MAX = 5  # in which something has to come into force; what threads do first is nobody's choice
ACTS = (
    "create",
    "edit",
    "submit",
    "submit",
    "publish",
    "publish",
    "schedule",
    "effect",
    "return",
    "rebase",
    "withdraw",
)


@pytest.fixture
def db(django_db_setup: Any, django_db_blocker: Any, tmp_path: Any) -> Iterator[None]:
    """A database that threads share, in the place of the one in a transaction of the test's own."""
    with django_db_blocker.unblock(), own_database(tmp_path), mock.patch("mlorch_site.live.outbox._after_commit"):
        yield


def attempt(number: int) -> str:
    """One act of one person on a draft as it is just now, and what came of it."""
    dice = random.Random(number)
    try:
        return act(dice, ACTS[dice.randrange(len(ACTS))])
    except DomainError as error:
        return type(error).__name__
    finally:
        connections.close_all()


def act(dice: random.Random, how: str) -> str:
    people = {draft_author.username: draft_author for draft_author in administrators()}
    actor = actor_for_user(people[dice.choice(["ada", "bob"])])
    drafts = list(PolicyDraft.objects.exclude(stage__in=["in_force", "withdrawn"]).order_by("created_at"))
    if how == "create" or not drafts:
        line = PolicyLine(Environment.objects.get(), tier=dice.choice(["", "high"]))
        services.draft_create(actor=actor, line=line, values={"approval_days": dice.randint(1, 90)}, note="better")
        return "created"
    draft = dice.choice(drafts)
    given: dict[str, Any] = {"actor": actor, "draft": draft, "seen": draft.row_version}
    more: dict[str, Any] = {
        "edit": {"values": {"approval_days": dice.randint(1, 90)}, "note": "other"},
        "schedule": {"starts_at": clock.now() + timedelta(hours=1)},
        "return": {"reason": "no"},
    }.get(how, {})
    if how == "effect":
        services.draft_take_effect(draft=draft, now=clock.now() + timedelta(hours=2))
    else:
        getattr(services, f"draft_{how}")(**given, **more)
    return how


def administrators() -> Any:
    return User.objects.filter(username__in=["ada", "bob"])


def test_drafts__a_hundred_attempts_at_once__revisions_and_record_agree(people: Any) -> None:
    make_person("bob", [(Role.ADMINISTRATOR, "*")])
    place = services.environment_create(actor=Actor.controller("test"), name="lab", position=1, protected=True)
    for tier in ("", "high"):  # there is something to publish from the first attempt on
        line = PolicyLine(place, tier=tier)
        draft = services.draft_create(actor=people.ada.actor, line=line, values={"approval_days": 5}, note="shorter")
        services.draft_submit(actor=people.ada.actor, draft=draft, seen=1)
    outcomes = []
    while len(outcomes) < ATTEMPTS * ROUNDS_MAX and not PolicyDraft.objects.filter(stage="in_force").exists():
        with ThreadPoolExecutor(THREADS) as threads:
            outcomes += threads.map(attempt, range(len(outcomes), len(outcomes) + ATTEMPTS))
    assert len(outcomes) >= ATTEMPTS

    rows = list(Policy.objects.order_by("revision"))
    assert [policy.revision for policy in rows] == list(range(1, len(rows) + 1))
    for tier in ("", "high"):
        line = [policy for policy in rows if policy.tier == tier]
        assert [policy.retired_at for policy in line] == [policy.created_at for policy in line[1:]] + [None] * bool(
            line
        )
        for before, after in pairwise(line):
            assert PolicyDraft.objects.get(made=after).base == before
    for draft in PolicyDraft.objects.filter(stage="in_force").select_related("made"):
        assert draft.published_by not in set(draft.authors.all())
        assert draft.made.approval_days == draft.values["approval_days"]
    made = PolicyDraft.objects.filter(stage="in_force").count()
    assert made == len(rows) - 1 > 0
    assert AuditRecord.objects.filter(action="policy.revised").count() == len(rows)
    assert AuditRecord.objects.filter(action="policy_draft.in_force").count() == made
    assert place.policies.filter(retired_at=None, tier="").count() == 1
