"""Who acts: a person (by session or token), or a part of mlorch itself."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import ALLOWED, EVERYWHERE, Action, Role, roles_that_allow
from mlorch_site.lib.errors import Forbidden


class MissingRole(str):
    """The sentence that says which role is missing for `action`. Pages lead from it to what one's roles allow."""

    action: Action

    def __new__(cls, text: str, action: Action) -> "MissingRole":
        reason = super().__new__(cls, text)
        reason.action = action
        return reason


@dataclass(frozen=True)
class Actor:
    """One acting party with its role bindings, as they were when the request began.

    `kind` is `person`, `token`, `controller` or `anonymous`. `bindings` are (role, scope) pairs. `token_scopes` narrows
    what a token may do: None for no narrowing, otherwise a set out of `read`, `write`, `decide`, `outcomes`;
    `token_expires_at` is when it ends. `authenticated_at` is when the person last proved who they are in this session,
    and `proven_by` how.
    """

    kind: str
    name: str
    user: User | None = None
    bindings: frozenset[tuple[Role, str]] = frozenset()
    token_scopes: frozenset[str] | None = None
    token_expires_at: datetime | None = None
    address: str = ""
    request_id: str = ""
    authenticated_at: datetime | None = field(default=None, compare=False)
    proven_by: str = field(default="", compare=False)
    on_behalf_of: str = field(default="", compare=False)

    @classmethod
    def controller(cls, name: str) -> "Actor":
        """The actor for an automatic act; `name` says which part of mlorch acts."""
        return cls(kind="controller", name=name)

    @classmethod
    def anonymous(cls) -> "Actor":
        return cls(kind="anonymous", name="anonymous")

    def on_behalf(self, person: str) -> "Actor":
        """This actor as one that carries out what `person` ordered, itself when that is nobody else."""
        return replace(self, on_behalf_of=person) if person not in ("", self.name) else self

    @property
    def is_controller(self) -> bool:
        return self.kind == "controller"

    @property
    def only_reads(self) -> bool:
        """Whether this actor is a token that may change nothing, whatever its person may."""
        return self.token_scopes is not None and "write" not in self.token_scopes

    def may_change_by(self, action: Action | str) -> bool:
        """Whether its token lets it do anything but read in a route that declares `action`: one with the scope
        `outcomes` may post those and nothing else.
        """
        return not self.only_reads or (action is Action.OUTCOME_POST and OUTCOMES in (self.token_scopes or ()))

    def require_write(self) -> None:
        """Raise Forbidden for a token that may only read: for acts that need no role."""
        if self.only_reads:
            raise Forbidden(ONLY_READS)

    def roles_in(self, scopes: Iterable[str]) -> set[Role]:
        """The roles this actor holds for an object that lies in `scopes`."""
        wanted = {EVERYWHERE, *scopes}
        return {role for role, scope in self.bindings if scope in wanted}

    def may(self, action: Action, scopes: Collection[str] = ()) -> bool:
        """Whether this actor may do `action` on an object that lies in `scopes`."""
        if self.is_controller:
            return True
        if self.why_never(action):
            return False
        return any(action in ALLOWED[role] for role in self.roles_in(scopes))

    def why_never(self, action: Action) -> str:
        """Why no role lets this actor do `action`; empty when one could."""
        if action not in READS and not self.may_change_by(action):
            return ONLY_READS
        is_service = self.user is not None and self.user.is_service
        return NO_PERSON if is_service and action in OF_PEOPLE else ""

    def may_anywhere(self, action: Action) -> bool:
        """Whether some binding of this actor, in whatever scope, allows `action`."""
        return self.may(action, [scope for _, scope in self.bindings])

    def why_not(self, action: Action, scopes: Collection[str] = ()) -> str:
        """The sentence that says why `action` is refused (a MissingRole when it is that), or an empty string when it is
        allowed.
        """
        if self.may(action, scopes):
            return ""
        if reason := self.why_never(action):
            return reason
        roles = " or ".join(role.label for role in roles_that_allow(action))
        where = f" for {' or '.join(sorted(scopes))}" if scopes else ""
        return MissingRole(f"This needs the role {roles}{where}.", action)

    def require(self, action: Action, scopes: Collection[str] = ()) -> None:
        """Raise Forbidden, naming the missing role, unless this actor may do `action`."""
        if reason := self.why_not(action, scopes):
            raise Forbidden(reason)

    def visible_scopes(self) -> set[str] | None:
        """The scopes this actor may see, or None when it may see everything."""
        if self.is_controller or any(scope == EVERYWHERE for _, scope in self.bindings):
            return None
        return {scope for _, scope in self.bindings}


OUTCOMES = "outcomes"  # the scope of a token that reads and posts outcomes
ONLY_READS = "This token may only read."
NO_PERSON = "This is for people: a service account cannot do it, whatever its roles."
OF_PEOPLE = frozenset({Action.RELEASE_DECIDE, Action.PEOPLE_MANAGE, Action.POLICY_EDIT})
READS = frozenset({Action.VIEW, Action.AUDIT_VIEW})
