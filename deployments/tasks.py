"""The engine's clockwork.

A message carries an id at most; running anything twice, late or at the same time is harmless.
"""

from datetime import datetime, timedelta

import structlog
from celery import shared_task
from django.db.models import Value

from deployments import limits
from deployments.group_selectors import groups_due
from deployments.lifecycle import ReleaseStatus
from deployments.models import BakeWatch, PlanSimulation, Release, ReportPdf
from deployments.processes.telemetry_reach import told_until
from deployments.queue_selectors import queue_turns
from deployments.reports.report_printing import print_page
from deployments.routes.refresh import routes_are_due, routes_refresh
from deployments.services.advance import release_look
from deployments.services.after_promotion import bake_watches_look
from deployments.services.checks import CHECK_RELEASE, release_check
from deployments.services.measured import metrics_read
from deployments.services.queueing import queue_look
from deployments.services.release_groups import groups_look
from deployments.services.replicas import replicas_leave, replicas_reap
from deployments.services.reports import PRINT_REPORT, report_pdf_failed, report_pdf_made
from deployments.services.retention import artifacts_sweep
from deployments.services.simulations import SIMULATE_PLAN, simulation_work, simulations_due, simulations_forget
from deployments.services.watching import retired_watch_end
from mlorch_site.lib import clock
from mlorch_site.lib.enqueue import enqueue
from mlorch_site.lib.paper import NotPrinted, printed
from mlorch_site.lib.swap import swap
from monitoring.services import alerts_escalate, objectives_measure, rules_look, silences_expire

log = structlog.get_logger(__name__)

DUE_PER_TICK = 200


@shared_task(name="deployments.tick", queue="control", expires=5)
def tick() -> None:
    """Look at every release that is due, publish tables whose content changed, and let go of replicas nobody needs."""
    now = clock.now()
    for release_id, status in _due(now):
        try:
            _look(release_id, status, now)
        except Exception:  # one release that cannot be looked at must not stop the others
            log.exception("release.look_failed", release=release_id)
            Release.objects.filter(pk=release_id).update(due_at=now + timedelta(seconds=limits.LOOK_IDLE_S))
    if routes_are_due(now):
        routes_refresh(now)
    bake_watches_look(now=now)
    groups_look(now=now)
    queue_look(now=now)
    replicas_reap(now=now)


def tick_is_due() -> bool:
    """Whether a tick would find anything to do. Cheap: asked every second."""
    now = clock.now()
    return _is_looked_at(now) or routes_are_due(now) or replicas_leave(now)


def _is_looked_at(now: datetime) -> bool:
    """Whether a release or a watch of one is due, or it is somebody's turn in a queue, as one question."""
    releases = Release.objects.filter(due_at__lte=now).order_by().annotate(due=Value(1)).values("due")
    watches = BakeWatch.objects.filter(due_at__lte=now).order_by().annotate(due=Value(1)).values("due")
    turns = queue_turns().order_by().annotate(due=Value(1)).values("due")
    groups = groups_due().order_by().annotate(due=Value(1)).values("due")
    return releases.union(watches, turns, groups, all=True).exists()


@shared_task(name="deployments.reconcile_release", queue="control")
def reconcile_release(release_id: str) -> None:
    """Look at one release now; a hint, the tick does the same."""
    release_look(release_id=release_id, now=clock.now())


@shared_task(name=CHECK_RELEASE.name, queue=CHECK_RELEASE.queue)
def check_release(release_id: str) -> None:
    """Run the gates of one release and go on as far as it goes."""
    release_check(release_id=release_id, now=clock.now())
    release_look(release_id=release_id, now=clock.now())


@shared_task(name="deployments.watch", queue="control", expires=30)
def watch() -> None:
    """Look at alert rules, count how objectives stand, escalate, and end silences whose time is over."""
    now = clock.now()
    retired_watch_end()
    rules_look(now=now, told_until=told_until(now))
    objectives_measure(now=now)
    silences_expire(now=now)
    alerts_escalate(now=now)


@shared_task(name="deployments.read_metrics", queue="work", expires=10)
def read_metrics() -> None:
    """Ask Prometheus what releases are judged by."""
    metrics_read(now=clock.now())


def prints_are_due() -> bool:
    """Whether a report waits to be printed. Cheap: asked every half minute."""
    return ReportPdf.objects.filter(due_at__lte=clock.now()).exists()


@shared_task(name="deployments.print_reports", queue="control", expires=30)
def print_reports() -> None:
    """Ask again for what should have been printed: the message was lost, or who printed it ended."""
    due = ReportPdf.objects.filter(due_at__lte=clock.now()).order_by("due_at")
    for pk in due.values_list("pk", flat=True)[:DUE_PER_TICK]:
        print_report.delay(pk)


@shared_task(name=PRINT_REPORT.name, queue=PRINT_REPORT.queue)
def print_report(pdf_id: int | str) -> None:
    """Make the PDF of a report."""
    pdf = ReportPdf.objects.select_related("report").filter(pk=pdf_id).first()
    now = clock.now()
    if pdf is None or pdf.due_at is None or pdf.due_at > now:
        return
    # Whoever moves the due time has the work; when this process dies, the time comes again.
    if not swap(pdf, "due_at", due_at=now + timedelta(seconds=limits.PRINT_LEASE_S)):
        return
    try:
        report_pdf_made(pdf=pdf, data=printed(print_page(pdf.report, is_pdf=True)))
    except NotPrinted as error:
        report_pdf_failed(pdf=pdf, error=str(error))
        log.warning("report.not_printed", report=pdf.report_id, error=str(error)[:200])


def simulations_are_due() -> bool:
    """Whether a simulation is to be taken up again. Cheap: asked every half minute."""
    return bool(simulations_due(clock.now()))


@shared_task(name="deployments.resume_simulations", queue="control", expires=30)
def resume_simulations() -> None:
    """Ask again for simulations that nobody works on: the message was lost, or who worked on it ended."""
    for pk in simulations_due(clock.now()):
        enqueue(SIMULATE_PLAN, pk)


@shared_task(name=SIMULATE_PLAN.name, queue=SIMULATE_PLAN.queue)
def simulate_plan(pk: str) -> None:
    """Try a plan."""
    run = PlanSimulation.objects.select_related("endpoint__environment").filter(pk=pk, ended_at=None).first()
    if run is not None:
        simulation_work(run=run, now=clock.now())


@shared_task(name="deployments.retention", queue="work")
def retention() -> None:
    """Let go of the artifacts that nothing needs any more, and of old simulations."""
    simulations_forget(now=clock.now())
    swept = artifacts_sweep(now=clock.now())
    if swept.gone or swept.problems:
        log.info("artifacts.swept", gone=len(swept.gone), kept=swept.kept, problems=swept.problems[:3])


def _due(now: datetime) -> list[tuple[str, str]]:
    rows = Release.objects.filter(due_at__lte=now).order_by("due_at").values_list("pk", "status")
    return [(str(pk), status) for pk, status in rows[:DUE_PER_TICK]]


def _look(release_id: str, status: str, now: datetime) -> None:
    if status != ReleaseStatus.CHECKING:
        release_look(release_id=release_id, now=now)
        return
    # Pushed back first: were the queue long, every tick would add one more message for the same release.
    later = now + timedelta(seconds=limits.CHECK_LEASE_S)
    if Release.objects.filter(pk=release_id, due_at__lte=now).update(due_at=later):
        enqueue(CHECK_RELEASE, release_id)
