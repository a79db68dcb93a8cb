"""A draft out of a document, for the page, the command, and whoever else has one."""

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.lib.errors import Invalid, NotFound
from registry import services
from registry.models import PolicyDraft
from registry.policy_document import PolicyDocument, read_document
from registry.policy_lines import PolicyLine
from registry.selectors import environment_for, model_for


def draft_from_document(*, actor: Actor, text: str) -> PolicyDraft:
    """Begin a draft of what a document says. Raises Invalid with line and key, Forbidden without the role."""
    said = read_document(text)
    return services.draft_create(actor=actor, line=_line(actor, said), values=said.values, note=said.note)


def _line(actor: Actor, said: PolicyDocument) -> PolicyLine:
    """The line that a document is for. Raises Invalid for what the actor does not see."""
    try:
        environment = environment_for(actor, said.environment, action=Action.POLICY_EDIT)
    except NotFound as error:
        raise Invalid(error.message, details={"environment": error.message}) from error
    try:
        model = model_for(actor, said.model) if said.model else None
    except NotFound as error:
        raise Invalid(error.message, details={"model": error.message}) from error
    return PolicyLine(environment, model, said.tier)
