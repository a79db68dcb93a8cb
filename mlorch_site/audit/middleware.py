"""Records of what is no change: acts that were refused, and reads of pages that tell much.

A view says that its page is such a one by `sensitive`; every page of the admin is.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse

from mlorch_site.accounts.selectors import actor_of
from mlorch_site.audit.services import page_read, refusal_note

T = TypeVar("T")
ADMIN = "admin"
ADMIN_PARTS = ("jsi18n",)  # what its pages load besides
READ = ("GET", "HEAD")


def sensitive(view: T) -> T:
    """Declare that reading this page is recorded."""
    view.is_sensitive = True  # type: ignore[attr-defined]
    return view


class RecordMiddleware:
    """Append the record before the answer goes out: without a record there is neither."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        actor, reason = actor_of(request), getattr(request, "refused", "")
        if actor.user is None:
            return response
        if reason or response.status_code == 403:
            refusal_note(actor=actor, route=route_of(request), path=request.path, reason=reason)
        elif response.status_code == 200 and request.method in READ and is_sensitive(request):
            page_read(actor=actor, route=route_of(request), path=request.get_full_path())
        return response


def route_of(request: HttpRequest) -> str:
    """The name of the route, which is the same whatever object it is asked for."""
    match: Any = request.resolver_match
    return str(match.view_name or match.route) if match else ""


def is_sensitive(request: HttpRequest) -> bool:
    """Whether reading what was asked for is recorded."""
    match: Any = request.resolver_match
    if match is None:
        return False
    if ADMIN in match.app_names:
        return match.url_name not in ADMIN_PARTS
    return bool(getattr(getattr(match.func, "cls", match.func), "is_sensitive", False))
