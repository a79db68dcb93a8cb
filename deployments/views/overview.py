"""The first page."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now

from deployments import board, selectors
from deployments.delivery import Share
from deployments.filters import BoardFilter
from deployments.lifecycle import RELEASE_LOOKS, ReleaseStatus
from deployments.models import Release
from mlorch_site.accounts.notices import break_glass_notices
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import setup_progress
from mlorch_site.lib.htmx import render_page
from mlorch_site.lib.lists import listed
from monitoring.alert_selectors import alerts_waiting_for
from registry.approvals.reviews import reviews_waiting_for
from registry.selectors import (
    backend_state,
    environments_visible_to,
    findings_visible_to,
    models_visible_to,
    why_closed,
)


@dataclass(frozen=True)
class Moving:
    """An active rollout as the overview shows it."""

    release: Release
    step_number: int
    step_count: int
    weight_pct: int
    waiting_for: str
    verdict: str
    look: object


def moving(release: Release) -> Moving:
    """What is shown of a rollout in one row."""
    rollout = getattr(release, "rollout", None)
    return Moving(
        release=release,
        step_number=(rollout.step if rollout else 0) + 1,
        step_count=len(release.plan["steps"]),
        weight_pct=rollout.weight_pct if rollout else 0,
        waiting_for=(rollout.waiting_for if rollout else "") or release.status_reason,
        verdict=str(rollout.assessment.get("verdict", "")).replace("_", " ") if rollout else "",
        look=RELEASE_LOOKS[ReleaseStatus(release.status)],
    )


@requires(Action.VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """Show what waits, what went wrong, what serves where, what moves."""
    actor = actor_of(request)
    seen, environments = selectors.overview(actor), list(environments_visible_to(actor))
    context = listed(request, board.models_on_board(actor), BoardFilter, page_size=board.PAGE_SIZE)
    context |= {
        "board": board.rows_of(actor, context["page"], environments),
        "board_minutes": board.MINUTES,
        "heads": ["Model", *(environment.name for environment in environments)],
        "closed": [(environment, why) for environment in environments if (why := why_closed(environment, now()))],
        "notices": break_glass_notices(),
        "seen": seen,
        "moving": [moving(release) for release in seen.active.rows],
        "pending": [(release, RELEASE_LOOKS[ReleaseStatus(release.status)]) for release in seen.pending.rows],
        "incidents": [(release, RELEASE_LOOKS[ReleaseStatus(release.status)]) for release in seen.incidents.rows],
        "backend": backend_state(),
        "findings": list(findings_visible_to(actor)[:5]),
        "demo": setup_progress.read(settings.DATA_DIR),
        "has_models": models_visible_to(actor).exists(),
        "promotion": Share(seen.counts["succeeded"], seen.counts["cleared"]),
        "now": now(),
        "reviews_waiting": reviews_waiting_for(actor),
        "alerts_waiting": selectors.shortened(alerts_waiting_for(actor)),
    }
    return render_page(request, "deployments/overview.html", "deployments/_overview.html", context)
