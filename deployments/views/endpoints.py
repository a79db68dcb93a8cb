"""Pages of endpoints: list, detail, rollback by hand, "try it", gateway keys."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments import selectors, services
from deployments.filters import EndpointFilter
from deployments.forms import ServingForm
from deployments.models import Endpoint
from deployments.processes.gateway_status import arms_traffic
from deployments.queue_selectors import queue_lines
from deployments.routes.acknowledgement import live_gateways
from deployments.routes.revisions import newest_revision
from deployments.services.keys import site_key
from deployments.services.watching import watch_ended_with
from deployments.views.objectives import watch_context
from deployments.views.rollout_page import why_not_roll_back
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.instant import past_url
from mlorch_site.lib.lists import listed
from monitoring.charts import AGREEMENT, PANELS
from monitoring.selectors import summary, totals
from monitoring.shadow_agreement import shadow_agreements
from registry.selectors import open_findings, rulings, why_changed_outside
from registry.version_lifecycle import why_out_of_use

TRY_TIMEOUT_S = 15
TRY_BODY_MAX_CHARS = 100_000
ANSWER_MAX_CHARS = 20_000
SHOWN_HEADERS = ("X-Mlorch-Version", "X-Mlorch-Arm", "X-Mlorch-Release", "X-Request-Id", "Content-Type")
MINUTES = 10


@requires(Action.VIEW)
def endpoints(request: HttpRequest) -> HttpResponse:
    """List endpoints with what they serve and how they do; the search is in the address."""
    found = selectors.endpoints_visible_to(actor_of(request)).prefetch_related("arms__version")
    context = listed(request, found, EndpointFilter)
    page = context["page"]
    born = {(endpoint.environment.name, endpoint.name): endpoint.created_at for endpoint in page}
    figures = totals(born, minutes=MINUTES)
    rows = []
    for endpoint in page:
        arms = {arm.arm: arm for arm in endpoint.arms.all()}
        total = figures[endpoint.environment.name, endpoint.name]
        rows.append((endpoint, arms.get("stable"), arms.get("candidate"), total))
    place = request.GET.get("environment", "")
    known = any(endpoint.environment.name == place for endpoint in page)
    context |= {
        "rows": rows,
        "minutes": MINUTES,
        "past_url": reverse("environment-past", args=[place]) if known else "",
    }
    return render_page(request, "deployments/endpoints.html", "deployments/_endpoints.html", context)


def _context(request: HttpRequest, endpoint: Endpoint) -> dict[str, object]:
    actor = actor_of(request)
    arms = list(endpoint.arms.select_related("version__model", "release"))
    target = selectors.rollback_target(endpoint)
    live = selectors.live_release(endpoint)
    gateways = live_gateways(clock.now())
    why_not = why_not_roll_back(actor, endpoint)
    if not why_not and target is None and not (live and live.replaces_id):
        why_not = selectors.why_no_rollback_target(endpoint)
    stable = endpoint.stable_release
    newest = services.serving_config_of(endpoint)
    example = stable.version.evidence.get("input_example") if stable else None
    return {
        **watch_context(endpoint),
        "endpoint": endpoint,
        "ruling": next(iter(rulings([endpoint.environment], endpoint.model)), None),
        "arms": arms,
        "candidate_weight": sum(arm.weight_pct for arm in arms if arm.arm == "candidate"),
        "replicas": selectors.replicas_of(endpoint),
        "wanted": newest_revision(endpoint.environment),
        "gateways": [(gateway, gateway.applied.get(endpoint.environment.name, 0)) for gateway in gateways],
        "queues": arms_traffic(endpoint, gateways),
        "history": selectors.served_history(endpoint),
        "waiting": queue_lines(actor, endpoint),
        "config": stable.serving_config if stable else newest,
        "newest": newest,
        "changed_outside": [why for arm in arms if (why := why_changed_outside(arm.version, arm.release.digest))],
        "out_of_use": [why for arm in arms if (why := why_out_of_use(arm.version))],
        "findings": open_findings(endpoint.model),
        "why_not_manage": actor.why_not(Action.ENDPOINT_MANAGE, endpoint.scopes),
        "target": target,
        "live": live,
        "why_not_rollback": why_not,
        "why_not_try": actor.why_not(Action.ENDPOINT_TRY, endpoint.scopes),
        "example": json.dumps(example, indent=1) if example is not None else '{"inputs": {}}',
        "charts": (*PANELS, AGREEMENT) if any(arm.mirror_pct for arm in arms) else PANELS,
        "summary": summary(endpoint.environment.name, endpoint.name, minutes=MINUTES, born=endpoint.created_at),
        "compared": shadow_agreements(
            environment=endpoint.environment.name,
            endpoint=endpoint.name,
            since=clock.now() - timedelta(minutes=MINUTES),
        ),
        "minutes": MINUTES,
        "invocations_url": f"{settings.GATEWAY_URL}/{endpoint.environment.name}/endpoints/{endpoint.name}/invocations",
        "oip_url": f"{settings.GATEWAY_URL}/{endpoint.environment.name}/v2/models/{endpoint.name}/infer",
    }


@requires(Action.VIEW)
def endpoint(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show one endpoint; with `at`, as it was."""
    found = selectors.endpoint_for(actor_of(request), environment, name)
    if "at" in request.GET:
        return redirect_to(request, past_url(request, "endpoint-past", environment, name))
    return render_page(request, "deployments/endpoint.html", "deployments/_endpoint.html", _context(request, found))


@requires(Action.ENDPOINT_ROLLBACK)
@require_POST
def endpoint_rollback(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Go back to the version before."""
    found = selectors.endpoint_for(actor_of(request), environment, name, action=Action.ENDPOINT_ROLLBACK)
    try:
        release = services.endpoint_rollback(
            actor=actor_of(request),
            endpoint=found,
            expects=request.POST.get("expects", ""),
            reason=request.POST.get("reason", ""),
        )
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect_to(request, reverse("endpoint", args=[environment, name]))
    messages.success(request, "The endpoint goes back.")
    return redirect_to(request, reverse("release", args=[release.pk]))


@requires(Action.ENDPOINT_MANAGE)
def endpoint_retire(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show what retiring the endpoint would break, and retire it."""
    actor = actor_of(request)
    found = selectors.endpoint_for(actor, environment, name, action=Action.ENDPOINT_MANAGE)
    address = reverse("endpoint", args=[environment, name])
    if request.method != "POST":
        context = {"endpoint": found, "impact": services.retirement_impact(found)}
        return render(request, "deployments/retire.html", context)
    expects, reason = request.POST.get("expects", ""), request.POST.get("reason", "")
    try:
        services.endpoint_retire(actor=actor, endpoint=found, expects=expects, reason=reason)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        return redirect_to(request, reverse("endpoint-retire", args=[environment, name]))
    messages.success(request, f"{found} is retired. It can be restored here.")
    return redirect_to(request, address)


@requires(Action.ENDPOINT_MANAGE)
@require_POST
def endpoint_restore(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Let a retired endpoint serve again."""
    actor = actor_of(request)
    found = selectors.endpoint_for(actor, environment, name, action=Action.ENDPOINT_MANAGE)
    unwatched = watch_ended_with(found)
    try:
        release = services.endpoint_restore(actor=actor, endpoint=found, reason=request.POST.get("reason", ""))
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
        release = None
    else:
        messages.success(request, f"{found} is restored.")
        if unwatched:
            text = f"Nothing of it is watched: its objectives and alert rules ({unwatched}) ended when it was retired."
            messages.warning(request, f"{text} Set them again on its page of objectives.")
    if release is not None:
        return redirect_to(request, reverse("release", args=[release.pk]))
    return redirect_to(request, reverse("endpoint", args=[environment, name]))


@requires(Action.VIEW)
def endpoint_serving(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Show how an endpoint is served, and revise it."""
    actor = actor_of(request)
    found = selectors.endpoint_for(actor, environment, name)
    newest = services.serving_config_of(found)
    form = ServingForm(request.POST or None, initial=ServingForm.initial_of(newest))
    if request.method == "POST" and form.is_valid():
        try:
            config = services.serving_config_revise(actor=actor, endpoint=found, **form.changes())
        except Conflict as error:
            form.add_error(None, error.message)
        except Invalid as error:
            for field_name, problem in error.details.items():
                form.add_error(field_name if field_name in form.fields else None, problem)
        else:
            unchanged = config.revision == newest.revision
            sentence = (
                "Nothing was changed."
                if unchanged
                else f"Serving config {config.revision} is used by the next release."
            )
            messages.success(request, sentence)
            return redirect_to(request, reverse("endpoint", args=[environment, name]))
    why_not = actor.why_not(Action.ENDPOINT_MANAGE, found.scopes)
    context = {"endpoint": found, "form": form, "config": newest, "why_not": why_not}
    return render(request, "deployments/serving.html", context, status=422 if form.errors else 200)


@dataclass(frozen=True)
class Tried:
    """What the gateway answered."""

    status: int
    body: str
    milliseconds: float
    headers: list[tuple[str, str]] = field(default_factory=list)


@requires(Action.ENDPOINT_TRY)
@require_POST
def endpoint_try(request: HttpRequest, environment: str, name: str) -> HttpResponse:
    """Send a body to the gateway as a client would, and show the answer."""
    found = selectors.endpoint_for(actor_of(request), environment, name, action=Action.ENDPOINT_TRY)
    body = request.POST.get("body", "")
    context: dict[str, object] = {"endpoint": found}
    try:
        if len(body) > TRY_BODY_MAX_CHARS:
            raise Invalid(f"The body has at most {TRY_BODY_MAX_CHARS} characters here.")
        context["tried"] = ask_gateway(found, body, request.POST.get("unit", ""))
    except DomainError as error:
        context["problem"] = error.message
    return render(request, "deployments/_tried.html", context)


def ask_gateway(endpoint: Endpoint, body: str, unit: str) -> Tried:
    """The gateway's answer to one invocation. Raises Conflict when it cannot be reached."""
    url = f"{settings.GATEWAY_URL}/{endpoint.environment.name}/endpoints/{endpoint.name}/invocations"
    headers = {"Authorization": f"Bearer {site_key(settings.DATA_DIR)}", "Content-Type": "application/json"}
    if unit and unit.isascii() and unit.isprintable():
        headers["X-Mlorch-Unit"] = unit[:200]
    call = urllib.request.Request(url, data=body.encode(), headers=headers, method="POST")  # noqa: S310 - the configured gateway
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(call, timeout=TRY_TIMEOUT_S) as answer:  # noqa: S310
            status, content, received = answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        status, content, received = error.code, error.read(), error.headers
    except OSError as error:
        raise Conflict(f"The gateway does not answer ({type(error).__name__}).") from error
    milliseconds = (time.perf_counter() - began) * 1000
    shown = [(header, received[header]) for header in SHOWN_HEADERS if received.get(header)]
    return Tried(status, content.decode(errors="replace")[:ANSWER_MAX_CHARS], milliseconds, shown)
