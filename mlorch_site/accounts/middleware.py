"""Idle and old sessions end; the person's time zone is used for the request; who has to prove something is asked."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlorch_site.accounts.person_sessions import session_seen
from mlorch_site.accounts.proof_dialog import PROOF_FIELDS, proof_dialog, proof_taken
from mlorch_site.accounts.second_factors import why_factor_needed
from mlorch_site.accounts.selectors import LAST_SEEN, SESSION_BEGAN, actor_of, address_of, why_over, zone_of
from mlorch_site.accounts.sessions import ISSUER_FACTOR, session_expire
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Forbidden, ProofNeeded
from mlorch_site.lib.htmx import redirect_to
from mlorch_site.lib.refusals import reads_json, refusal

LAST_SEEN_RESOLUTION_S = 60
WITHOUT_FACTOR = ("security/", "sign-out/", "sign-in/", "static/", "healthz", "readyz")  # open before one is set up


class PersonMiddleware:
    """End idle and old sessions and those of disabled people; show times in the person's zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            self._end_session(request)
        if request.user.is_authenticated:
            self._use_time_zone(request)
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()

    def _end_session(self, request: HttpRequest) -> None:
        now = clock.now()
        if reason := why_over(request.session, now):
            session_expire(request=request, user=request.user, reason=reason)  # type: ignore[arg-type]
            return
        request.session.setdefault(SESSION_BEGAN, now.timestamp())
        if now.timestamp() - request.session.get(LAST_SEEN, 0) > LAST_SEEN_RESOLUTION_S:
            request.session[LAST_SEEN] = now.timestamp()
            session_seen(request.session.session_key or "", address_of(request), now)

    def _use_time_zone(self, request: HttpRequest) -> None:
        timezone.activate(zone_of(request.user))  # type: ignore[arg-type]


class ProofMiddleware:
    """Ask a person at a browser for what an act needs to be proved with, and carry the act out when it is.

    A view that raises ProofNeeded is answered with a dialog that holds everything that was typed. What it sends goes to
    the very address again, with the proof; that is looked at here, taken out, and the view never sees it. A second
    factor that the installation asks for is set up before anything else.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        if not request.user.is_authenticated:
            return None
        if why := self._why_not_yet(request):
            return self._to_security(request, why)
        if request.method == "POST" and any(request.POST.get(field) for field in PROOF_FIELDS):
            return proof_taken(request)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, ProofNeeded) or reads_json(request) or request.method != "POST":
            return None
        return proof_dialog(request, exception.message)

    def _why_not_yet(self, request: HttpRequest) -> str:
        if request.path.startswith(tuple(f"/{path}" for path in WITHOUT_FACTOR)) or request.session.get(ISSUER_FACTOR):
            return ""
        return why_factor_needed(actor_of(request))

    def _to_security(self, request: HttpRequest, why: str) -> HttpResponse:
        if reads_json(request) or request.method != "GET":
            return refusal(request, Forbidden(why, code="second_factor_needed"))
        return redirect_to(request, "/security/")
