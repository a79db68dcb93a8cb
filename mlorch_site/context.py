"""What every template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from mlorch_site.accounts.selectors import actor_of


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the actor and the addresses that pages show."""
    return {"actor": actor_of(request), "gateway_url": settings.GATEWAY_URL, "mlflow_url": settings.MLFLOW_TRACKING_URI}
