"""The page on which a version is deprecated, retired, blocked, and brought back."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import status_of
from mlorch_site.lib.readable import whole_number
from mlorch_site.lib.refusals import note_refused
from registry import services
from registry.lifecycle import LifecycleAct
from registry.models import TagIntent
from registry.selectors import version_for
from registry.services.version_lifecycle import DONE, LIFECYCLE_REASON_MAX_CHARS
from registry.version_lifecycle import acts_offered, lifecycle_changes, why_out_of_use
from registry.version_uses import uses_of, uses_seen


@requires(Action.VIEW)
def version_lifecycle(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Show what was decided about a version, where it is used and what may be done; and do it."""
    actor = actor_of(request)
    found = version_for(actor, name, number, row=whole_number(request.GET.get("row", "")), gone=True)
    act, reason = request.POST.get("act", ""), request.POST.get("reason", "")
    problem, status = "", 200
    if request.method == "POST":
        try:
            expects = request.POST.get("expects", "")
            services.version_act(actor=actor, version=found, act=act, reason=reason, expects=expects)
        except (Conflict, Forbidden, Invalid) as error:
            problem, status = error.message, status_of(error)
            if isinstance(error, Forbidden):
                note_refused(request, error)
            found.refresh_from_db()
        else:
            messages.success(request, f"Version {found.number} is {DONE[LifecycleAct(act)]}.")
            return redirect_to(request, found.address)
    uses = uses_of(found, actor)
    context = {
        "version": found,
        "changes": lifecycle_changes(found),
        "out_of_use": why_out_of_use(found),
        "uses": uses,
        "expects": uses_seen(uses),
        "acts": acts_offered(actor, found),
        "tag": TagIntent.objects.filter(version=found, applied_at=None).first(),
        "act": act,
        "reason": reason,
        "problem": problem,
        "reason_max": LIFECYCLE_REASON_MAX_CHARS,
    }
    return render(request, "registry/lifecycle.html", context, status=status)
