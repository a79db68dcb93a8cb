"""Work on the registry. Messages carry ids; rows say what is due; running anything twice is harmless."""

import shutil
from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.urls import reverse

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from registry import artifacts, facts, services
from registry.approvals.services import approvals_expire
from registry.backends import backend
from registry.backends.base import Backend, BackendDown, BackendRefused
from registry.models import AliasIntent, BackendState, Version
from registry.services.sync import lease_release, lease_take

log = structlog.get_logger(__name__)

WORKER = Actor.controller("registry worker")
DUE_PER_TICK = 20
DIGEST_LEASE_S = 600


@shared_task(name="registry.sync", queue="work")
def sync() -> None:
    """Mirror the registry once. Only one sync runs at a time."""
    now = clock.now()
    epoch = lease_take(now)
    if epoch is None:
        return
    try:
        registry = backend()
        was_reachable = BackendState.objects.values_list("reachable", flat=True).get(pk=1)
        services.sync_from_backend(registry, epoch=epoch, now=now)
        if not was_reachable and settings.MLFLOW_WEBHOOK_SECRET:
            _ensure_webhook(registry)
    except (BackendDown, BackendRefused) as error:
        services.backend_failed(epoch=epoch, error=str(error), now=clock.now())
        log.warning("backend.down", error=str(error)[:200])
    finally:
        lease_release(epoch)


def _ensure_webhook(registry: Backend) -> None:
    try:
        registry.ensure_webhook(
            settings.WEB_URL.rstrip("/") + reverse("mlflow-webhook"), settings.MLFLOW_WEBHOOK_SECRET
        )
    except (BackendDown, BackendRefused) as error:
        log.info("webhook.not_registered", error=str(error)[:200])


@shared_task(name="registry.tick", queue="control")
def tick() -> None:
    """Enqueue what is due: digests, aliases. Expire approvals."""
    now = clock.now()
    for pk in Version.objects.filter(digest_due_at__lte=now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        digest_version.delay(pk)
    for pk in AliasIntent.objects.filter(applied_at=None, due_at__lte=now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        apply_alias.delay(pk)
    approvals_expire(now=now)


@shared_task(name="registry.digest", queue="work")
def digest_version(version_id: int) -> None:
    """Download the artifacts of a version, note their digest and what they say."""
    version = Version.objects.select_related("model").filter(pk=version_id).first()
    now = clock.now()
    if version is None or version.digest_due_at is None or version.digest_due_at > now:
        return
    # Whoever moves the due time has the work; when this process dies, the time comes again.
    later = now + timedelta(seconds=DIGEST_LEASE_S)
    if not Version.objects.filter(pk=version_id, digest_due_at=version.digest_due_at).update(digest_due_at=later):
        return
    folder = artifacts.new_folder()
    try:
        backend().download(version.model.name, version.number, folder)
        digest, entries = artifacts.take_in(folder)
        values, signature = facts.facts_of(artifacts.path_of(digest))
        services.version_digested(
            actor=WORKER, version=version, digest=digest, entries=entries, facts=values, signature=signature
        )
    except (BackendDown, BackendRefused, DomainError, OSError) as error:
        services.digest_failed(version=version, error=str(error), now=clock.now())
        log.warning("version.digest_failed", version=str(version), error=str(error)[:200])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@shared_task(name="registry.apply_alias", queue="work")
def apply_alias(intent_id: int) -> None:
    """Write one alias to the registry, as it is wanted now."""
    intent = AliasIntent.objects.select_related("model").filter(pk=intent_id, applied_at=None).first()
    if intent is None:
        return
    try:
        registry = backend()
        if intent.version_number is None:
            registry.delete_alias(intent.model.name, intent.name)
        else:
            registry.set_alias(intent.model.name, intent.name, intent.version_number)
    except (BackendDown, BackendRefused) as error:
        services.alias_failed(intent=intent, error=str(error), now=clock.now())
        return
    services.alias_applied(actor=WORKER, intent=intent, version_number=intent.version_number)
