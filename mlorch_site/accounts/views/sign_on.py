"""Sign-on with an issuer: begin, come back, prove again; and the issuer's word that a session is over."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from mlorch_site.accounts.models import User
from mlorch_site.accounts.pending_sign_in import pending_keep
from mlorch_site.accounts.proof_dialog import KEPT, dialog, form_of_kept, kept_form, typed
from mlorch_site.accounts.route_permission import public, signed_delivery, signed_in
from mlorch_site.accounts.second_factors import has_second_factor
from mlorch_site.accounts.selectors import address_of
from mlorch_site.accounts.sessions import ISSUER, ISSUER_FACTOR, session_begin, session_prove
from mlorch_site.accounts.sign_on.issuers import Issuer, issuer_for
from mlorch_site.accounts.sign_on.services import person_vouched, sessions_taken_back, sign_on_refuse
from mlorch_site.accounts.throttle import attempt_count, attempt_forgive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Forbidden, Invalid, NotFound
from mlorch_site.lib.http import error_response, status_of

SIGN_ON, PROVE = "sign on", "prove"
KEPT_MAX = 5
KEPT_MAX_CHARS = 64 * 1024


def _next(request: HttpRequest, wished: str) -> str:
    safe = url_has_allowed_host_and_scheme(wished, {request.get_host()}, require_https=request.is_secure())
    return wished if safe else reverse("overview")


def _leave_for(request: HttpRequest, issuer: Issuer, **wishes: Any) -> HttpResponse:
    # A page that leads on, and no redirect: a form may lead to this site only, whichever way.
    from mlorch_site.accounts.sign_on.oidc import address_to_ask  # brings requests, which the site starts without

    context = {"issuer": issuer, "url": address_to_ask(request, issuer, **wishes)}
    return render(request, "accounts/leave.html", context)


@public
@never_cache
@require_POST
def sign_on(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the browser to an issuer to sign on."""
    return _leave_for(request, issuer_for(slug), next_url=_next(request, request.POST.get("next", "")), purpose=SIGN_ON)


@signed_in
@never_cache
@require_POST
def prove_by_issuer(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the browser to the issuer of this session for a proof; what was typed waits in the session."""
    issuer = issuer_for(slug)
    if request.session.get(ISSUER) != issuer.slug:
        raise Forbidden("Another issuer vouched for you, or none.")
    path = request.POST.get("proof_path", "")
    fields = typed(request.POST)
    if not path.startswith("/") or not url_has_allowed_host_and_scheme(path, None):
        raise Invalid("This form does not say what it is for.")
    if sum(len(name) + len(value) for name, value in fields) > KEPT_MAX_CHARS:
        raise Invalid(
            "What you typed is too long to wait while you prove who you are. Copy it, and sign in anew first."
        )
    kept = dict(list(request.session.get(KEPT, {}).items())[-KEPT_MAX + 1 :])
    number = str(max((int(known) for known in kept), default=0) + 1)
    request.session[KEPT] = {**kept, number: kept_form(path, fields)}
    return _leave_for(request, issuer, next_url=reverse("proved"), purpose=PROVE, kept=number, anew=True)


@public
@never_cache
@require_GET
def sign_on_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Take the issuer's answer: sign the person in, or take the proof of the one who is."""
    from mlorch_site.accounts.sign_on.oidc import vouched  # brings requests, which the site starts without

    issuer = issuer_for(slug)
    try:
        attempt_count(name="", address=address_of(request), now=clock.now())
        said = vouched(request, issuer)
        user = person_vouched(request=request, issuer=issuer, vouched=said)
        attempt_forgive(name="", address=address_of(request))
        if said.purpose == PROVE:
            return _proved(request, issuer, user, said.kept)
    except DomainError as error:
        sign_on_refuse(request=request, issuer=issuer, reason=error.message)
        context = {"issuer": issuer, "problem": error.message, "next": reverse("overview")}
        return render(request, "accounts/sign_on_refused.html", context, status=status_of(error))
    if has_second_factor(user) and not issuer.counts_as_second_factor:
        pending_keep(request, user, by=f"sign-on {issuer.slug}", issuer=issuer.slug, session=said.session)
        return _to(f"{reverse('sign-in-factor')}?next={said.next_url}")
    session_begin(
        request=request, user=user, proven_by=f"sign-on {issuer.slug}", issuer=issuer.slug, issuer_session=said.session
    )
    request.session[ISSUER_FACTOR] = issuer.counts_as_second_factor
    return _to(_next(request, said.next_url))


def _to(url: str) -> HttpResponse:
    return HttpResponse(status=303, headers={"Location": url})


def _proved(request: HttpRequest, issuer: Issuer, user: User, kept: str) -> HttpResponse:
    if not request.user.is_authenticated or request.user.pk != user.pk:
        raise Forbidden("Another person proved who they are than the one who is signed in here.")
    if has_second_factor(user) and not issuer.counts_as_second_factor:
        raise Forbidden("Prove it with your second factor; this issuer's word alone is not enough.")
    session_prove(request=request, user=user, proven_by=f"sign-on {issuer.slug}")
    return _to(f"{reverse('proved')}?form={kept}")


@signed_in
@never_cache
@require_GET
def proved(request: HttpRequest) -> HttpResponse:
    """Show what waited for a proof, to be sent now by hand. It stays until it is sent or the session ends."""
    found = request.session.get(KEPT, {}).get(request.GET.get("form", ""))
    if found is None:
        raise NotFound("Nothing waits here to be sent.")
    path, fields = form_of_kept(found)
    return dialog(request, "", fields, path)


@signed_delivery
@csrf_exempt
@never_cache
@require_POST
def sign_on_ended(request: HttpRequest, slug: str) -> HttpResponse:
    """Take an issuer's word that a session, or all of a person, are over (back-channel logout)."""
    from mlorch_site.accounts.sign_on.oidc import logout_said  # brings requests, which the site starts without

    try:
        issuer = issuer_for(slug)
        subject, session = logout_said(request, issuer, request.POST.get("logout_token", ""))
    except DomainError as error:
        return error_response(error, request)
    sessions_taken_back(issuer=issuer, subject=subject, session=session)
    return HttpResponse(status=200)
