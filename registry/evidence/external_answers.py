"""Answers of external checks: signed with the secret of the one that was asked, and taken once."""

import uuid

import structlog
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mlorch_site.accounts.route_permission import signed_delivery
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError, Invalid, NotFound, TooLarge, Unauthenticated
from mlorch_site.lib.readable import read_json
from mlorch_site.lib.signatures import verified_id
from registry.evidence.services.external_checks import external_answer_take, external_call_of, secret_of

log = structlog.get_logger(__name__)

BODY_MAX_BYTES = 64 * 1024


@signed_delivery
@csrf_exempt
@require_POST
def external_answer(request: HttpRequest, pk: uuid.UUID) -> JsonResponse:
    """Take the answer to one question: 200 once, 401 when it cannot be trusted, 409 for what does not count.

    Who cannot sign learns nothing: a question that is not there is answered as a wrong signature is.
    """
    if len(request.body) > BODY_MAX_BYTES:
        raise TooLarge(f"An answer has at most {BODY_MAX_BYTES} bytes.")
    now = clock.now()
    try:
        call = external_call_of(pk)
    except NotFound as error:
        raise Unauthenticated("The signature is wrong.") from error
    verified_id(secret_of(call.asked_of), request.headers, request.body, now)
    try:
        content = read_json(request.body)
    except ValueError as error:
        raise Invalid(f"The answer is no JSON that can be taken: {error}.") from error
    if not isinstance(content, dict):
        raise Invalid("The answer is a JSON object.")
    try:
        external_answer_take(call=call, answer=content, now=now)
    except DomainError as error:
        log.warning("external_check.answer_refused", check=call.asked_of.name, call=str(pk), why=error.message)
        raise
    return JsonResponse({"status": "taken"})
