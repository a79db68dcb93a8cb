"""Builders of rows in named states."""

from types import SimpleNamespace

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_unbind
from mlorch_site.accounts.models import RoleBinding, User
from mlorch_site.accounts.roles import Role
from mlorch_site.accounts.selectors import actor_for_user

PASSWORD = "correct horse battery staple"
PERSONAS = {
    "vik": [(Role.VIEWER, "*")],
    "emma": [(Role.ENGINEER, "*")],
    "rita": [(Role.REVIEWER, "*")],
    "oscar": [(Role.RISK_OFFICER, "*")],
    "mona": [(Role.RELEASE_MANAGER, "*")],
    "ada": [(Role.ADMINISTRATOR, "*")],
    "max": [(Role.ENGINEER, "environment:staging")],
    "noa": [],
}


def make_person(username: str, bindings: list[tuple[Role, str]]) -> SimpleNamespace:
    """A person with role bindings, as `user` and `actor`."""
    user = User.objects.create_user(username=username, password=PASSWORD, is_staff=username == "ada")
    for role, scope in bindings:
        RoleBinding.objects.create(user=user, role=role.value, scope=scope)
    return SimpleNamespace(user=user, actor=actor_for_user(user))


def make_people() -> SimpleNamespace:
    """All personas by name."""
    return SimpleNamespace(**{name: make_person(name, bindings) for name, bindings in PERSONAS.items()})


def take_role(actor: Actor, user: User, role: Role) -> None:
    """End the person's bindings to a role, by the service."""
    for binding in user.bindings.filter(role=role.value, ended_at=None):
        role_unbind(actor=actor, binding=binding, reason="not any more")
