"""What gateways push."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from dataplane.wire.window_batch import BATCH_BODY_MAX_BYTES, Accepted, Expected, WindowBatch
from mlorch_site.accounts.route_permission import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid
from mlorch_site.lib.wire import answer_shape, read_shape
from monitoring.services import BatchGap, windows_store

GATEWAY_MAX_CHARS = 80


@csrf_exempt
@control_only
@require_POST
def windows(request: HttpRequest, gateway: str) -> HttpResponse:
    """Store one batch: 200 when it is stored or known, 409 with the expected sequence when one is missing."""
    if len(gateway) > GATEWAY_MAX_CHARS or not gateway.isprintable():
        raise Invalid(f"A gateway's name has at most {GATEWAY_MAX_CHARS} printable characters.")
    batch = read_shape(request, WindowBatch, BATCH_BODY_MAX_BYTES)
    try:
        accepted = windows_store(gateway=gateway, batch=batch, now=clock.now())
    except BatchGap as gap:
        return answer_shape(Expected(gap.details["expected"]), status=409)
    return answer_shape(Accepted(accepted))
