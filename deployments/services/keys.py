"""Keys of model clients.

A new or revoked key reaches the gateways with the next route revision, published in the same transaction.
"""

import secrets
from datetime import datetime
from pathlib import Path

from django.db import transaction

from deployments import limits
from deployments.models import Endpoint, GatewayKey
from deployments.routes.publish import publish_changed
from deployments.selectors import gateway_keys_visible_to
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.audit.services import Subject, audit_record
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, NotFound, Unavailable
from mlorch_site.lib.hashing import sha256_hex
from registry.models import Environment

ALL = ["*"]
SITE_KEY_FILE = "site-gateway-key"


@transaction.atomic
def gateway_key_create(
    *, actor: Actor, name: str, environments: list[str], endpoints: list[str], expires_at: datetime | None
) -> tuple[GatewayKey, str]:
    """Create a key and return it with its secret, which is not stored and cannot be shown again.

    `environments` and `endpoints` are names, or `["*"]` for all. Raises Invalid, or Forbidden unless the actor may
    manage keys in every environment named.
    """
    now = clock.now()
    scopes_needed = [[f"environment:{name}"] for name in environments if name != "*"] or [[]]
    for scopes in scopes_needed if "*" not in environments else [[]]:
        actor.require(Action.KEY_MANAGE, scopes)
    _check(name, environments, endpoints, expires_at, now)
    secret = "mlk_" + secrets.token_urlsafe(limits.KEY_BYTES)
    key = GatewayKey.objects.create(
        name=name.strip(),
        prefix=secret[:10],
        digest=sha256_hex(secret.encode()),
        environments=_tidy(environments),
        endpoints=_tidy(endpoints),
        created_by=actor.user,
        created_at=now,
        expires_at=expires_at,
    )
    audit_record(
        actor,
        "gateway_key.created",
        key_subject(key),
        data={"environments": key.environments, "endpoints": key.endpoints},
    )
    publish_changed(environments_of(key), reason=f"key {key.prefix} created", now=now)
    return key, secret


@transaction.atomic
def gateway_key_revoke(*, actor: Actor, key_id: str) -> GatewayKey:
    """Revoke a key; gateways refuse it with the next route revision. Revoking twice is harmless."""
    key = GatewayKey.objects.select_for_update().filter(pk=key_id).first()
    if key is None or not gateway_keys_visible_to(actor).filter(pk=key.pk).exists():
        raise NotFound("There is no such key.")
    for name in key.environments:
        actor.require(Action.KEY_MANAGE, [] if name == "*" else [f"environment:{name}"])
    now = clock.now()
    if key.revoked_at is None:
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        audit_record(actor, "gateway_key.revoked", key_subject(key))
        publish_changed(environments_of(key), reason=f"key {key.prefix} revoked", now=now)
    return key


def environments_of(key: GatewayKey) -> list[Environment]:
    """The environments whose route tables carry the key."""
    environments = Environment.objects.order_by("pk")
    return list(environments if key.environments == ALL else environments.filter(name__in=key.environments))


def keys_of(endpoint: Endpoint, now: datetime) -> list[GatewayKey]:
    """The live keys that open an endpoint, those that name it first."""
    keys = GatewayKey.objects.filter(revoked_at=None).order_by("created_at")
    opening = [
        key
        for key in keys
        if key.is_live(now)
        and not {"*", endpoint.environment.name}.isdisjoint(key.environments)
        and not {"*", endpoint.name}.isdisjoint(key.endpoints)
    ]
    return sorted(opening, key=lambda key: endpoint.name not in key.endpoints)


def key_subject(key: GatewayKey) -> Subject:
    """How the audit record names a key."""
    scopes = tuple(Environment.scope_of(name) for name in key.environments if name != "*")
    return Subject("gateway_key", str(key.pk), f"{key.prefix} {key.name}", scopes)


def _tidy(names: list[str]) -> list[str]:
    return ALL if "*" in names else sorted(set(names))


def _check(
    name: str, environments: list[str], endpoints: list[str], expires_at: datetime | None, now: datetime
) -> None:
    problems = {}
    if not name.strip() or len(name) > limits.KEY_NAME_MAX_CHARS:
        problems["name"] = f"1 to {limits.KEY_NAME_MAX_CHARS} characters"
    known = set(Environment.objects.values_list("name", flat=True)) | {"*"}
    if not environments or set(environments) - known:
        problems["environments"] = 'names of environments, or ["*"]'
    if not endpoints or not all(isinstance(endpoint, str) and endpoint for endpoint in endpoints):
        problems["endpoints"] = 'names of endpoints, or ["*"]'
    if expires_at is not None and expires_at <= now:
        problems["expires_at"] = "in the future"
    if problems:
        raise Invalid("The key cannot be created like this; see details.", details=problems)


def site_key(data_dir: Path) -> str:
    """The key with which the site itself asks the gateway. Raises Unavailable when there is none."""
    try:
        return (data_dir / SITE_KEY_FILE).read_text().strip()
    except OSError as error:
        raise Unavailable("The site has no gateway key of its own; run manage.py bootstrap.") from error
