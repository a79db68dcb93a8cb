"""What gateways push, and what Prometheus fetches."""

import json

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from prometheus_client import CONTENT_TYPE_LATEST

from mlorch_site.accounts.access import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, TooLarge
from monitoring import prometheus
from monitoring.services import BatchGap, windows_store

GATEWAY_MAX_CHARS = 80


@csrf_exempt
@control_only
@require_POST
def windows(request: HttpRequest, gateway: str) -> JsonResponse:
    """Store one batch: 200 when it is stored or known, 409 with the expected sequence when one is missing."""
    if len(gateway) > GATEWAY_MAX_CHARS or not gateway.isprintable():
        raise Invalid(f"A gateway's name has at most {GATEWAY_MAX_CHARS} printable characters.")
    try:
        body = json.loads(request.body)
    except RequestDataTooBig as error:
        raise TooLarge(f"A batch has at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.") from error
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not JSON.") from error
    try:
        accepted = windows_store(gateway=gateway, body=body, now=clock.now())
    except BatchGap as gap:
        return JsonResponse(gap.details, status=409)
    return JsonResponse({"accepted": accepted})


@control_only
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the site's own metrics."""
    return HttpResponse(prometheus.metrics(), content_type=CONTENT_TYPE_LATEST)
