"""Pages of alerts: what fires and fired, the rules and how they stand, one alert with why and what is done about it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from monitoring.alert_selectors import alert_for, alerts_visible_to, rules_visible_to, silence_for, silence_of
from monitoring.alerts.lifecycle import ALERT_LOOKS, RULE_LOOKS, SEVERITY_LABELS, AlertSeverity, RuleState
from monitoring.charts import PANELS, Marker, Marks, finished
from monitoring.filters import AlertFilter, RuleFilter
from monitoring.forms import SilenceForm
from monitoring.models import Alert
from monitoring.selectors import series_of_span
from monitoring.services import alert_acknowledge, alert_silence, silence_end

AROUND = timedelta(minutes=30)  # what a chart shows before it fired and after it ended
SPAN_MAX = timedelta(hours=24)
NUMBER_WORDS = {
    "burn_rate": "burn rate of the long span",
    "burn_rate_of_the_last": "burn rate of the short span",
    "bound_pct": "bound in percent",
    "change_pct": "change in percent",
}


@requires(Action.VIEW)
def alerts(request: HttpRequest) -> HttpResponse:
    """List alerts, those that fire first."""
    actor = actor_of(request)
    context = listed(request, alerts_visible_to(actor), AlertFilter)
    context |= {
        "rows": [
            (one, ALERT_LOOKS[one.state], SEVERITY_LABELS[AlertSeverity(one.rule.severity)]) for one in context["page"]
        ],
        "has_rules": rules_visible_to(actor).exists(),
    }
    return render_page(request, "monitoring/alerts.html", "monitoring/_alerts.html", context)


@requires(Action.VIEW)
def alert_rules(request: HttpRequest) -> HttpResponse:
    """List the rules that hold, and how they stand."""
    context = listed(request, rules_visible_to(actor_of(request)), RuleFilter)
    context["rows"] = [(rule, RULE_LOOKS[RuleState(rule.standing.state)]) for rule in context["page"]]
    return render_page(request, "monitoring/alert_rules.html", "monitoring/_alert_rules.html", context)


@requires(Action.VIEW)
def alert(request: HttpRequest, pk: str) -> HttpResponse:
    """Show one alert: why it fires, what was done, and what can be."""
    return _page(request, alert_for(actor_of(request), pk), SilenceForm())


def _page(request: HttpRequest, found: Alert, form: SilenceForm, status: int = 200) -> HttpResponse:
    why_not, now = actor_of(request).why_not(Action.ALERT_ANSWER, found.rule.scopes), clock.now()
    why_not_acknowledge = why_not
    if found.state != "firing":
        why_not_acknowledge = f"It is {found.state} already."
    context = {
        "alert": found,
        "look": ALERT_LOOKS[found.state],
        "severity": SEVERITY_LABELS[AlertSeverity(found.rule.severity)],
        "rule_look": RULE_LOOKS[RuleState(found.rule.standing.state)],
        "numbers": [(NUMBER_WORDS.get(name, name.replace("_", " ")), value) for name, value in found.numbers.items()],
        "events": found.events.all(),
        "silence": silence_of(found.rule, now),
        "form": form,
        "why_not": why_not or ("The rule has ended." if found.rule.ended_at else ""),
        "why_not_acknowledge": why_not_acknowledge,
        **_charts(found, now),
    }
    if status != 200:
        return render(request, "monitoring/alert.html", context, status=status)
    return render_page(request, "monitoring/alert.html", "monitoring/_alert.html", context)


def _charts(found: Alert, now: datetime) -> dict[str, Any]:
    since = found.fired_at - AROUND
    until = min((found.resolved_at or now) + AROUND, now, since + SPAN_MAX)
    points = series_of_span(found.rule.environment.name, found.rule.endpoint, since=since, until=until)
    markers = [Marker(found.fired_at.timestamp(), "fired")]
    if found.resolved_at is not None and found.resolved_at <= until:
        markers.append(Marker(found.resolved_at.timestamp(), "resolved"))
    return {"charts": PANELS, "points": finished(points, since) if points else None, "marks": Marks(markers=markers)}


@requires(Action.ALERT_ANSWER)
@require_POST
def alert_action(request: HttpRequest, pk: str, action: str) -> HttpResponse:
    """Acknowledge or silence an alert, or end the silence."""
    actor = actor_of(request)
    found = alert_for(actor, pk, action=Action.ALERT_ANSWER)
    form = SilenceForm(request.POST if action == "silence" else None)
    try:
        if action == "acknowledge":
            alert_acknowledge(actor=actor, alert=found, note=request.POST.get("note", ""))
        elif action == "silence":
            if not form.is_valid():
                return _page(request, found, form, status=422)
            until = clock.now() + timedelta(hours=form.cleaned_data["hours"])
            alert_silence(actor=actor, rule=found.rule, until=until, reason=form.cleaned_data["reason"])
        elif action == "unsilence":
            holding = silence_of(found.rule, clock.now())
            if holding is not None:
                silence_end(actor=actor, silence=silence_for(actor, holding.pk))
        else:
            raise Invalid("An alert is acknowledged, silenced or told of again.", details={"action": "unknown"})
    except Conflict as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("alert", args=[pk]))
