"""What every REST resource shares: pages, bodies that were checked, and one error shape."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import render
from rest_framework import exceptions, serializers
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from mlorch_site.lib import errors
from mlorch_site.lib.http import error_body, headers_of, request_id_of, status_of
from mlorch_site.lib.readable import read_json


class JsonParser(JSONParser):
    """JSON that can be kept: what cannot be read, or not be written again, is the caller's error."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return read_json(stream.read())
        except ValueError as error:
            raise exceptions.ParseError(f"The body is no JSON that can be taken: {error}.") from error


class Pages(PageNumberPagination):
    """Numbered pages; the client may ask for up to 200 rows."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


def read_body(shape: type[serializers.BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """Return the fields of a request's body. Raises ValidationError with the name of each that is wrong."""
    body = shape(data=request.data)
    body.is_valid(raise_exception=True)
    fields: dict[str, Any] = body.validated_data
    return fields


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


def handle_exception(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return `exc` in the one error shape, or as a page where a page was asked for; None lets an unknown exception
    become a 500.
    """
    known = _as_domain_error(exc)
    if known is None:
        return None
    code, message, details, status = known
    request = context["request"]
    if status == 403:
        request._request.refused = message
    renderer = getattr(request, "accepted_renderer", None)
    if renderer is not None and renderer.media_type == "text/html":
        page = {"error": errors.DomainError(message, code=code, details=details), "status": status}
        answer = render(request._request, "error.html", page, status=status)
    else:
        # Written here and not by the view's renderer: an error is JSON also where what was asked for is YAML.
        body = JSONRenderer().render(error_body(code, message, details, request_id_of(request)))
        answer = HttpResponse(body, status=status, content_type="application/json")
    for name, value in headers_of(exc).items():
        answer[name] = value
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    if status == 503:
        answer["Retry-After"] = "5"
    return answer
