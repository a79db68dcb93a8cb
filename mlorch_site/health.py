"""Health of the web process."""

from django.db import connection
from django.http import HttpRequest, JsonResponse

from mlorch_site.accounts.route_permission import public


@public
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process answers."""
    return JsonResponse({"status": "ok"})


@public
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether the database answers too."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        return JsonResponse(
            {"status": "unready", "reason": f"The database does not answer ({type(error).__name__})."}, status=503
        )
    return JsonResponse({"status": "ok"})
