"""`Idempotency-Key` on writes: the same key with the same request gives the same answer and acts once."""

import functools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from mlorch_site.accounts.models import IdempotentCall
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Conflict, Invalid
from mlorch_site.lib.hashing import content_hash

HEADER = "Idempotency-Key"
KEY_MAX_CHARS = 100
KEPT = timedelta(hours=24)

type_Method = Callable[..., Response]


def idempotent(method: type_Method) -> type_Method:
    """Wrap a write of a view. Raises Conflict when the key was used for another request, or its first call is still under way."""

    @functools.wraps(method)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER, "")
        if not key:
            return method(view, request, *args, **kwargs)
        if len(key) > KEY_MAX_CHARS:
            raise Invalid(f"{HEADER} has at most {KEY_MAX_CHARS} characters.")
        call, fresh = _claim(request, key)
        if not fresh:
            return _repeated(call, _fingerprint(request))
        try:
            answer = method(view, request, *args, **kwargs)
        except Exception:
            call.delete()
            raise
        rendered = JSONRenderer().render(answer.data).decode()
        IdempotentCall.objects.filter(pk=call.pk).update(status=answer.status_code, answer=rendered)
        return answer

    return once


def _fingerprint(request: Request) -> str:
    return content_hash({"method": request.method, "path": request.path, "body": request.data})


def _claim(request: Request, key: str) -> tuple[IdempotentCall, bool]:
    user = actor_of(request._request).user
    assert user is not None  # the permission check of every view comes first
    now = clock.now()
    IdempotentCall.objects.filter(user=user, at__lt=now - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotentCall.objects.create(user=user, key=key, fingerprint=_fingerprint(request), at=now), True
    except IntegrityError:
        return IdempotentCall.objects.get(user=user, key=key), False


def _repeated(call: IdempotentCall, fingerprint: str) -> Response:
    if call.fingerprint != fingerprint:
        raise Conflict(f"This {HEADER} was used for another request.", code="idempotency_key_reused")
    if call.status is None:
        raise Conflict("The first call with this key is still under way.", code="in_progress")
    return Response(json.loads(call.answer), status=call.status)
