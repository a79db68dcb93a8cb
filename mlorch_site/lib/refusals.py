"""Refusals as answers: the site's error page for people, the one error shape for programs."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import defaults

from mlorch_site.lib import errors
from mlorch_site.lib.http import error_body, error_response, headers_of, request_id_of, status_of

JSON_PREFIXES = ("/api/", "/internal/", "/webhooks/")


def refusal(request: HttpRequest, error: errors.DomainError) -> HttpResponse:
    """Return `error` as the surface and its caller read it."""
    if isinstance(error, errors.Forbidden):
        note_refused(request, error)
    return error_response(error, request) if reads_json(request) else error_page(request, error)


def note_refused(request: HttpRequest, error: errors.Forbidden) -> None:
    """Leave on the request that it was refused and why, for the record; also where the answer is another page."""
    request.refused = error.message  # type: ignore[attr-defined]


def reads_json(request: HttpRequest) -> bool:
    """Whether a program asks: an address of an API, and no browser that would rather have a page."""
    is_api = request.path.startswith(JSON_PREFIXES)
    return is_api and request.get_preferred_type(["application/json", "text/html"]) != "text/html"


def error_page(request: HttpRequest, error: errors.DomainError) -> HttpResponse:
    """Return `error` as a page, or as a fragment for htmx."""
    status = status_of(error)
    template = "_error.html" if request.headers.get("HX-Request") else "error.html"
    page = render(request, template, {"error": error, "status": status}, status=status)
    for name, value in headers_of(error).items():
        page[name] = value
    return page


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that leads nowhere."""
    return refusal(request, errors.NotFound("There is nothing at this address."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what a part of Django refused."""
    return refusal(request, errors.Forbidden("You may not do this."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without the right CSRF token."""
    error = errors.Forbidden(
        "This form is out of date. Go back, load its page again, and send it once more.", code="csrf"
    )
    return refusal(request, error)


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that cannot be read.

    It may have come no further than its host, so its page stands on nothing.
    """
    if reads_json(request):
        return error_response(errors.Invalid("This request cannot be read."), request)
    return defaults.bad_request(request, exception)


def broken(request: HttpRequest) -> HttpResponse:
    """Answer when something of ours failed; the page stands on nothing that may be what failed."""
    if not reads_json(request):
        return defaults.server_error(request)
    body = error_body(
        "internal", "Something of ours failed; the request's id finds it in the logs.", {}, request_id_of(request)
    )
    return JsonResponse(body, status=500)
