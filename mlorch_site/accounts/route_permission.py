"""Every route says who may use it. A test walks the URL resolver and fails on one that does not."""

import functools
import hmac
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.views import View
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Unauthenticated
from mlorch_site.lib.http import error_response

PUBLIC = "public"
SIGNED_IN = "signed in"
CONTROL = "control token"
METRICS = "metrics token"
SIGNED = "signed delivery"

type_View = Callable[..., Any]


def public(view: type_View) -> type_View:
    """Declare that anybody may use this route (sign-in, health)."""
    view.permission = PUBLIC  # type: ignore[attr-defined]
    return view


def signed_delivery(view: type_View) -> type_View:
    """Declare that the view itself verifies the sender's signature."""
    view.permission = SIGNED  # type: ignore[attr-defined]
    return view


def signed_in(view: type_View) -> type_View:
    """Declare that everybody who is signed in may use this route, whatever their roles.

    What of it they see, the view's `*_for` getter decides. Not signed in: to the sign-in page.
    """

    @functools.wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs) if actor_of(request).user else to_sign_in(request)

    checked.permission = SIGNED_IN  # type: ignore[attr-defined]
    return checked


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send the browser to the sign-in page, for a page and for a fragment."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": settings.WEB_SIGN_IN_PATH})
    return redirect_to_login(request.get_full_path())


def requires(action: Action) -> Callable[[type_View], type_View]:
    """Declare the action a route needs somewhere; the object's own check follows in the view's `*_for` getter.

    Not signed in: to the sign-in page. Signed in without any role that holds the action: Forbidden with the missing
    role.
    """

    def decorate(view: type_View) -> type_View:
        @functools.wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            actor = actor_of(request)
            if actor.user is None:
                return to_sign_in(request)
            if not actor.may_anywhere(action):
                actor.require(action)
            return view(request, *args, **kwargs)

        checked.permission = action  # type: ignore[attr-defined]
        return checked

    return decorate


def has_control_token(request: HttpRequest) -> bool:
    """Whether the request carries the control token of gateway and agent."""
    return _carries(request, settings.CONTROL_TOKEN)


def _carries(request: HttpRequest, wanted: str) -> bool:
    """Whether the request's bearer token is `wanted`; nothing carries an empty one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return bool(wanted) and kind == "Bearer" and hmac.compare_digest(token.encode(), wanted.encode())


def control_only(view: type_View) -> type_View:
    """Declare a route for gateway and agent: it needs the control token. Works for plain and async views."""
    refusal = Unauthenticated("The control token is missing or wrong.")

    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def checked_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not has_control_token(request):
                return error_response(refusal, request)
            return await view(request, *args, **kwargs)

        checked: type_View = checked_async
    else:

        @functools.wraps(view)
        def checked_sync(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not has_control_token(request):
                return error_response(refusal, request)
            return view(request, *args, **kwargs)

        checked = checked_sync
    checked.permission = CONTROL  # type: ignore[attr-defined]
    checked.csrf_exempt = True  # type: ignore[attr-defined]
    return checked


def metrics_only(view: type_View) -> type_View:
    """Declare a route for Prometheus: it needs the metrics token, which opens nothing else, or the control token."""

    @functools.wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not (_carries(request, settings.METRICS_TOKEN) or has_control_token(request)):
            return error_response(Unauthenticated("The metrics token is missing or wrong."), request)
        return view(request, *args, **kwargs)

    checked.permission = METRICS  # type: ignore[attr-defined]
    return checked


class RoutePermission(BasePermission):
    """Default deny: a route is open to signed-in people whose roles hold the action it declares.

    A view declares it as `permission`: one action, or method → action; methods that are not named need that of GET.
    Instead of an action it can be `SIGNED_IN`: no role is needed.
    """

    def has_permission(self, request: Request, view: View) -> bool:
        if not request.user:
            raise Unauthenticated("Sign in, or send an API token as 'Authorization: Bearer mlo_…'.")
        declared: Any = view.permission  # type: ignore[attr-defined]
        action: Any = declared.get(str(request.method), declared["GET"]) if isinstance(declared, dict) else declared
        actor = actor_of(request._request)
        if request.method not in SAFE_METHODS and not actor.may_change_by(action):
            actor.require_write()
        if action != SIGNED_IN and not actor.may_anywhere(action):
            actor.require(action)
        return True
