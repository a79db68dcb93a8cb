"""What processes of the data plane send to the site: read as a shape, refused in a sentence."""

from typing import TypeVar

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from msgspec import Struct

from dataplane.wire import shapes
from dataplane.wire.shapes import Malformed
from mlorch_site.lib.errors import Invalid, TooLarge

ShapeT = TypeVar("ShapeT", bound=Struct)


def read_shape(request: HttpRequest, shape: type[ShapeT], max_bytes: int) -> ShapeT:
    """The shape in the request's body. Raises TooLarge, or Invalid that names the field."""
    try:
        if len(request.body) > max_bytes:
            raise TooLarge(f"A report has {max_bytes} bytes at most.")
        return shapes.read(shape, request.body)
    except RequestDataTooBig as error:
        raise TooLarge(f"A report has {max_bytes} bytes at most.") from error
    except Malformed as error:
        raise refusal(error) from error


def refusal(error: Malformed) -> Invalid:
    """The refusal of what is not of the shape, with the field that is wrong."""
    return Invalid(f"{error}.", details={error.place or "body": "see docs/wire.md"})


def answer_shape(shape: Struct, status: int = 200) -> HttpResponse:
    """A shape as the answer."""
    return HttpResponse(shapes.write(shape), content_type="application/json", status=status)
