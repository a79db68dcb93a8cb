"""Small helpers for htmx requests."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a fragment (and not for a whole page through a boosted link)."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render_page(request: HttpRequest, page: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """Render `fragment` for htmx and `page` (which includes the same fragment) otherwise."""
    return render(request, fragment if is_fragment(request) else page, context)


def redirect_to(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser to `url`: by header for htmx, by status otherwise."""
    if getattr(request, "htmx", None):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponse(status=303, headers={"Location": url})
