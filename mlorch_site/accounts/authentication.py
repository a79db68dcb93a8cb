"""How the REST API learns who is asking: a bearer token, or the browser's session with CSRF protection."""

from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import ApiToken, User
from mlorch_site.accounts.selectors import actor_for_user, actor_of, address_of, token_for
from mlorch_site.accounts.sessions import token_refuse
from mlorch_site.accounts.throttle import attempt_count
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Unauthenticated


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer mlo_…`."""

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if not kind:
            return None
        if kind.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("Send the token as 'Authorization: Bearer mlo_…'.", code="malformed_token")
        inner = request._request
        token = self._token(inner, secret.strip())
        actor = actor_for_user(
            token.user, address=address_of(inner), request_id=getattr(inner, "request_id", ""), token=token
        )
        inner.actor = actor  # type: ignore[attr-defined]
        return token.user, actor

    def _token(self, request: HttpRequest, secret: str) -> ApiToken:
        """The live token. A refused one counts as an attempt from its network and is recorded; then Unauthenticated or
        TooMany is raised.
        """
        try:
            return token_for(secret)
        except Unauthenticated as error:
            attempt_count(name="", address=address_of(request), now=clock.now())
            token_refuse(request=request, reason=error.message)
            raise

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: Any, reason: str) -> str:
        return reason


class SessionAuthentication(BaseAuthentication):
    """The signed-in browser; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        inner = request._request
        user = getattr(inner, "user", None)
        if user is None or not user.is_authenticated:
            return None
        check = _CsrfCheck(lambda _request: None)  # type: ignore[arg-type]
        check.process_request(inner)
        if reason := check.process_view(inner, None, (), {}):  # type: ignore[arg-type]
            raise exceptions.PermissionDenied(f"CSRF check failed: {reason}")
        return user, actor_of(inner)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the token looks in the OpenAPI schema."""

    target_class = "mlorch_site.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "mlo_…"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the session looks in the OpenAPI schema."""

    target_class = "mlorch_site.accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "mlorch_session"}
