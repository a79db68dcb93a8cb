"""Idle and old sessions end; the person's time zone is used for the request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlorch_site.accounts.selectors import LAST_SEEN, SESSION_BEGAN, why_over, zone_of
from mlorch_site.accounts.sessions import session_expire
from mlorch_site.lib import clock

LAST_SEEN_RESOLUTION_S = 60


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

    def _use_time_zone(self, request: HttpRequest) -> None:
        timezone.activate(zone_of(request.user))  # type: ignore[arg-type]
