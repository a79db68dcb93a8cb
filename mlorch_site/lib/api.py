"""What every REST resource shares: pages, and one error shape."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response

from mlorch_site.lib import errors
from mlorch_site.lib.http import error_body, request_id_of, status_of


class Pages(PageNumberPagination):
    """Numbered pages; the client may ask for up to 200 rows."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


def _as_domain_error(exc: Exception) -> tuple[str, str, Any, int] | None:
    """Return (code, message, details, status) of an exception the API knows, else None."""
    if isinstance(exc, errors.DomainError):
        return exc.code, exc.message, exc.details, status_of(exc)
    if isinstance(exc, Http404):
        return "not_found", "There is nothing here.", {}, 404
    if isinstance(exc, PermissionDenied):
        return "forbidden", "You may not do this.", {}, 403
    if isinstance(exc, exceptions.ValidationError):
        return "invalid", "Some fields are wrong; see details.", exc.detail, 400
    if isinstance(exc, exceptions.APIException):
        code = {401: "unauthenticated", 403: "forbidden", 404: "not_found"}.get(exc.status_code, "invalid")
        return code, str(exc.detail), {}, exc.status_code
    return None


def handle_exception(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return `exc` in the one error shape; None lets an unknown exception become a 500."""
    known = _as_domain_error(exc)
    if known is None:
        return None
    code, message, details, status = known
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        headers["Retry-After"] = "5"
    return Response(
        error_body(code, message, details, request_id_of(context["request"])), status=status, headers=headers
    )
