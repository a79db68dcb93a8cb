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
    ENDPOINT_MANAGE = "endpoint.manage"  # create, serving configuration
    ENDPOINT_TRY = "endpoint.try"
    KEY_MANAGE = "key.manage"
    MODEL_EDIT = "model.edit"  # risk tier, owner, cards, findings; deprecate, retire and restore versions
    VERSION_BLOCK = "version.block"  # block and unblock
    POLICY_EDIT = "policy.edit"
    PEOPLE_MANAGE = "people.manage"
    AUDIT_VIEW = "audit.view"

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
    Action.ENDPOINT_MANAGE: "Manage endpoints: serving config, retirement",
    Action.ENDPOINT_TRY: "Try an endpoint",
    Action.KEY_MANAGE: "Manage gateway keys",
    Action.MODEL_EDIT: "Set a model's owner and risk tier, write cards, retire versions, resolve findings",
    Action.VERSION_BLOCK: "Block and unblock a version",
    Action.POLICY_EDIT: "Write policies",
    Action.PEOPLE_MANAGE: "Manage people and give roles",
    Action.AUDIT_VIEW: "Read the audit log",
}

_OPERATE = {Action.RELEASE_PAUSE, Action.RELEASE_ABORT, Action.ENDPOINT_ROLLBACK, Action.ENDPOINT_TRY}

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.VIEWER: frozenset({Action.VIEW}),
    Role.ENGINEER: frozenset({Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_REQUEST, Action.MODEL_EDIT} | _OPERATE),
    Role.REVIEWER: frozenset({Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_DECIDE, Action.RELEASE_ABORT}),
    Role.RISK_OFFICER: frozenset(
        {Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_DECIDE, Action.RELEASE_ABORT, Action.ENDPOINT_ROLLBACK}
        | {Action.VERSION_BLOCK}
    ),
    Role.RELEASE_MANAGER: frozenset(
        {Action.VIEW, Action.AUDIT_VIEW, Action.RELEASE_REQUEST, Action.RELEASE_PROMOTE, Action.ENDPOINT_MANAGE}
        | {Action.KEY_MANAGE, Action.MODEL_EDIT, Action.VERSION_BLOCK}
        | _OPERATE
    ),
    Role.ADMINISTRATOR: frozenset(set(Action) - {Action.RELEASE_DECIDE}),
}


def roles_that_allow(action: Action) -> list[Role]:
    """The roles that hold `action`, in the order in which the table lists them."""
    return [role for role, actions in ALLOWED.items() if action in actions]
