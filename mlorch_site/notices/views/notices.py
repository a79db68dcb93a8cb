"""A person's notices: the bell, the list, and how they want to be told."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.route_permission import signed_in
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.htmx import redirect_to, render_page
from mlorch_site.lib.lists import listed
from mlorch_site.notices.forms import NoticeSettingsForm
from mlorch_site.notices.kinds import kind_label
from mlorch_site.notices.mail import is_mail_configured
from mlorch_site.notices.selectors import modes_of, notices_visible_to, unread
from mlorch_site.notices.services import notice_read, notice_settings_set, notices_read

TABS = [("unread", "Unread"), ("all", "All")]


@signed_in
def notices(request: HttpRequest) -> HttpResponse:
    """List what this person was told: what is neither read nor done with, or everything."""
    mine = notices_visible_to(actor_of(request))
    tab = request.GET.get("tab", "unread")
    context = listed(request, mine if tab == "all" else unread(mine))
    context |= {
        "rows": [(notice, kind_label(notice.kind)) for notice in context["page"]],
        "tab": tab,
        "tabs": TABS,
        "unread_count": unread(mine).count(),
    }
    return render_page(request, "notices/notices.html", "notices/_notices.html", context)


@signed_in
def bell(request: HttpRequest) -> HttpResponse:
    """The bell with the number of unread notices."""
    return render(request, "notices/_bell.html")


@signed_in
def notice_open(request: HttpRequest, pk: str) -> HttpResponse:
    """Lead to what a notice is about. That one has read it then is the meaning of following it."""
    return HttpResponseRedirect(notice_read(actor=actor_of(request), notice_id=pk).path)


@signed_in
@require_POST
def notices_all_read(request: HttpRequest) -> HttpResponse:
    """Note that everything was read."""
    count = notices_read(actor=actor_of(request))
    messages.success(request, f"{count} notice{'s' if count != 1 else ''} marked as read.")
    return redirect_to(request, reverse("notices"))


@signed_in
def notice_settings(request: HttpRequest) -> HttpResponse:
    """Say of each kind of thing whether e-mail comes at once, in the daily digest, or not."""
    actor = actor_of(request)
    form = NoticeSettingsForm(request.POST or None, modes=modes_of(actor))
    if request.method == "POST" and form.is_valid():
        try:
            notice_settings_set(actor=actor, modes=form.cleaned_data)
        except Invalid as error:
            for name, sentence in error.details.items():
                form.add_error(name, sentence)
        else:
            messages.success(request, "Saved.")
            return redirect_to(request, reverse("notice-settings"))
    context = {"form": form, "is_mail_configured": is_mail_configured(), "person": actor.user}
    return render(request, "notices/settings.html", context, status=400 if form.errors else 200)
