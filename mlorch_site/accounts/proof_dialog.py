"""The dialog that asks a person for a proof before an act, and keeps what they typed for it.

What was typed travels as hidden fields of the dialog's own form; it is sent by POST to the address it was meant for,
and never by GET. Where the proof is an issuer's, it waits in the session meanwhile, and is sent by hand.
"""

import json
from typing import Any

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

from mlorch_site.accounts.models import User
from mlorch_site.accounts.passkeys import why_none_here
from mlorch_site.accounts.second_factors import factor_prove, factors_of
from mlorch_site.accounts.selectors import actor_of, address_of
from mlorch_site.accounts.sessions import ISSUER, PASSWORD, session_prove, session_refuse, why_no_password
from mlorch_site.accounts.sign_on.issuers import issuers_enabled
from mlorch_site.accounts.throttle import attempt_count, attempt_forgive
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Invalid
from mlorch_site.lib.http import headers_of, status_of
from mlorch_site.lib.sealing import seal, unseal

PASSWORD_FIELD, CODE_FIELD, PASSKEY_FIELD = PROOF_FIELDS = ("proof_password", "proof_code", "proof_passkey")
KEPT = "kept_forms"  # of the session: what was typed, until an issuer has answered
NOT_KEPT = {*PROOF_FIELDS, "csrfmiddlewaretoken", "proof_path"}
NOT_SHOWN = {"seen", "find"}
SECRETS = ("secret", "password", "token", "passkey")
SHOWN_MAX_CHARS = 300


def typed(form: QueryDict) -> list[tuple[str, str]]:
    """What a person typed, field by field, without what proves them."""
    return [(name, str(value)) for name, values in form.lists() if name not in NOT_KEPT for value in values]


def proof_dialog(request: HttpRequest, why: str, problem: str = "", status: int = 401) -> HttpResponse:
    """Ask for a proof. `problem` says what was wrong with the one that was given."""
    user = request.user
    assert isinstance(user, User)  # whoever is nobody is asked to sign in
    return dialog(request, why, typed(request.POST), request.get_full_path(), problem=problem, status=status)


def dialog(
    request: HttpRequest, why: str, fields: list[tuple[str, str]], path: str, *, problem: str = "", status: int = 200
) -> HttpResponse:
    """The dialog for `fields` that are meant for `path`; without `why`, everything is proved and they only wait."""
    user = request.user
    assert isinstance(user, User)
    factors = factors_of(user)
    own = request.session.get(ISSUER, "")
    context: dict[str, Any] = {
        "why": why,
        "problem": problem,
        "fields": fields,
        "shown": [(name, _shown(name, value)) for name, value in fields if value.strip() and name not in NOT_SHOWN],
        "path": path,
        "has_password": user.has_usable_password() and not why_no_password(user) and not factors,
        "has_app": any(factor.kind == "app" for factor in factors),
        "has_factor": bool(factors),
        "has_passkey": any(factor.kind == "passkey" for factor in factors) and not why_none_here(request),
        "issuer": next((issuer for issuer in issuers_enabled() if issuer.slug == own), None),
    }
    answer = render(request, "accounts/proof.html", context, status=status)
    add_never_cache_headers(answer)
    return answer


def _shown(name: str, value: str) -> str:
    """What a field holds, as far as a page may show it."""
    return "(not shown)" if any(word in name for word in SECRETS) else value[:SHOWN_MAX_CHARS]


def kept_form(path: str, fields: list[tuple[str, str]]) -> str:
    """A form as the session keeps it until an issuer has answered: sealed, for it may hold a secret."""
    return seal(json.dumps([path, fields]))


def form_of_kept(kept: str) -> tuple[str, list[tuple[str, str]]]:
    """Where a kept form is meant for, and its fields. Raises Unavailable when it cannot be opened."""
    path, fields = json.loads(unseal(kept))
    return path, [(name, value) for name, value in fields]


def proof_taken(request: HttpRequest) -> HttpResponse | None:
    """Look at the proof that came with a form and take it out of it; the dialog again when it proves nothing."""
    user = request.user
    assert isinstance(user, User)
    try:
        by = _proven_by(request, user)
    except DomainError as error:
        session_refuse(actor=actor_of(request), name=user.username, reason=error.message)
        why = "This needs a proof of who you are."
        answer = proof_dialog(request, why, problem=error.message, status=max(status_of(error), 401))
        for name, value in headers_of(error).items():
            answer[name] = value
        return answer
    session_prove(request=request, user=user, proven_by=by)
    rest = request.POST.copy()
    for field in PROOF_FIELDS:
        rest.pop(field, None)
    rest._mutable = False
    request.POST = rest  # type: ignore[assignment]
    return None


def _proven_by(request: HttpRequest, user: User) -> str:
    """How the form proves the person. Who has a second factor proves that; the password alone is for who has none."""
    code, passkey = request.POST.get(CODE_FIELD, ""), request.POST.get(PASSKEY_FIELD, "")
    if code or passkey:
        return factor_prove(request, user, code=code, passkey=passkey)
    if why := why_no_password(user):
        raise Invalid(why)
    if factors_of(user):
        raise Invalid("Prove it with your second factor; the password alone is not enough.")
    attempt_count(name=user.username, address=address_of(request), now=clock.now())
    found = authenticate(request, username=user.username, password=request.POST[PASSWORD_FIELD])
    if found is None or found.pk != user.pk:
        raise Invalid("The password is wrong.")
    attempt_forgive(name=user.username, address=address_of(request))
    return PASSWORD
