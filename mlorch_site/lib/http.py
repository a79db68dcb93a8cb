"""Requests and answers: request ids, and the one table from domain error to HTTP status."""

import re
import uuid
from typing import Any

from django.http import HttpRequest, JsonResponse

from mlorch_site.lib import errors

REQUEST_ID_PATTERN = re.compile(r"^[A-Za-z0-9_.\-]{8,64}$")

STATUS_OF: dict[type[errors.DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.ProofNeeded: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}


def status_of(error: errors.DomainError) -> int:
    """The HTTP status of a domain error; the nearest class in the table decides."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    return 400


def request_id_of(request: HttpRequest) -> str:
    """The id of this request: the client's own when it is well formed, otherwise a new one."""
    return getattr(request, "request_id", "") or new_request_id(request.headers.get("X-Request-Id", ""))


def new_request_id(offered: str) -> str:
    """Return `offered` when it is a safe id of 8 to 64 characters, otherwise a fresh random one."""
    return offered if REQUEST_ID_PATTERN.match(offered) else uuid.uuid4().hex


def error_body(code: str, message: str, details: Any, request_id: str) -> dict[str, Any]:
    """The one error shape of every surface."""
    return {"error": {"code": code, "message": message, "details": details or {}, "request_id": request_id}}


def error_response(error: errors.DomainError, request: HttpRequest) -> JsonResponse:
    """Return `error` as JSON in the one error shape."""
    return JsonResponse(
        error_body(error.code, error.message, error.details, request_id_of(request)),
        status=status_of(error),
        headers=headers_of(error),
    )


def headers_of(error: Exception) -> dict[str, str]:
    """What the answer to an error says besides its body."""
    return {"Retry-After": str(error.retry_after_s)} if isinstance(error, errors.TooMany) else {}
