"""Work on the registry. Messages carry ids; rows say what is due; running anything twice is harmless."""

import contextlib
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import Q, QuerySet
from django.urls import reverse

from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError
from mlorch_site.lib.paper import NotPrinted
from mlorch_site.lib.swap import swap
from registry import artifacts, services
from registry.actors import WORKER
from registry.approvals.approval_timers import requests_without_timer, timers_due, timers_run
from registry.approvals.services import approvals_expire, approvals_past
from registry.artifact_reading import facts_of
from registry.backends import backend
from registry.backends.base import Backend, BackendDown, BackendRefused
from registry.cards import card_printing
from registry.lifecycle import VersionStatus
from registry.models import AliasIntent, BackendState, CardPdf, TagIntent, Version, WebhookDelivery
from registry.selectors import why_changed_outside
from registry.services.sync import lease_release, lease_take

log = structlog.get_logger(__name__)

DUE_PER_TICK = 20
DIGEST_LEASE_S = 600
PRINT_LEASE_S = 300
WEBHOOK_LOOK_S = 600
WEBHOOK_RETRY_S = 30
DELIVERIES_KEPT = timedelta(days=1)


@shared_task(name="registry.sync", queue="work")
def sync() -> None:
    """Mirror the registry once. Only one sync runs at a time."""
    now = clock.now()
    epoch = lease_take(now)
    if epoch is None:
        return
    try:
        registry = backend()
        services.sync_from_backend(registry, epoch=epoch, now=now)
        if settings.MLFLOW_WEBHOOK_SECRET and BackendState.objects.filter(_webhook_is_due(now)).exists():
            _ensure_webhook(registry, now)
    except (BackendDown, BackendRefused) as error:
        services.backend_failed(epoch=epoch, error=str(error), now=clock.now())
        log.warning("backend.down", error=str(error)[:200])
    finally:
        lease_release(epoch)


def _webhook_is_due(now: datetime) -> Q:
    """The condition under which the webhook is looked after: now and then, and when the registry was away."""
    return Q(webhook_due_at=None) | Q(webhook_due_at__lte=now)


def _ensure_webhook(registry: Backend, now: datetime) -> None:
    wait_s = WEBHOOK_LOOK_S
    try:
        registry.ensure_webhook(
            settings.WEB_URL.rstrip("/") + reverse("mlflow-webhook"), settings.MLFLOW_WEBHOOK_SECRET
        )
    except (BackendDown, BackendRefused) as error:
        wait_s = WEBHOOK_RETRY_S
        log.info("webhook.not_registered", error=str(error)[:200])
    BackendState.objects.filter(pk=1).update(webhook_due_at=now + timedelta(seconds=wait_s))
    WebhookDelivery.objects.filter(received_at__lt=now - DELIVERIES_KEPT).delete()


@shared_task(name="registry.tick", queue="control")
def tick() -> None:
    """Enqueue what is due: digests, aliases, tags. Expire approvals and remind of those that wait; bring policies into
    force whose day has come.
    """
    now = clock.now()
    for pk in _digests_due(now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        digest_version.delay(pk)
    for pk in _aliases_due(now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        apply_alias.delay(pk)
    for pk in _tags_due(now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        apply_tag.delay(pk)
    for pk in _prints_due(now).values_list("pk", flat=True)[:DUE_PER_TICK]:
        print_card.delay(pk)
    approvals_expire(now=now)
    timers_run(now=now)
    for draft in services.drafts_due(now)[:DUE_PER_TICK]:
        try:
            services.draft_take_effect(draft=draft, now=now)
        except Exception:  # one that cannot be looked at must not stop the others
            log.exception("policy.draft_failed", draft=str(draft.pk))


def tick_is_due() -> bool:
    """Whether a tick would find anything to do. Cheap: asked every other second."""
    now = clock.now()
    rows: tuple[QuerySet[Any], ...] = (
        *(_digests_due(now), _aliases_due(now), _tags_due(now), _prints_due(now), approvals_past(now)),
        *(timers_due(now), requests_without_timer(), services.drafts_due(now)),
    )
    return any(due.exists() for due in rows)


def _digests_due(now: datetime) -> QuerySet[Version]:
    return Version.objects.filter(digest_due_at__lte=now)


def _aliases_due(now: datetime) -> QuerySet[AliasIntent]:
    return AliasIntent.objects.filter(applied_at=None, due_at__lte=now)


def _prints_due(now: datetime) -> QuerySet[CardPdf]:
    return CardPdf.objects.filter(due_at__lte=now)


def _tags_due(now: datetime) -> QuerySet[TagIntent]:
    return TagIntent.objects.filter(applied_at=None, due_at__lte=now)


@shared_task(name="registry.digest", queue="work")
def digest_version(version_id: int) -> None:
    """Download the artifacts of a version, note their digest and what they say."""
    version = Version.objects.select_related("model").filter(pk=version_id).first()
    now = clock.now()
    if version is None or version.digest_due_at is None or version.digest_due_at > now:
        return
    # Whoever moves the due time has the work; when this process dies, the time comes again.
    later = now + timedelta(seconds=DIGEST_LEASE_S)
    if not swap(version, "digest_due_at", digest_due_at=later):
        return
    folder = artifacts.new_folder()
    try:
        registry = backend()
        _require_same(registry, version)
        with contextlib.suppress(BackendRefused):  # a registry that lists nothing may still give
            artifacts.check_listed(registry.files(version.model.name, version.number))
        registry.download(version.model.name, version.number, folder)
        _require_same(registry, version)
        digest, entries = artifacts.seal(folder)
        values, signature = facts_of(folder)
        taken = services.TakenIn(folder, digest, entries, values, signature)
        services.version_digested(actor=WORKER, version=version, taken=taken, looked_at=now)
    except BackendDown as error:
        services.digest_waits(version=version, reason=str(error), now=clock.now())
    except (BackendRefused, DomainError, OSError, ValueError, RecursionError) as error:
        services.digest_failed(actor=WORKER, version=version, error=str(error), now=clock.now())
        log.warning("version.digest_failed", version=str(version), error=str(error)[:200])
    finally:
        with contextlib.suppress(OSError, RecursionError):  # it was moved into the store; or the next sweep deletes it
            artifacts.remove(folder)


def _require_same(registry: Backend, version: Version) -> None:
    """Raise BackendDown while the registry's version under the name and number is not the one that is meant.

    Names and numbers are given again; the next look of the mirror tells the two apart.
    """
    found = registry.version(version.model.name, version.number)
    if found.identity != version.identity:
        raise BackendDown(f"MLflow has another version under the number of {version} now")


@shared_task(name="registry.apply_alias", queue="work")
def apply_alias(intent_id: int) -> None:
    """Write one alias to the registry, as it is wanted now."""
    intent = services.alias_claim(intent_id=intent_id, now=clock.now())
    if intent is None:
        return
    why = why_changed_outside(intent.version, "") if intent.version is not None else ""
    if why or intent.model.deleted_at is not None:
        why = why or f"{intent.model} was deleted in MLflow."
        services.alias_impossible(intent=intent, reason=f"{why} The alias is not moved.")
        return
    try:
        registry = backend()
        if intent.version is not None:
            _require_same(registry, intent.version)
        if intent.version_number is None:
            registry.delete_alias(intent.model.name, intent.name)
        else:
            registry.set_alias(intent.model.name, intent.name, intent.version_number)
    except (BackendDown, BackendRefused) as error:
        services.alias_failed(intent=intent, error=str(error), now=clock.now())
        return
    services.alias_applied(actor=WORKER, intent=intent)


@shared_task(name="registry.apply_tag", queue="work")
def apply_tag(intent_id: int) -> None:
    """Write one tag of a version to the registry, as it is wanted now."""
    intent = services.tag_claim(intent_id=intent_id, now=clock.now())
    if intent is None:
        return
    version = intent.version
    if version.status == VersionStatus.DELETED:
        services.tag_impossible(intent=intent, reason=f"{version} was deleted in MLflow.")
        return
    try:
        registry = backend()
        _require_same(registry, version)
        if intent.value:
            registry.set_version_tag(version.model.name, version.number, intent.key, intent.value)
        else:
            registry.delete_version_tag(version.model.name, version.number, intent.key)
    except (BackendDown, BackendRefused) as error:
        services.tag_failed(intent=intent, error=str(error), now=clock.now())
        return
    services.tag_applied(actor=WORKER, intent=intent)


@shared_task(name="registry.print_card", queue="work")
def print_card(pdf_id: int | str) -> None:
    """Make the PDF of a card's revision."""
    pdf = CardPdf.objects.select_related("revision__version__model", "revision__author").filter(pk=pdf_id).first()
    now = clock.now()
    if pdf is None or pdf.due_at is None or pdf.due_at > now:
        return
    # Whoever moves the due time has the work; when this process dies, the time comes again.
    if not swap(pdf, "due_at", due_at=now + timedelta(seconds=PRINT_LEASE_S)):
        return
    try:
        services.card_pdf_made(pdf=pdf, data=card_printing.printed(pdf.revision))
    except NotPrinted as error:
        services.card_pdf_failed(pdf=pdf, error=str(error))
        log.warning("card.not_printed", card=str(pdf.revision), error=str(error)[:200])
