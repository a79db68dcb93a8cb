"""The polling twin of the websocket, for networks that block it."""

from django.http import HttpRequest, JsonResponse

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.route_permission import requires
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Forbidden, Invalid
from mlorch_site.live import topics as topic_rules
from mlorch_site.live.selectors import missed_since, newest_sequence


@requires(Action.VIEW)
def events(request: HttpRequest) -> JsonResponse:
    """What the websocket would have said since the position `since`."""
    try:
        topics = topic_rules.parse(request.GET.get("topics", ""))
        since = topic_rules.position(request.GET.get("since", "0"))
    except ValueError as error:
        raise Invalid(f"topics or since: {error}") from error
    actor = actor_of(request)
    if not all(topic_rules.may_join(actor, topic) for topic in topics):
        raise Forbidden("You may not listen to one of these topics.")
    if since == 0:
        return JsonResponse({"messages": [{"type": "hello", "sequence": newest_sequence()}]})
    missed, too_many = missed_since(topics, since)
    return JsonResponse({"messages": [{"type": "reload", "sequence": newest_sequence()}] if too_many else missed})
