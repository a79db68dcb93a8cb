"""What every template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.notices.selectors import unread_count

NAVIGATION = (
    ("overview", "Overview", "home"),
    ("models", "Models", "box"),
    ("approvals", "Approvals", "user-check"),
    ("releases", "Releases", "rocket"),
    ("endpoints", "Endpoints", "server"),
    ("monitoring", "Monitoring", "activity"),
    ("alerts", "Alerts", "alert-triangle"),
    ("reports", "Reports", "file"),
    ("audit", "Audit", "shield"),
)


def site(request: HttpRequest) -> dict[str, Any]:
    """The actor, the navigation, the addresses pages show, and the position live news go on from."""
    actor = actor_of(request)
    known = {"actor": actor, "gateway_url": settings.GATEWAY_URL, "mlflow_url": settings.MLFLOW_TRACKING_URI}
    if actor.user is None:
        return known
    links = [(name, reverse(name), label, symbol) for name, label, symbol in NAVIGATION]
    may_manage_people = actor.may(Action.PEOPLE_MANAGE)
    live_since = getattr(request, "live_since", 0)
    known |= {
        "unread_notices": lambda: unread_count(actor),
        "may_manage_notices": actor.may_anywhere(Action.NOTICE_MANAGE),
    }
    return {**known, "navigation": links, "may_manage_people": may_manage_people, "live_since": live_since}
