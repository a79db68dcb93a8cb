"""Sign-in, sign-out, a person's password, tokens and preferences."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.forms import PasswordForm, PreferencesForm, TokenForm
from mlorch_site.accounts.models import ApiToken, User
from mlorch_site.accounts.passkeys import why_none_here
from mlorch_site.accounts.pending_sign_in import pending_keep
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import PUBLIC, public, requires
from mlorch_site.accounts.second_factors import has_second_factor
from mlorch_site.accounts.selectors import actor_of, address_of
from mlorch_site.accounts.services import preferences_set, token_create, token_revoke
from mlorch_site.accounts.sessions import (
    PASSWORD,
    password_change,
    session_begin,
    session_end,
    session_refuse,
    session_throttle,
    stranger,
    why_no_password,
)
from mlorch_site.accounts.sign_on.issuers import issuers_enabled
from mlorch_site.accounts.throttle import attempt_count, attempt_forgive
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, TooMany
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import headers_of
from mlorch_site.lib.lists import listed

NAME_MAX_CHARS = 150


class SignInView(LoginView):
    """Sign in with name and password, for the site and its admin; after too many failures, wait."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        name = request.POST.get("username", "")[:NAME_MAX_CHARS]
        try:
            attempt_count(name=name, address=address_of(request), now=clock.now())
        except TooMany as error:
            session_throttle(request=request, name=name, reason=error.message)
            return self._wait(error)
        return super().post(request, *args, **kwargs)

    def _wait(self, error: TooMany) -> HttpResponse:
        form = self.get_form_class()(self.request)
        context = self.get_context_data(form=form, throttled=error.message)
        return self.render_to_response(context, status=429, headers=headers_of(error))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        here = {"issuers": issuers_enabled(), "break_glass": settings.BREAK_GLASS}
        return context | here | {"why_no_passkeys": why_none_here(self.request)}

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.get_user()
        if why := why_no_password(user):
            session_refuse(actor=stranger(self.request), name=user.username, reason=why)
            return self.render_to_response(self.get_context_data(form=form, refused=why), status=403)
        attempt_forgive(name=form.cleaned_data["username"], address=address_of(self.request))
        if has_second_factor(user):
            pending_keep(self.request, user, by=PASSWORD)
            query = urlencode({self.redirect_field_name: self.get_redirect_url()})
            return HttpResponseRedirect(f"{reverse('sign-in-factor')}?{query}")
        session_begin(request=self.request, user=user)
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        name = self.request.POST.get("username", "")[:NAME_MAX_CHARS]
        session_refuse(actor=stranger(self.request), name=name, reason="The name or the password is wrong.")
        return super().form_invalid(form)


class SignOutView(LogoutView):
    """Sign out."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        session_end(request=request, actor=actor_of(request))
        return HttpResponseRedirect(self.get_success_url())


sign_in = SignInView.as_view()
sign_in.permission = PUBLIC  # type: ignore[attr-defined]
sign_out = SignOutView.as_view()
sign_out.permission = PUBLIC  # type: ignore[attr-defined]


@public
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Send whoever wants into the admin to the one sign-in. Who is signed in and comes here may not open the admin."""
    if request.user.is_authenticated:
        raise Forbidden("The admin is for people whom an administrator has given access to it.")
    return redirect_to_login(request.GET.get("next", reverse("admin:index")))


@requires(Action.VIEW)
def password(request: HttpRequest) -> HttpResponse:
    """Give oneself a new password."""
    actor = actor_of(request)
    if actor.user is None or not actor.user.has_usable_password():
        raise Conflict("You have no password here: you sign on with an issuer.")
    form = PasswordForm(actor.user, request.POST or None)
    if request.method == "POST":
        attempt_count(name=actor.name, address=address_of(request), now=clock.now())
        if form.is_valid():
            password_change(request=request, actor=actor, password=form.cleaned_data["new_password1"])
            attempt_forgive(name=actor.name, address=address_of(request))
            messages.success(request, "The password is changed; all your other sessions are over.")
            return redirect_to(request, reverse("preferences"))
        if "old_password" in form.errors:
            session_refuse(actor=actor, name=actor.name, reason="The old password was not given right.")
    return render(request, "accounts/password.html", {"form": form}, status=422 if form.errors else 200)


@sensitive
@requires(Action.VIEW)
def tokens(request: HttpRequest) -> HttpResponse:
    """List a person's own tokens; make one, which is shown once."""
    actor = actor_of(request)
    form = TokenForm(request.POST or None)
    secret = ""
    if request.method == "POST" and form.is_valid():
        try:
            _, secret = token_create(actor=actor, user=actor.user, **form.arguments())  # type: ignore[arg-type]
            form = TokenForm()
        except Invalid as error:
            form.add_error(None, error.message)
    context = {**listed(request, ApiToken.objects.filter(user=actor.user)), "form": form, "secret": secret}
    return render(request, "accounts/tokens.html", context)


@requires(Action.VIEW)
@require_POST
def token_end(request: HttpRequest, pk: str) -> HttpResponse:
    """Revoke one of a person's own tokens."""
    token_revoke(actor=actor_of(request), token_id=pk)
    messages.success(request, "The token is revoked.")
    return redirect_to(request, reverse("tokens"))


@requires(Action.VIEW)
def preferences(request: HttpRequest) -> HttpResponse:
    """Set theme, time zone and single keys."""
    user = actor_of(request).user
    known = {"theme": user.theme, "time_zone": user.time_zone, "shortcuts": "on" if user.shortcuts else "off"}  # type: ignore[union-attr]
    form = PreferencesForm(request.POST or None, initial=known)
    if request.method == "POST" and form.is_valid():
        preferences_set(actor=actor_of(request), **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect_to(request, reverse("preferences"))
    return render(request, "accounts/preferences.html", {"form": form})
