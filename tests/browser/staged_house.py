"""Policies, models and people of the staged site, written by the services that people use."""

from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator

from deployments.models import Release
from deployments.services import (
    endpoint_retire,
    gateway_key_create,
)
from mlorch_site.accounts.bindings import role_bind, role_unbind
from mlorch_site.accounts.groups import group_create, member_add
from mlorch_site.accounts.models import SignOnIssuer
from mlorch_site.accounts.recovery_codes import codes_renew
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.service_accounts import service_account_create
from mlorch_site.accounts.services import token_create
from mlorch_site.lib import clock
from registry.lifecycle import FactKind
from registry.models import Environment, Model, Policy, Version
from registry.policy_lines import PolicyLine
from registry.services import (
    card_save,
    draft_create,
    draft_publish,
    draft_return,
    draft_schedule,
    draft_submit,
    draft_withdraw,
    version_act,
)
from registry.services.facts import facts_note
from registry.services.findings import finding_add

RULES = [{"role": "reviewer", "count": 1}, {"role": "risk_officer", "count": 1}]
FREEZE = {
    "kind": "freeze",
    "name": "Year's end",
    "zone": "Europe/Berlin",
    "starts": "2026-12-20T18:00",
    "minutes": 14 * 24 * 60,
}
WEEKENDS = {
    **FREEZE,
    "name": "Weekend",
    "starts": "2026-11-06T18:00",
    "minutes": 62 * 60,
    "rule": "FREQ=WEEKLY;BYDAY=FR",
}
ALWAYS = {**FREEZE, "name": "Audit of the hospital", "starts": "2026-01-01T00:00", "minutes": 366 * 24 * 60 - 1}
CARD = {
    "owner": "imaging",
    "contact": "imaging@example.org",
    "risk_tier": "high",
    "licence": "apache-2.0",
    "summary": "Tells malignant from benign lesions.",
    "intended_use": "A second look beside a radiologist.",
    "limits": "- children\n- lesions below 3 mm",
    "evaluation_data": "| set | cases |\n|---|---|\n| ward A | 1200 |\n| ward B | 310 |",
    "results": [{"metric": "recall", "value": 0.881, "dataset": "ward A"}],
}


def _draft(people: Any, line: PolicyLine, **values: Any) -> Any:
    return draft_create(actor=people.ada.actor, line=line, values=values, note="nobody is on call at night")


def policies_staged(people: Any, paths: dict[str, str]) -> None:
    """Drafts in every stage, one whose base went by, windows, a line for a model, and a closed environment."""
    production, staging = (Environment.objects.get(name=name) for name in ("production", "staging"))
    line = PolicyLine(production)
    stale = _draft(people, line, approval_days=9)
    made = _draft(people, line, windows=[WEEKENDS, FREEZE], approval_rules=RULES, replicas_max=60)
    made = draft_submit(actor=people.ada.actor, draft=made, seen=made.row_version)
    draft_publish(actor=people.bob.actor, draft=made, seen=made.row_version)
    loose = _draft(people, line, approval_rules=RULES[:1], emergency_allowed=False)
    paths |= {"draft stale": f"/policies/drafts/{stale.pk}/", "draft loosening": f"/policies/drafts/{loose.pk}/"}
    waits = _draft(
        people,
        PolicyLine(production, tier="high"),
        approval_rules=[{"role": "reviewer", "count": 2}, {"role": "risk_officer", "count": 1}],
    )
    waits = draft_submit(actor=people.ada.actor, draft=waits, seen=waits.row_version)
    planned = _draft(people, PolicyLine(production, model=Model.objects.first()), replicas_max=3)
    planned = draft_submit(actor=people.ada.actor, draft=planned, seen=planned.row_version)
    draft_schedule(
        actor=people.bob.actor, draft=planned, seen=planned.row_version, starts_at=clock.now() + timedelta(days=3)
    )
    sent_back = _draft(people, PolicyLine(production, tier="low"), approval_rules=[])
    sent_back = draft_submit(actor=people.ada.actor, draft=sent_back, seen=sent_back.row_version)
    draft_return(actor=people.bob.actor, draft=sent_back, seen=sent_back.row_version, reason="Not without a reviewer.")
    gone = _draft(people, PolicyLine(staging), approval_days=3)
    draft_withdraw(actor=people.ada.actor, draft=gone, seen=gone.row_version, reason="not needed")
    names = {"in review": waits, "scheduled": planned, "returned": sent_back, "withdrawn": gone}
    paths |= {f"draft {name}": f"/policies/drafts/{draft.pk}/" for name, draft in names.items()}
    Policy.objects.filter(environment=staging).update(windows=[ALWAYS])


def registry_staged(people: Any, paths: dict[str, str]) -> None:
    """A deprecated, a blocked and a retired version, cards with revisions, a finding."""
    model, now = Model.objects.get(name="tumours"), clock.now()
    for number in (4, 5):
        Version.objects.create(model=model, number=number, status="READY", created_at=now, updated_at=now)
    for number in (1, 2, 3, 4, 5):
        facts_note(model, {FactKind.STATUS: "READY"}, version=model.versions.get(number=number))
    version_act(actor=people.emma.actor, version=model.versions.get(number=4), act="deprecate", reason="5 is better")
    version_act(actor=people.emma.actor, version=model.versions.get(number=4), act="retire", reason="nobody uses it")
    version_act(
        actor=people.oscar.actor,
        version=model.versions.get(number=5),
        act="block",
        reason="trained on ward B's test set",
    )
    two = model.versions.get(number=2)
    card_save(
        actor=people.emma.actor,
        version=model.versions.get(number=1),
        content=CARD | {"results": []},
        based_on=0,
        note="first",
    )
    card_save(actor=people.emma.actor, version=two, content=CARD, based_on=0, note="first")
    card_save(
        actor=people.mona.actor,
        version=two,
        content=CARD | {"limits": "- children\n- lesions below 2 mm", "training_data": "Three wards, 2019 to 2025."},
        based_on=1,
        note="what the ward said",
    )
    finding_add(
        model=model,
        kind="alias_moved",
        summary="The alias champion was moved to version 3 outside of mlorch.",
        data={"alias": "champion"},
        now=now,
    )
    for number in range(1, 4):
        Model.objects.create(name=f"a-model-with-a-rather-long-name-{number}", owner="", created_at=now, updated_at=now)


def accounts_staged(people: Any, paths: dict[str, str]) -> str:
    """Second factors, tokens, a program's account, groups, an issuer, roles of today and of the past; return one of
    rita's recovery codes.
    """
    now, rita = clock.now(), people.rita.user
    Authenticator.objects.create(user=rita, type=Authenticator.Type.TOTP, data={"secret": "x"})
    for name in ("Laptop", "Key in the safe of the department"):
        Authenticator.objects.create(user=rita, type=Authenticator.Type.WEBAUTHN, data={"name": name, "credential": {}})
    account = service_account_create(actor=people.emma.actor, name="ci", purpose="requests releases after every night")
    role_bind(actor=people.ada.actor, user=account, role=Role.ENGINEER, scope="environment:staging", reason="releases")
    token_create(
        actor=people.emma.actor, user=account, name="ci", scopes=["read", "write"], expires_at=now + timedelta(days=20)
    )
    token_create(
        actor=people.rita.actor, user=rita, name="laptop", scopes=["read"], expires_at=now + timedelta(days=20)
    )
    board = group_create(actor=people.ada.actor, name="medical board")
    for person in (people.rita, people.oscar, people.carol):
        member_add(actor=people.ada.actor, group=board, user=person.user, reason="is a physician")
    SignOnIssuer.objects.create(
        slug="house", name="House", url="https://id.example.org/realms/one", client_id="mlorch", rules=[]
    )
    given = role_bind(
        actor=people.ada.actor,
        user=rita,
        role=Role.RISK_OFFICER,
        scope="environment:staging",
        reason="stands in for oscar while he is away at the sea",
        expires_at=now + timedelta(days=5),
    )
    over = role_bind(actor=people.ada.actor, user=rita, role=Role.ENGINEER, scope="model:tumours", reason="trains")
    role_unbind(actor=people.bob.actor, binding=over, reason="does so no more")
    gateway_key_create(
        actor=people.mona.actor,
        name="ward's client",
        environments=["production"],
        endpoints=["clinic"],
        expires_at=None,
    )
    paths |= {"binding": f"/people/rita/bindings/{given.pk}/"}
    endpoint = Release.objects.get(pk=paths["rejected"].split("/")[2]).endpoint
    endpoint_retire(actor=people.mona.actor, endpoint=endpoint, expects=None, reason="ward D has closed")
    paths["retired"] = f"/endpoints/production/{endpoint.name}/"
    return codes_renew(rita)[0]
