"""Second factors: proving one at sign-in, and setting up, naming and removing one's own; one's sessions beside them."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from mlorch_site.accounts.forms import AppForm, PasskeyForm
from mlorch_site.accounts.models import User
from mlorch_site.accounts.one_time_codes import secret_make, setup_picture
from mlorch_site.accounts.passkeys import passkey_owner, proof_options, registration_options, why_none_here
from mlorch_site.accounts.pending_sign_in import PendingSignIn, pending_forget, pending_of
from mlorch_site.accounts.person_sessions import open_sessions, person_session_end, person_sessions_end
from mlorch_site.accounts.proof import require_recent_authentication, why_not_recent
from mlorch_site.accounts.recovery_codes import codes_left
from mlorch_site.accounts.route_permission import public, signed_in
from mlorch_site.accounts.second_factors import (
    CHANGE_WITHIN_MINUTES,
    app_enrol,
    factor_prove,
    factor_remove,
    factors_of,
    passkey_enrol,
    passkey_rename,
    recovery_renew,
    why_factor_needed,
)
from mlorch_site.accounts.selectors import actor_of, address_of
from mlorch_site.accounts.sessions import session_begin, session_refuse, stranger
from mlorch_site.accounts.throttle import attempt_count, attempt_forgive
from mlorch_site.audit.middleware import sensitive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, DomainError, Invalid
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.http import error_response, headers_of, status_of

APP_KEY = "app_key"  # of the session: the secret of the app that is being set up


def _after(request: HttpRequest) -> str:
    wished = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wished, {request.get_host()}, require_https=request.is_secure())
    return wished if safe else reverse("overview")


@public
@never_cache
@sensitive_post_parameters("code", "passkey")
def sign_in_factor(request: HttpRequest) -> HttpResponse:
    """Ask for the second factor of a sign-in that waits for it."""
    pending = pending_of(request)
    if pending is None:
        return redirect_to(request, reverse("sign-in"))
    problem, status, headers = "", 200, {}
    if request.method == "POST":
        try:
            code, passkey = request.POST.get("code", ""), request.POST.get("passkey", "")
            by = factor_prove(request, pending.user, code=code, passkey=passkey)
            return _begin(request, pending, by)
        except DomainError as error:
            session_refuse(actor=stranger(request), name=pending.user.username, reason=error.message)
            problem, status, headers = error.message, max(status_of(error), 401), headers_of(error)
    kinds = {factor.kind for factor in factors_of(pending.user)}
    context = {
        "person": pending.user,
        "next": _after(request),
        "problem": problem,
        "has_app": "app" in kinds,
        "has_passkey": "passkey" in kinds,
        "why_no_passkeys": why_none_here(request),
    }
    answer = render(request, "accounts/sign_in_factor.html", context, status=status)
    for name, value in headers.items():
        answer[name] = value
    return answer


def _begin(request: HttpRequest, pending: PendingSignIn, by: str) -> HttpResponse:
    pending_forget(request)
    session_begin(
        request=request,
        user=pending.user,
        proven_by=f"{pending.by} and {by}",
        issuer=pending.issuer,
        issuer_session=pending.session,
    )
    return redirect_to(request, _after(request))


@public
@never_cache
@require_POST
def passkey_question(request: HttpRequest) -> HttpResponse:
    """Give what a browser asks a passkey: of the person whose sign-in waits or who is signed in, else of anybody."""
    pending = pending_of(request)
    user = request.user if isinstance(request.user, User) else pending.user if pending else None
    if why := why_none_here(request):
        return error_response(Invalid(why), request)
    return JsonResponse(proof_options(request, user))


@public
@never_cache
@require_POST
@sensitive_post_parameters("passkey")
def sign_in_passkey(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone: it is something that a person has, and their finger or PIN unlocks it."""
    answer = request.POST.get("passkey", "")
    try:
        attempt_count(name="", address=address_of(request), now=clock.now())
        user = passkey_owner(answer)
        if user is None or not user.is_active or user.is_service:
            raise Invalid("This passkey is not known here.")
        by = factor_prove(request, user, passkey=answer)
    except DomainError as error:
        session_refuse(actor=stranger(request), name="", reason=error.message)
        messages.error(request, error.message)
        return redirect_to(request, reverse("sign-in"))
    attempt_forgive(name="", address=address_of(request))
    session_begin(request=request, user=user, proven_by=by)
    return redirect_to(request, _after(request))


@sensitive
@signed_in
@never_cache
def security(request: HttpRequest) -> HttpResponse:
    """Show a person what proves them, and where they are signed in."""
    return _page(request)


def _page(request: HttpRequest, passkey: PasskeyForm | None = None, status: int = 200) -> HttpResponse:
    actor = actor_of(request)
    user = actor.user
    assert user is not None  # the route asks for a person
    factors = factors_of(user)
    has_app = any(factor.kind == "app" for factor in factors)
    context = {
        "factors": factors,
        "why_no_app": "You have one; remove it before you set another one up." if has_app else "",
        "codes_left": codes_left(user),
        "sessions": open_sessions(user, request.session.session_key),
        "passkey_form": passkey or PasskeyForm(),
        "why_no_passkeys": why_none_here(request),
        "why_needed": why_factor_needed(actor),
        "why_prove": why_not_recent(actor, CHANGE_WITHIN_MINUTES),
        "has_password": user.has_usable_password(),
    }
    return render(request, "accounts/security.html", context, status=status)


@signed_in
@never_cache
@require_POST
def prove(request: HttpRequest) -> HttpResponse:
    """Ask for the proof that a change of what proves a person needs, before they begin with it."""
    require_recent_authentication(actor_of(request), CHANGE_WITHIN_MINUTES)
    return redirect_to(request, reverse("security"))


def _codes(request: HttpRequest, codes: list[str], said: str) -> HttpResponse:
    """Show recovery codes, this once; without any, go back to the list."""
    messages.success(request, said)
    if not codes:
        return redirect_to(request, reverse("security"))
    return render(request, "accounts/recovery_codes.html", {"codes": codes})


@signed_in
@never_cache
@sensitive_post_parameters("code")
def app_set_up(request: HttpRequest) -> HttpResponse:
    """Set up an authenticator app: a picture to scan, and a code to prove that it was."""
    actor = actor_of(request)
    assert actor.user is not None  # the route asks for a person
    secret = request.session.setdefault(APP_KEY, secret_make())
    form = AppForm(request.POST if request.method == "POST" and "code" in request.POST else None)
    if form.is_bound and form.is_valid():
        try:
            attempt_count(name=f"second factor of {actor.user.pk}", address=address_of(request), now=clock.now())
            codes = app_enrol(actor=actor, secret=secret, code=form.cleaned_data["code"])
            attempt_forgive(name=f"second factor of {actor.user.pk}", address=address_of(request))
            request.session.pop(APP_KEY, None)
            return _codes(request, codes, "The authenticator app is set up.")
        except (Invalid, Conflict) as error:
            form.add_error("code" if isinstance(error, Invalid) else None, error.message)
    picture, _ = setup_picture(actor.user, secret)
    context = {"form": form, "picture": picture, "secret": secret}
    return render(request, "accounts/app.html", context, status=422 if form.errors else 200)


@signed_in
@never_cache
@require_POST
def passkey_options(request: HttpRequest) -> HttpResponse:
    """Give what a browser makes a passkey with."""
    user = actor_of(request).user
    assert user is not None  # the route asks for a person
    if why := why_none_here(request) or why_not_recent(actor_of(request), CHANGE_WITHIN_MINUTES):
        return error_response(Invalid(why), request)
    return JsonResponse(registration_options(request, user))


@signed_in
@never_cache
@require_POST
def passkey_add(request: HttpRequest) -> HttpResponse:
    """Keep a passkey that the browser made."""
    actor = actor_of(request)
    form = PasskeyForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            codes = passkey_enrol(actor=actor, request=request, answer=values["passkey"], name=values["name"])
            return _codes(request, codes, f"The passkey {values['name']} is added.")
        except Invalid as error:
            form.add_error("name" if "name" in error.details else None, error.message)
    return _page(request, form, status=422)


def _act(request: HttpRequest, said: str, act: Any) -> HttpResponse:
    try:
        act()
        messages.success(request, said)
    except (Invalid, Conflict) as error:
        messages.error(request, error.message)
    return redirect_to(request, reverse("security"))


@signed_in
@require_POST
def passkey_name(request: HttpRequest, number: int) -> HttpResponse:
    """Call a passkey something else."""
    name = request.POST.get("name", "")
    return _act(request, "Renamed.", lambda: passkey_rename(actor=actor_of(request), number=number, name=name))


@signed_in
@require_POST
def factor_end(request: HttpRequest, number: int) -> HttpResponse:
    """Remove one's app or a passkey."""
    return _act(request, "Removed.", lambda: factor_remove(actor=actor_of(request), number=number))


@signed_in
@never_cache
@require_POST
def codes_make(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes; those of before do not work any more."""
    return _codes(request, recovery_renew(actor=actor_of(request)), "The codes of before do not work any more.")


@signed_in
@require_POST
def session_close(request: HttpRequest, number: int) -> HttpResponse:
    """End one of one's sessions; with this one, sign out."""
    actor = actor_of(request)
    assert actor.user is not None  # the route asks for a person
    person_session_end(actor=actor, user=actor.user, number=number)
    messages.success(request, "The session is ended.")
    return redirect_to(request, reverse("security"))


@signed_in
@require_POST
def sessions_close(request: HttpRequest) -> HttpResponse:
    """End all of one's sessions but this one."""
    actor = actor_of(request)
    assert actor.user is not None  # the route asks for a person
    count = person_sessions_end(actor=actor, user=actor.user, keep=request.session.session_key)
    messages.success(request, f"{count} other session{'s are' if count != 1 else ' is'} ended.")
    return redirect_to(request, reverse("security"))
