"""What Prometheus fetches of the site: one page for all of its processes, because it is read from the database."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST

from deployments.deployment_families import deployment_families
from mlorch_site.accounts.route_permission import metrics_only
from mlorch_site.lib import clock
from mlorch_site.lib.families import exposition
from monitoring.telemetry_families import telemetry_families


@metrics_only
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """The site's own metrics, read now."""
    now = clock.now()
    text = exposition([*telemetry_families(now), *deployment_families(now)])
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)
