"""The polling twin of the chart websocket."""

from django.http import HttpRequest, JsonResponse

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Invalid, NotFound
from mlorch_site.live import topics as topic_rules
from monitoring.news import points_since


@requires(Action.VIEW)
def points(request: HttpRequest, environment: str, endpoint: str) -> JsonResponse:
    """What the websocket would have said since the window id `since`; without it, the points of the last ten
    minutes.
    """
    if not topic_rules.may_join(actor_of(request), f"endpoint.{environment}.{endpoint}"):
        raise NotFound("There is no such endpoint.")
    try:
        since = topic_rules.position(request.GET.get("since", "0"))
    except ValueError as error:
        raise Invalid(f"since: {error}") from error
    message = points_since(environment, endpoint, since)
    return JsonResponse({"messages": [message] if message["sequence"] > since else []})
