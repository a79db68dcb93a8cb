"""Sign-in, sign-out, a person's tokens and preferences."""

from django.contrib import messages
from django.contrib.auth.views import LoginView, LogoutView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from mlorch_site.accounts.forms import PreferencesForm, TokenForm
from mlorch_site.accounts.models import ApiToken
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import PUBLIC, requires
from mlorch_site.accounts.selectors import actor_of, address_of
from mlorch_site.accounts.services import preferences_set, token_create, token_revoke
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.lists import listed

FAILURES_MAX = 10
FAILURES_SPAN_S = 15 * 60


class SignInView(LoginView):
    """Sign in with name and password; after too many failures for a name from an address, wait."""

    template_name = "accounts/sign_in.html"
    redirect_authenticated_user = True

    def _failures_key(self) -> str:
        name = self.request.POST.get("username", "")[:150].lower()
        return f"sign-in-failures:{address_of(self.request)}:{hash(name)}"

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if cache.get(self._failures_key(), 0) >= FAILURES_MAX:
            form = self.get_form_class()(request)
            context = self.get_context_data(form=form, throttled=FAILURES_SPAN_S // 60)
            return self.render_to_response(context, status=429)
        answer = super().post(request, *args, **kwargs)
        if request.user.is_authenticated:
            cache.delete(self._failures_key())
        else:
            cache.add(self._failures_key(), 0, FAILURES_SPAN_S)
            cache.incr(self._failures_key())
        return answer


sign_in = SignInView.as_view()
sign_in.permission = PUBLIC  # type: ignore[attr-defined]
sign_out = LogoutView.as_view()
sign_out.permission = PUBLIC  # type: ignore[attr-defined]


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
    """Set theme and time zone."""
    user = actor_of(request).user
    form = PreferencesForm(request.POST or None, initial={"theme": user.theme, "time_zone": user.time_zone})  # type: ignore[union-attr]
    if request.method == "POST" and form.is_valid():
        preferences_set(actor=actor_of(request), **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect_to(request, reverse("preferences"))
    return render(request, "accounts/preferences.html", {"form": form})
