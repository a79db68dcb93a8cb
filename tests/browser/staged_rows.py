"""Something of everything that governance shows, written by the services that people use."""

from datetime import timedelta
from typing import Any

import time_machine

from dataplane.wire.drift_report import DriftPlace, DriftReport, DriftWindow, LearnedColumns
from dataplane.wire.feature_counts import counts_for
from deployments.models import Release
from deployments.processes.drift_reports import sampled_places
from deployments.services import (
    ReleaseCommand,
    gate_waive,
    release_decide,
    release_request,
)
from deployments.services.checks import release_check
from deployments.services.controls import endpoint_rollback
from deployments.services.emergency import release_emergency
from deployments.services.outcomes import outcomes_post
from deployments.services.watching import watched_in_use
from mlorch_site.accounts.absences import absence_say
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import Role
from mlorch_site.lib import clock
from mlorch_site.live.outbox import relay
from mlorch_site.notices import limits
from mlorch_site.notices.models import Delivery
from mlorch_site.notices.subscriptions import SubscriptionWish, subscription_create, subscription_disable
from monitoring.services import OutcomeWish, drift_report_store, outcome_define
from registry.approvals.comments import comment_add
from registry.approvals.delegations import delegation_give
from registry.models import BackendState, Emergency, GateResult, Model, Policy, Version
from registry.services import (
    environment_create,
    saved_filter_keep,
)
from tests.browser.staged_house import RULES, accounts_staged, policies_staged, registry_staged
from tests.deployments.world import CANARY, World
from tests.factories import make_people, make_person
from tests.support.sending import attempt

GATES = ["version_ready", "signature_present", "input_example_present", "metadata_complete"]
LONG = (
    "Recall on small lesions rises from 0.81 to 0.88; the ward asked for it. "
    "See https://wiki.example.org/tumours/recall-on-small-lesions-of-the-left-lung-2026"
)


def stage() -> dict[str, Any]:
    """Write it all; return the `paths` of pages whose addresses carry ids, by a short name, and a `recovery_code` of
    rita, who has a second factor.
    """
    people = make_people()
    people.bob = make_person("bob", [(Role.ADMINISTRATOR, "*")])
    people.carol = make_person("carol", [(Role.REVIEWER, "*"), (Role.RISK_OFFICER, "environment:staging")])
    for person in vars(people).values():
        User.objects.filter(pk=person.user.pk).update(email=f"{person.user.username}@example.org")
    began_at = clock.now().replace(microsecond=0) - timedelta(hours=3)
    with time_machine.travel(began_at, tick=False):
        world = World(people, now=began_at)
    paths: dict[str, str] = {}
    with world.at():
        environment_create(
            actor=people.ada.actor, name="staging", position=1, approval_rules=RULES[:1], gates=GATES[:1]
        )
        environment_create(actor=people.ada.actor, name="development", position=2)
        _who_is_told(people)
    _traffic(world, paths)
    _requests(world, paths)
    _under_way(world, paths)
    _drift(world)
    _deliveries(paths)
    policies_staged(people, paths)
    registry_staged(people, paths)
    recovery_code = accounts_staged(people, paths)
    while relay():
        pass
    now = clock.now()
    BackendState.objects.update(reachable=True, ever_reached=True, checked_at=now, synced_at=now)
    return {"paths": paths, "recovery_code": recovery_code}


def _who_is_told(people: Any) -> None:
    """Two webhooks that nobody answers, one of them disabled; administrators and one group of people."""
    kinds = ["approval_waiting", "emergency_used"]
    for name, environments in (("pager", ["production"]), ("chat of the ward's machine-learning people", ["*"])):
        wish = SubscriptionWish(name, f"http://127.0.0.1:9/{name.split()[0]}", kinds, environments)
        subscription_create(actor=people.ada.actor, wish=wish)
    old, _ = subscription_create(
        actor=people.ada.actor, wish=SubscriptionWish("old", "http://127.0.0.1:9/old", kinds, ["staging"])
    )
    subscription_disable(actor=people.ada.actor, subscription=old, reason="moved to the pager")


def _traffic(world: World, paths: dict[str, str]) -> None:
    """Version 1 serves; 3 was taken back by the judge, 2 after its promotion by hand."""
    served = world.serve(1)
    world.errors = {"3": 0.5}
    back = world.until(world.request(3), "rolled_back")
    world.errors = {}
    paths |= {"served": f"/releases/{served.pk}/", "taken back": f"/releases/{back.pk}/"}
    paths["report"] = f"/releases/{back.pk}/report/"
    paths["report on paper"] = f"/reports/{back.report.pk}/print/"
    paths["two reports"] = f"/reports/compare/?one={served.report.pk}&other={back.report.pk}"
    promoted = world.until(world.request(2), "succeeded")
    with world.at():
        restored = endpoint_rollback(
            actor=world.people.mona.actor, endpoint=world.endpoint, expects=str(promoted.pk), reason="The ward asked."
        )
    world.until(restored, "succeeded")
    world.tick(3)
    paths |= {"restored": f"/releases/{restored.pk}/", "report of promoted": f"/releases/{promoted.pk}/report/"}
    for what in ("models/tumours", "endpoints/production/clinic", "environments/production"):
        paths[f"past {what}"] = f"/{what}/past/?at={world.now:%Y-%m-%dT%H:%M:%S}"


def _under_way(world: World, paths: dict[str, str]) -> None:
    """A canary of version 2, approved, with a tenth of the traffic."""
    world.now = clock.now().replace(microsecond=0) - timedelta(minutes=5)
    live = world.request(2, reason=LONG, ticket="CHG-2026-1107")
    for person in (world.people.rita, world.people.oscar):
        with world.at():
            release_decide(actor=person.actor, release=live, decision="approve", comment="Looks right.")
    world.tick(7)
    paths["rolling out"] = f"/releases/{live.pk}/"
    with world.at():
        _outcomes(world)


def _outcomes(world: World) -> None:
    """What became of some people's requests: one outcome of each kind, and one that nobody posts."""
    actor, place = world.people.emma.actor, watched_in_use(world.endpoint)
    for wish in (
        OutcomeWish("wrong-diagnosis", "binary", "worse"),
        OutcomeWish("days-in-ward", "number", "worse", 0.0, 60.0, "days"),
        OutcomeWish("complaint", "binary", "worse"),
    ):
        outcome_define(actor=actor, place=place, wish=wish)
    row = {"environment": "production", "endpoint": "clinic", "at": world.now.isoformat()}
    rows = [
        row | {"unit": f"patient-{number}", "name": name, "value": value}
        for number in range(60)
        for name, value in (("wrong-diagnosis", number % 9 == 0), ("days-in-ward", 2 + number % 11))
    ]
    outcomes_post(actor=actor, rows=rows)


def _drift(world: World) -> None:
    """Sampled requests of an hour: one input moved, one did not, one is missing often, and too few predictions."""
    rows = [[place % 50 + 20, "ward" if place % 3 else "clinic", place] for place in range(300)]
    example = {"dataframe_split": {"columns": ["age", "where the patient comes from", "dose"], "data": rows}}
    version = Version.objects.get(model=world.model, number=1)
    Version.objects.filter(pk=version.pk).update(evidence={**version.evidence, "input_example": example})
    now = clock.now()
    place = DriftPlace(world.endpoint.environment.name, world.endpoint.name, "1")
    stored = {"gateway": "g1", "places": sampled_places({place}), "now": now}
    learned = LearnedColumns(place, True, {"prediction": ["benign", "malignant"] * 100})
    drift_report_store(report=DriftReport("b1", 1, [place]), **stored)
    (plan,) = drift_report_store(report=DriftReport("b1", 2, [place], learned=[learned]), **stored)
    windows = []
    for minute in range(5, 65, 5):
        values = [[minute + 20], ["ward", "street"], [100, None]]
        inputs = {one.name: counts_for(one, some * 15) for one, some in zip(plan.inputs, values, strict=True)}
        start = int(now.timestamp()) - 60 * minute
        windows.append(DriftWindow(place, "stable", "r1", start, plan.key, 30, inputs=inputs))
    drift_report_store(report=DriftReport("b1", 3, [place], windows), **stored)


def _policy(world: World, **fields: Any) -> None:
    Policy.objects.filter(environment=world.environment).update(**fields)


def _ask(world: World, version: int, endpoint: str, **changes: Any) -> Release:
    """A request for an endpoint of its own, its gates answered."""
    values = {"strategy": CANARY, "reason": LONG, "guardrails": [{"metric": "error_rate", "margin": 0.1}], **changes}
    world.now += timedelta(minutes=1)
    with world.at():
        command = ReleaseCommand(world.model.name, version, "production", endpoint, **values)
        release = release_request(actor=world.people.emma.actor, command=command)
        release_check(release_id=str(release.pk), now=world.now)
    return Release.objects.select_related("approval").get(pk=release.pk)


def _requests(world: World, paths: dict[str, str]) -> None:
    """Requests that wait for gates, waivers and people; one in an emergency, one rejected, one withdrawn."""
    people = world.people
    Model.objects.filter(pk=world.model.pk).update(risk_tier="low", owner="imaging")
    _policy(world, approval_rules=RULES, gates=GATES, waiver_role="risk_officer", waiver_days_max=5)
    _policy(world, required_metadata=["licence"], bulk_decisions=True, emergency_allowed=True, protected=True)
    _policy(world, replicas_max=40, judge_deadline_s=86_400)
    refused = _ask(world, 3, "ward-a")
    _policy(world, gates=GATES[:2])
    waived = _waived(world)
    _policy(world, gates=GATES[:1])
    talked, urgent, rejected, plain = (
        _ask(world, 2, name) for name in ("clinic-of-the-university-hospital-north-wing", "ward-c", "ward-d", "ward-e")
    )
    with world.at():
        _said_of(people, talked, urgent, rejected)
        _away(people)
        relay()
    names = {
        "refused": refused,
        "waived": waived,
        "talked": talked,
        "urgent": urgent,
        "rejected": rejected,
        "plain": plain,
    }
    for name, release in names.items():
        paths[name] = f"/releases/{release.pk}/"
        if release.approval_id:
            paths[f"approval of {name}"] = f"/approvals/{release.approval_id}/"
    row = GateResult.objects.filter(subject_id=str(refused.pk), outcome="fail", is_current=True)[0]
    paths["gate"] = f"/releases/{refused.pk}/gates/{row.gate}/"
    paths["emergency"] = f"/releases/{plain.pk}/emergency/"
    paths["review"] = f"/reviews/{Emergency.objects.get().pk}/"
    paths["bulk"] = f"/approvals/bulk/?decision=approve&request={plain.approval_id}&request={waived.approval_id}"


def _waived(world: World) -> Release:
    """A request of which one finding was let pass."""
    release, reason = _ask(world, 2, "ward-b"), "The client of ward B knows the columns."
    with world.at():
        for row in GateResult.objects.filter(subject_id=str(release.pk), outcome="fail", is_current=True):
            oscar = world.people.oscar.actor
            gate_waive(actor=oscar, release=release, gate=row.gate, finding=row.finding, reason=reason, days=3)
        release_check(release_id=str(release.pk), now=world.now)
    return Release.objects.select_related("approval").get(pk=release.pk)


def _said_of(people: Any, talked: Release, urgent: Release, rejected: Release) -> None:
    """Decisions, comments, and an emergency."""
    release_decide(
        actor=people.rita.actor, release=talked, decision="approve", comment="Recall is **better** in every ward."
    )
    said = comment_add(
        actor=people.oscar.actor,
        request=talked.approval,
        text="What about `ward B`? @rita @emma\n\n| set | recall |\n|---|---|\n| A | 0.88 |\n| B | 0.79 |",
    ).comment
    comment_add(
        actor=people.emma.actor,
        request=talked.approval,
        text="310 cases only; see the card. @oscar @nobody",
        parent=said.pk,
    )
    release_emergency(
        actor=people.mona.actor,
        release=urgent,
        expects=urgent.approval.content_hash,
        reason="Wrong doses since noon; the old version reads the new scanner's files wrongly.",
        ticket="INC-7",
    )
    release_decide(
        actor=people.oscar.actor, release=rejected, decision="reject", comment="The evaluation misses ward B."
    )


def _away(people: Any) -> None:
    """Who is away, who decides for whom, and filters that somebody keeps."""
    now = clock.now()
    until = now + timedelta(days=9)
    delegation_give(
        actor=people.oscar.actor,
        delegate="carol",
        scopes=["environment:production"],
        starts_at=now,
        ends_at=until,
        reason="at the sea",
    )
    tomorrow = now + timedelta(days=1)
    delegation_give(
        actor=people.rita.actor, delegate="oscar", scopes=["*"], starts_at=tomorrow, ends_at=until, reason="conference"
    )
    absence_say(actor=people.oscar.actor, first_day=now.date(), last_day=until.date(), note="at the sea")
    saved_filter_keep(actor=people.rita.actor, name="high risk in production", query="tab=open&tier=high")
    saved_filter_keep(actor=people.rita.actor, name="mine", query="tab=mine")


def _deliveries(paths: dict[str, str]) -> None:
    """What could not be sent."""
    while relay():
        pass
    waiting = Delivery.objects.filter(channel="webhook")
    for delivery in waiting[:3]:
        attempt(delivery)
    last = waiting[0]
    Delivery.objects.filter(pk=last.pk).update(attempts=limits.ATTEMPTS_MAX - 1)
    attempt(last)
    paths["delivery"] = f"/deliveries/{last.pk}/"
    paths["subscription"] = f"/subscriptions/{last.subscription_id}/"
