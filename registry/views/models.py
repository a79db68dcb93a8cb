"""Pages of models and versions."""

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of, in_scopes
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.instant import past_url
from mlorch_site.lib.lists import listed
from mlorch_site.lib.readable import whole_number
from mlorch_site.lib.refusals import note_refused
from registry import services
from registry.cards.card_content import missing_fields
from registry.cards.selectors import card_in_force
from registry.filters import ModelFilter
from registry.lifecycle import RiskTier
from registry.models import GateResult
from registry.rename_candidates import rename_candidates
from registry.selectors import (
    backend_state,
    environments_visible_to,
    kept_words,
    missing_models,
    model_for,
    models_counted,
    open_findings,
    rulings,
    version_for,
)
from registry.version_comparison import compare_versions
from registry.version_lifecycle import lifecycle_changes, why_out_of_use

MISSING_SHOWN = 20


@requires(Action.VIEW)
def models(request: HttpRequest) -> HttpResponse:
    """List models; the search is in the address."""
    rows = models_counted(actor_of(request)).prefetch_related("aliases")
    context = {**listed(request, rows, ModelFilter), "backend": backend_state()}
    context["missing"] = missing_models(actor_of(request))[:MISSING_SHOWN]
    return render_page(request, "registry/models.html", "registry/_models.html", context)


def _where_it_serves(actor: Actor) -> Q:
    """The filter for endpoints of a model: whoever sees models because of an environment sees them there only."""
    return in_scopes(actor, environment="environment__name", model="model__name")


@requires(Action.VIEW)
def model(request: HttpRequest, name: str) -> HttpResponse:
    """Show a model: versions, aliases, where it serves, what was done outside mlorch; with `at`, as it was."""
    actor = actor_of(request)
    found = model_for(actor, name, gone=True)
    if "at" in request.GET:
        return redirect_to(request, past_url(request, "model-past", name))
    aliases: dict[int, list[str]] = {}
    for alias in found.aliases.all():
        aliases.setdefault(alias.version_number, []).append(alias.name)
    versions = found.versions.filter(superseded_at=None).defer("manifest", "signature")  # may be large
    context = listed(request, versions)
    context |= {
        "model": found,
        "rows": [(version, aliases.get(version.number, [])) for version in context["page"]],
        "intents": found.alias_intents.filter(applied_at=None),
        "findings": open_findings(found),
        "endpoints": found.endpoints.filter(_where_it_serves(actor))
        .select_related("environment", "stable_release__version")
        .prefetch_related("arms__version"),
        "rulings": rulings(environments_visible_to(actor), found) if found.deleted_at is None else [],
        "why_not_edit": actor.why_not(Action.MODEL_EDIT, [found.scope]),
        "tiers": [tier.value for tier in RiskTier],
        "candidates": rename_candidates(actor, found) if found.deleted_at else [],
    }
    return render_page(request, "registry/model.html", "registry/_model.html", context)


@requires(Action.MODEL_EDIT)
@require_POST
def model_edit(request: HttpRequest, name: str) -> HttpResponse:
    """Set owner and risk tier."""
    found = model_for(actor_of(request), name, action=Action.MODEL_EDIT)
    try:
        services.model_edit(
            actor=actor_of(request),
            model=found,
            owner=request.POST.get("owner", ""),
            risk_tier=request.POST.get("risk_tier", ""),
        )
        messages.success(request, "Saved.")
    except Forbidden as error:
        note_refused(request, error)
        messages.error(request, error.message)
    except Invalid as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("model", args=[name]))


@requires(Action.MODEL_EDIT)
@require_POST
def finding_resolve(request: HttpRequest, name: str, pk: str) -> HttpResponse:
    """Resolve a finding: adopt, revert or note."""
    found = model_for(actor_of(request), name, action=Action.MODEL_EDIT, gone=True)
    finding = open_findings(found).filter(pk=pk).first()
    if finding is None:
        raise NotFound("There is no such open finding.")
    try:
        services.finding_resolve(actor=actor_of(request), finding=finding, how=request.POST.get("how", ""))
        messages.success(request, "The finding is resolved.")
    except (Invalid, Conflict) as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("model", args=[name]))


@requires(Action.VIEW)
def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show a version: what is known of it, beside the version that serves."""
    actor = actor_of(request)
    found = version_for(actor, name, number, row=whole_number(request.GET.get("row", "")), gone=True)
    serving = [
        e.stable_release.version
        for e in found.model.endpoints.filter(_where_it_serves(actor)).select_related("stable_release__version")
        if e.stable_release
    ]
    other = next((v for v in serving if v.pk != found.pk), None)
    shown = in_scopes(actor, environment="endpoint__environment__name", model="endpoint__model__name")
    releases = list(found.releases.filter(shown).select_related("endpoint__environment", "requester")[:20])
    card_of_version = card_in_force(found)
    context = {
        "version": found,
        "namesakes": found.model.versions.filter(number=number).exclude(pk=found.pk).select_related("model"),
        "other": other,
        "comparison": compare_versions(other, found),
        "releases": releases,
        "gates": GateResult.objects.filter(
            subject_kind="release", subject_id__in=[str(r.pk) for r in releases]
        ).order_by("-at")[:20],
        "may_request": actor.may_anywhere(Action.RELEASE_REQUEST),
        "changes": lifecycle_changes(found),
        "out_of_use": why_out_of_use(found),
        "kept": kept_words(found.digest),
        "card": card_of_version,
        "card_missing": missing_fields(card_of_version.content) if card_of_version else [],
    }
    return render(request, "registry/version.html", context)
