"""The reviewers' inbox: what waits for whom, filters that are kept, and several decisions at once."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.services.bulk_decisions import bulk_items, releases_decide
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.http import status_of
from mlorch_site.lib.lists import listed
from registry.approvals.inbox import TABS, inbox, inbox_rows
from registry.approvals.mentions import mentions_waiting
from registry.approvals.reviews import reviews_waiting_for
from registry.filters import ApprovalFilter
from registry.models import SavedFilter
from registry.services import saved_filter_keep, saved_filter_remove

LABELS = {"mine": "Waiting for me", "open": "All open", "decided": "Decided by me", "ended": "Ended"}
MENTIONS_SHOWN = 20
DECISIONS = ("decisions__person", "decisions__on_behalf_of", "decisions__delegation")


@requires(Action.VIEW)
def approvals(request: HttpRequest) -> HttpResponse:
    """List approval requests: those that wait for this person, all open ones, those it decided on, the ended ones."""
    actor = actor_of(request)
    tab = request.GET.get("tab", "mine")
    tab = tab if tab in TABS else "ended"
    waiting, mentions = inbox(actor, "mine").count(), mentions_waiting(actor)
    requests = inbox(actor, tab).prefetch_related(
        "decisions__person", "decisions__on_behalf_of", "decisions__delegation"
    )
    context = listed(request, requests, ApprovalFilter)
    rows = inbox_rows(actor, list(context["page"]), clock.now())
    context |= {
        "reviews_waiting": reviews_waiting_for(actor),
        "rows": rows,
        "tab": tab,
        "tabs": [(name, f"{LABELS[name]} ({waiting})" if name == "mine" else LABELS[name]) for name in TABS],
        "filtered": any(request.GET.get(name) for name in ("q", "environment", "tier")),
        "mentions": mentions[:MENTIONS_SHOWN],
        "bulk": any(row.voices and not row.why_not_bulk for row in rows),
        "kept": SavedFilter.objects.filter(person=actor.user),
        "query": request.GET.urlencode(),
    }
    return render_page(request, "deployments/approvals.html", "deployments/_approvals.html", context)


@requires(Action.RELEASE_DECIDE)
def approvals_bulk(request: HttpRequest) -> HttpResponse:
    """Say exactly what several decisions would do; then decide, and say what became of each."""
    actor = actor_of(request)
    given = request.POST if request.method == "POST" else request.GET
    ids, decision, comment = given.getlist("request"), given.get("decision", ""), given.get("comment", "")
    items = bulk_items(actor, ids)
    context: dict[str, Any] = {"items": items, "decision": decision, "comment": comment}
    context["why_not"] = _why_not(items, decision)
    if request.method != "POST":
        return render(request, "deployments/approvals_bulk.html", context)
    try:
        results = releases_decide(actor=actor, ids=ids, decision=decision, comment=comment)
    except (Invalid, Conflict) as error:
        context |= {"problem": error.message, "problem_field": next(iter(error.details), "")}
        return render(request, "deployments/approvals_bulk.html", context, status=status_of(error))
    return render(request, "deployments/approvals_bulk.html", {"results": results, "decision": decision})


def _why_not(items: list[Any], decision: str) -> str:
    if decision not in ("approve", "reject"):
        return "Several requests are approved or rejected; go back and choose one of the two."
    if not items:
        return "Nothing is chosen that you may see; go back and choose."
    refused = sum(bool(item.why_not) for item in items)
    return f"{refused} of {len(items)} cannot be decided on together with others." if refused else ""


@requires(Action.VIEW)
@require_POST
def filter_keep(request: HttpRequest) -> HttpResponse:
    """Keep what the inbox is filtered by."""
    query = request.POST.get("query", "")
    try:
        saved_filter_keep(actor=actor_of(request), name=request.POST.get("name", ""), query=query)
    except Invalid as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The filter is kept.")
    return redirect_to(request, inbox_address(query))


@requires(Action.VIEW)
@require_POST
def filter_remove(request: HttpRequest, number: int) -> HttpResponse:
    """Remove a filter of one's own."""
    saved_filter_remove(actor=actor_of(request), number=number)
    messages.success(request, "The filter is removed.")
    return redirect_to(request, inbox_address(request.POST.get("query", "")))


def inbox_address(query: str) -> str:
    """The inbox, filtered as an address said."""
    readable = query if query.isprintable() and query.isascii() else ""
    return f"{reverse('approvals')}?{readable}" if readable else reverse("approvals")
