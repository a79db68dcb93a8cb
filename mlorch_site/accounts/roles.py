"""Roles, actions, and which role may do what. Pure data: surfaces and services ask the same table.

A binding gives a person a role in a scope. A scope is text: `*` (everything), or `<kind>:<name>` such as
`environment:production` or `model:breast-cancer`. An object names the scopes it lies in; a binding counts when its
scope is among them.
"""

from enum import StrEnum

EVERYWHERE = "*"


class Role(StrEnum):
    VIEWER = "viewer"
    ENGINEER = "engineer"
    REVIEWER = "reviewer"
    RISK_OFFICER = "risk_officer"
    RELEASE_MANAGER = "release_manager"
    ADMINISTRATOR = "administrator"

    @property
    def label(self) -> str:
        """The role's name as people read it."""
        return {"engineer": "ML engineer"}.get(self.value, self.value.replace("_", " ").capitalize())


class Action(StrEnum):
    VIEW = "view"
    RELEASE_REQUEST = "release.request"
    RELEASE_DECIDE = "release.decide"
    RELEASE_PAUSE = "release.pause"  # pause and resume
    RELEASE_PROMOTE = "release.promote"  # go on without waiting for the rest of a step
    RELEASE_ABORT = "release.abort"
    ENDPOINT_ROLLBACK = "endpoint.rollback"
    GATE_RUN = "gate.run"  # let a gate of a release answer again
    GATE_WAIVE = "gate.waive"  # where the policy names one's role
    ENDPOINT_MANAGE = "endpoint.manage"  # create, serving configuration
    ENDPOINT_TRY = "endpoint.try"
    OBJECTIVE_EDIT = "objective.edit"  # objectives and alert rules of an endpoint
    OUTCOME_POST = "outcome.post"  # say what became of an endpoint's requests
    ALERT_ANSWER = "alert.answer"  # acknowledge and silence; who may is told when one fires
    KEY_MANAGE = "key.manage"
    MODEL_EDIT = "model.edit"  # risk tier, owner, cards, findings; deprecate, retire and restore versions
    VERSION_BLOCK = "version.block"  # block and unblock
    POLICY_EDIT = "policy.edit"
    PEOPLE_MANAGE = "people.manage"
    AUDIT_VIEW = "audit.view"
    NOTICE_MANAGE = "notice.manage"  # webhook subscriptions, deliveries of e-mail and webhooks
    RELEASE_EMERGENCY = "release.emergency"  # start a release without its approvals

    @property
    def words(self) -> str:
        """What it lets a person do, as people read it."""
        return WORDS[self]


WORDS = {
    Action.VIEW: "See models, releases, endpoints and approvals",
    Action.RELEASE_REQUEST: "Request a release",
    Action.RELEASE_DECIDE: "Approve or reject a release",
    Action.RELEASE_PAUSE: "Pause and resume a rollout",
    Action.RELEASE_PROMOTE: "Promote without waiting for the rest of a step",
    Action.RELEASE_ABORT: "Abort a release",
    Action.ENDPOINT_ROLLBACK: "Roll an endpoint back",
    Action.GATE_RUN: "Let a gate of a release answer again",
    Action.GATE_WAIVE: "Waive what a gate found, where the policy names the role",
    Action.ENDPOINT_MANAGE: "Manage endpoints: serving config, retirement",
    Action.ENDPOINT_TRY: "Try an endpoint",
    Action.OBJECTIVE_EDIT: "Set the objectives and alert rules of an endpoint",
    Action.OUTCOME_POST: "Post outcomes of an endpoint's requests, which releases are judged by",
    Action.ALERT_ANSWER: "Acknowledge and silence alerts, and be told of them",
    Action.KEY_MANAGE: "Manage gateway keys",
    Action.MODEL_EDIT: "Set a model's owner and risk tier, write cards, retire versions, resolve findings",
    Action.VERSION_BLOCK: "Block and unblock a version",
    Action.POLICY_EDIT: "Write policies",
    Action.PEOPLE_MANAGE: "Manage people and give roles",
    Action.AUDIT_VIEW: "Read the audit log",
    Action.NOTICE_MANAGE: "Manage webhook subscriptions, and see what was sent",
    Action.RELEASE_EMERGENCY: "Start a release without its approvals, in an emergency",
}

_OPERATE = {
    *(Action.RELEASE_PAUSE, Action.RELEASE_ABORT, Action.ENDPOINT_ROLLBACK, Action.ENDPOINT_TRY),
    *(Action.OBJECTIVE_EDIT, Action.OUTCOME_POST, Action.ALERT_ANSWER),
}
_GATES = {Action.GATE_RUN, Action.GATE_WAIVE}

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset({Action.VIEW}),
    Role.ENGINEER: frozenset(
        {Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_REQUEST, Action.MODEL_EDIT} | _OPERATE | _GATES
    ),
    Role.REVIEWER: frozenset({Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_DECIDE, Action.RELEASE_ABORT} | _GATES),
    Role.RISK_OFFICER: frozenset(
        {Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_DECIDE, Action.RELEASE_ABORT, Action.ENDPOINT_ROLLBACK}
        | {Action.RELEASE_EMERGENCY, Action.VERSION_BLOCK, Action.ALERT_ANSWER}
        | _GATES
    ),
    Role.RELEASE_MANAGER: frozenset(
        {Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_REQUEST, Action.RELEASE_PROMOTE, Action.ENDPOINT_MANAGE}
        | {Action.KEY_MANAGE, Action.MODEL_EDIT, Action.RELEASE_EMERGENCY, Action.VERSION_BLOCK}
        | _OPERATE
        | _GATES
    ),
    # Who writes the policy neither approves under it nor goes past the approvals that it asks for.
    Role.ADMINISTRATOR: frozenset(set(Action) - {Action.RELEASE_DECIDE, Action.RELEASE_EMERGENCY}),
}


def roles_that_allow(action: Action) -> list[Role]:
    """The roles that hold `action`, in the order in which the table lists them."""
    return [role for role, actions in ALLOWED.items() if action in actions]
