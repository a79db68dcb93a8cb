"""Request ids for every answer, the client's address, and domain errors as pages or JSON."""

from collections.abc import Callable, Iterator

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict

from mlorch_site.lib import errors
from mlorch_site.lib.http import new_request_id
from mlorch_site.lib.peer import believe_only
from mlorch_site.lib.readable import is_text
from mlorch_site.lib.refusals import refusal

log = structlog.get_logger(__name__)


class RequestIdMiddleware:
    """Give each request an id, bind it to the logs, and return it as `X-Request-Id`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.request_id = new_request_id(request.headers.get("X-Request-Id", ""))  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class PeerMiddleware:
    """Believe what is said of the client only when a trusted proxy says it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        believe_only(tuple(settings.TRUSTED_PROXIES), request.META)
        return self.get_response(request)


class ReadableMiddleware:
    """Refuse addresses and forms with characters that no text has."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        # Filters judge what is in the query themselves: they leave out what they cannot read, and say so.
        if all(is_text(text) for text in (request.path, *_texts_of(request.POST))):
            return None
        return refusal(request, errors.Invalid("The request holds characters that no text has."))


def _texts_of(form: QueryDict) -> Iterator[str]:
    for name, values in form.lists():
        yield name
        yield from (str(value) for value in values)


class DomainErrorMiddleware:
    """Turn a domain error that left a view into the answer that fits the surface."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, errors.DomainError):
            return None
        log.info("request.refused", code=exception.code, path=request.path)
        return refusal(request, exception)
