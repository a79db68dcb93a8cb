"""Public keys whose signatures of models count."""

from django.db import IntegrityError, transaction

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.readable import is_text
from mlorch_site.lib.swap import swap
from mlorch_site.live.outbox import publish
from registry.evidence.model_signature import fingerprint_of, public_key_of
from registry.models import SigningKey

NAME_MAX_CHARS, PEM_MAX_CHARS, REASON_MAX_CHARS = 80, 4_000, 300


def required_reason(text: str, field: str = "reason") -> str:
    """The text without spaces around it. Raises Invalid at the field when it is empty or too long."""
    if not text.strip() or not is_text(text):
        raise Invalid("Say why.", details={field: "Say why."})
    if len(text) > REASON_MAX_CHARS:
        sentence = f"A reason has at most {REASON_MAX_CHARS} characters."
        raise Invalid(sentence, details={field: sentence})
    return text.strip()


@transaction.atomic
def signing_key_add(*, actor: Actor, name: str, pem: str, reason: str) -> SigningKey:
    """Let signatures of a public key count. Raises Invalid for what is no such key, Conflict when it counts already."""
    actor.require(Action.POLICY_EDIT)
    if actor.user is None:
        raise Forbidden("Only a person can add a key.")
    name = name.strip()
    if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
        sentence = f"A name has 1 to {NAME_MAX_CHARS} printable characters."
        raise Invalid(sentence, details={"name": sentence})
    if len(pem) > PEM_MAX_CHARS:
        raise Invalid("This is too long for a public key.", details={"pem": "This is too long for a public key."})
    key = public_key_of(pem)
    try:
        with transaction.atomic():
            made = SigningKey.objects.create(
                name=name,
                pem=pem.strip() + "\n",
                fingerprint=fingerprint_of(key),
                reason=required_reason(reason),
                added_by=actor.user,
                added_at=clock.now(),
            )
    except IntegrityError as error:
        raise Conflict("A key with this name, or this very key, counts already.") from error
    data = {"fingerprint": made.fingerprint}
    audit_record(actor, "signing_key.added", _subject(made), reason=made.reason, data=data)
    publish("registry", "signing_keys.changed", {"key": made.name})
    return made


@transaction.atomic
def signing_key_end(*, actor: Actor, key: SigningKey, reason: str) -> SigningKey:
    """Let signatures of a key not count any more, those given before included. Raises Conflict when it ended before."""
    actor.require(Action.POLICY_EDIT)
    reason = required_reason(reason, "ended_reason")
    ended = {"ended_at": clock.now(), "ended_by": actor.name[:150], "ended_reason": reason}
    key.ended_at = None
    if not swap(key, "ended_at", **ended):
        raise Conflict("The key was ended already.")
    audit_record(actor, "signing_key.ended", _subject(key), reason=reason, data={"fingerprint": key.fingerprint})
    publish("registry", "signing_keys.changed", {"key": key.name})
    return key


def _subject(key: SigningKey) -> Subject:
    return Subject("signing_key", str(key.pk), key.name)
