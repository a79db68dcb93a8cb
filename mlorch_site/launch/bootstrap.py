"""The first people, tokens and gateway key of a new installation, and the file that tells them to whoever installed
it.
"""

import json
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from deployments.services import gateway_key_create
from deployments.services.keys import SITE_KEY_FILE
from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.bindings import role_bind
from mlorch_site.accounts.models import User
from mlorch_site.accounts.roles import EVERYWHERE, Role
from mlorch_site.accounts.services import TOKEN_MAX_DAYS, person_create, token_create
from mlorch_site.lib import clock
from registry.services.defaults import defaults_create

FILE_NAME = "credentials.json"
PASSWORD_BYTES = 12
FIRST_PEOPLE: dict[str, tuple[str, Role]] = {
    "viewer": ("Vera Viewer", Role.VIEWER),
    "engineer": ("Emil Engineer", Role.ENGINEER),
    "reviewer": ("Rosa Reviewer", Role.REVIEWER),
    "risk": ("Rafael Risk", Role.RISK_OFFICER),
    "manager": ("Mina Manager", Role.RELEASE_MANAGER),
    "admin": ("Ada Admin", Role.ADMINISTRATOR),
}


def bootstrap(data_dir: Path, *, web: str, gateway: str, mlflow: str, gateway_grpc: str = "") -> dict[str, Any] | None:
    """Create environments, first people and a gateway key when nobody is there yet, and write the credentials file.

    Returns the credentials when they were made now, else None; a later call only refreshes the addresses and the
    metrics token in the file.
    The file is written inside the transaction: when that fails, nobody was created.
    """
    addresses = {"web": web, "gateway": gateway, "gateway_grpc": gateway_grpc, "mlflow": mlflow}
    if settings.METRICS_TOKEN:
        addresses["metrics_token"] = settings.METRICS_TOKEN
    actor = Actor.controller("bootstrap")
    with transaction.atomic():
        defaults_create(actor=actor)
        if User.objects.exists():
            _refresh_addresses(data_dir / FILE_NAME, addresses)
            return None
        people = {name: _first_person(actor, name, full_name, role) for name, (full_name, role) in FIRST_PEOPLE.items()}
        _, own_key = gateway_key_create(
            actor=actor, name="the site itself", environments=["*"], endpoints=["*"], expires_at=None
        )
        _write_private(data_dir / SITE_KEY_FILE, own_key + "\n")
        _, key = gateway_key_create(actor=actor, name="first key", environments=["*"], endpoints=["*"], expires_at=None)
        credentials = {**addresses, "gateway_key": key, "people": people}
        _write(data_dir / FILE_NAME, credentials)
    return credentials


def _first_person(actor: Actor, username: str, full_name: str, role: Role) -> dict[str, str]:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = person_create(
        actor=actor, username=username, password=password, full_name=full_name, staff=role is Role.ADMINISTRATOR
    )
    if role is Role.ADMINISTRATOR:
        User.objects.filter(pk=user.pk).update(is_superuser=True)
    role_bind(actor=actor, user=user, role=role, scope=EVERYWHERE, reason="One of the first people.")
    expires_at = clock.now() + timedelta(days=TOKEN_MAX_DAYS - 1)
    _, token = token_create(actor=actor, user=user, name="first token", scopes=["read", "write"], expires_at=expires_at)
    return {"username": username, "password": password, "token": token}


def _refresh_addresses(path: Path, addresses: dict[str, str]) -> None:
    try:
        credentials = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    if {**credentials, **addresses} != credentials:
        _write(path, {**credentials, **addresses})


def _write(path: Path, credentials: dict[str, Any]) -> None:
    _write_private(path, json.dumps(credentials, indent=2) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Replace the file as a whole; it is never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
