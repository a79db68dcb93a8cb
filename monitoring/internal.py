"""What gateways push."""

import json

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from mlorch_site.accounts.access import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, TooLarge
from monitoring.services import BatchGap, windows_store

BATCH_MAX_BYTES = 2 * 1024 * 1024


@csrf_exempt
@control_only
@require_POST
def windows(request: HttpRequest, gateway: str) -> JsonResponse:
    """Store one batch: 200 when it is stored or known, 409 with the expected sequence when one is missing."""
    if len(request.body) > BATCH_MAX_BYTES:
        raise TooLarge(f"A batch has at most {BATCH_MAX_BYTES} bytes.")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Invalid("The body is not JSON.") from error
    try:
        accepted = windows_store(gateway=gateway[:80], body=body, now=clock.now())
    except BatchGap as gap:
        return JsonResponse(gap.details, status=409)
    return JsonResponse({"accepted": accepted})
