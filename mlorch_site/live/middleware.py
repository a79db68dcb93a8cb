"""Remember the position live news go on from before the page reads anything: what changes while it is made is not
missed.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from mlorch_site.live.selectors import newest_sequence

WITHOUT_PAGES = ("/api/", "/internal/", "/live/", "/static/", "/webhooks/", "/healthz", "/readyz")


class LivePositionMiddleware:
    """Put the newest sequence on requests for whole pages as `live_since`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_page = not request.headers.get("HX-Request") and not request.path.startswith(WITHOUT_PAGES)
        if is_page and request.user.is_authenticated:
            request.live_since = newest_sequence()  # type: ignore[attr-defined]
        return self.get_response(request)
