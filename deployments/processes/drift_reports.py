"""What gateways counted of sampled requests, and how they are to count (docs/wire.md section 10)."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from dataplane.wire.drift_report import DRIFT_BODY_MAX_BYTES, DriftPlace, DriftPlans, DriftReport
from deployments.models import Endpoint
from deployments.services.watching import watched
from mlorch_site.accounts.route_permission import control_only
from mlorch_site.lib import clock
from mlorch_site.lib.wire import answer_shape, read_shape
from monitoring.services import SampledPlace, drift_report_store
from registry.models import Version


@csrf_exempt
@control_only
@require_POST
def gateway_drift(request: HttpRequest, gateway: str) -> HttpResponse:
    """Store the counts of a gateway; answer with the plans of the places it asks about."""
    report = read_shape(request, DriftReport, DRIFT_BODY_MAX_BYTES)
    named = {*report.places, *(window.place for window in report.windows), *(one.place for one in report.learned)}
    plans = drift_report_store(gateway=gateway, report=report, places=sampled_places(named), now=clock.now())
    return answer_shape(DriftPlans(plans))


def sampled_places(named: set[DriftPlace]) -> dict[DriftPlace, SampledPlace]:
    """Those of the places that exist, in two queries: an endpoint that is there, with a version of its model."""
    rows = Endpoint.objects.filter(
        environment__name__in={place.environment for place in named}, name__in={place.endpoint for place in named}
    )
    endpoints = {(row.environment.name, row.name): row for row in rows.select_related("environment", "model")}
    versions = Version.objects.filter(
        model__in={row.model_id for row in endpoints.values()},
        number__in={int(place.version) for place in named},
        superseded_at=None,
    )
    known = {(row.model_id, row.number): row for row in versions}
    found = {}
    for place in named:
        endpoint = endpoints.get((place.environment, place.endpoint))
        version = known.get((endpoint.model_id, int(place.version))) if endpoint else None
        if endpoint is not None and version is not None:
            found[place] = SampledPlace(watched(endpoint), version)
    return found
