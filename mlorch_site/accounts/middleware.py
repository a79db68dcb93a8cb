"""Idle sessions end; the person's time zone is used for the request."""

import zoneinfo
from collections.abc import Callable

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mlorch_site.accounts.selectors import LAST_SEEN, is_idle
from mlorch_site.lib import clock

LAST_SEEN_RESOLUTION_S = 60


class PersonMiddleware:
    """End idle sessions and those of disabled people; show times in the person's zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            self._end_idle_session(request)
        if request.user.is_authenticated:
            self._use_time_zone(request)
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()

    def _end_idle_session(self, request: HttpRequest) -> None:
        now = clock.now()
        if is_idle(request.session, now):
            logout(request)
        elif now.timestamp() - request.session.get(LAST_SEEN, 0) > LAST_SEEN_RESOLUTION_S:
            request.session[LAST_SEEN] = now.timestamp()

    def _use_time_zone(self, request: HttpRequest) -> None:
        try:
            timezone.activate(zoneinfo.ZoneInfo(request.user.time_zone))  # type: ignore[union-attr]
        except (KeyError, ValueError):
            timezone.deactivate()
