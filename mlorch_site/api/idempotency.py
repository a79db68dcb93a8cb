"""`Idempotency-Key` on writes: the same key with the same request gives the same answer and acts once.

The act and its answer are one transaction, so a process that dies in between has done nothing, and whoever takes its
key over does it.
"""

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
from mlorch_site.lib.swap import swap

HEADER = "Idempotency-Key"
KEY_MAX_CHARS = 100
KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=60)  # longer than any write takes; a call without an answer after that has died

type_Method = Callable[..., Response]


def idempotent(method: type_Method) -> type_Method:
    """Wrap a write of a view.

    Raises Conflict when the key was used for another request, or its first call is still under way.

    A call that has no answer when its lease is over is taken over by the next one with its key; should it still be
    alive, its act is undone.
    """

    @functools.wraps(method)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER, "")
        if not key:
            return method(view, request, *args, **kwargs)
        if len(key) > KEY_MAX_CHARS:
            raise Invalid(f"{HEADER} has at most {KEY_MAX_CHARS} characters.")
        call, is_ours = _claim(request, key)
        if not is_ours:
            return _repeated(call)
        try:
            with transaction.atomic():
                answer = method(view, request, *args, **kwargs)
                keep(call, answer)
        except Exception:
            _forget(call)
            raise
        return answer

    return once


def _fingerprint(request: Request) -> str:
    return content_hash({"method": request.method, "path": request.path, "body": request.data})


def _claim(request: Request, key: str) -> tuple[IdempotentCall, bool]:
    """The call of this key, and whether it is ours to carry out."""
    user = actor_of(request._request).user
    assert user is not None  # the permission check of every view comes first
    now, fingerprint = clock.now(), _fingerprint(request)
    IdempotentCall.objects.filter(user=user, at__lt=now - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotentCall.objects.create(user=user, key=key, fingerprint=fingerprint, at=now), True
    except IntegrityError:
        call = IdempotentCall.objects.get(user=user, key=key)
    if call.fingerprint != fingerprint:
        raise Conflict(f"This {HEADER} was used for another request.", code="idempotency_key_reused")
    if call.status is not None or call.at > now - LEASE or not swap(call, "status", "at", at=now):
        return call, False
    return call, True


def _forget(call: IdempotentCall) -> None:
    """Give the key of a failed call back, unless another one has taken it over: the time of the claim fences it."""
    IdempotentCall.objects.filter(pk=call.pk, status=None, at=call.at).delete()


def keep(call: IdempotentCall, answer: Response) -> None:
    """Keep the answer for whoever asks again.

    Raises Conflict, which undoes the act, when the call was taken over meanwhile.
    """
    rendered = JSONRenderer().render(answer.data).decode()
    if not swap(call, "status", "at", status=answer.status_code, answer=rendered):
        raise Conflict("This call took too long, and another one with its key has taken it over.", code="in_progress")


def _repeated(call: IdempotentCall) -> Response:
    if call.status is None:
        raise Conflict("The first call with this key is still under way.", code="in_progress")
    return Response(json.loads(call.answer), status=call.status)
