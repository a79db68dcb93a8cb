"""What it means for a rollout that runs when its environment closes: the line of the policy whose windows close it lets
it go on, or holds it; of several the strictest counts.

A rollout that is held changes no traffic, and its clock stands still as in a pause: from the first look at which the
environment is closed (`held_at`) to the first at which it is open. What takes traffic back is never held.
"""

from datetime import datetime
from typing import Any

from django.urls import reverse

from deployments.models import Release, Rollout
from deployments.rollout.alerting import why_alert_holds
from mlorch_site.lib.reasons import Reason
from registry.selectors import closure_of


def why_held(release: Release, now: datetime) -> str:
    """Why a rollout is held, with the way to the alert or the environment's windows that hold it; empty when it is not
    (reads the database).

    A release that brings back what was served before is never held.
    """
    if held := why_alert_holds(release):
        return held
    environment = release.endpoint.environment
    closure = closure_of(environment, now, release.endpoint.model, holding=True)
    if closure is None or release.kind == "rollback":
        return ""
    return Reason(closure.held, reverse("environment", args=[environment.name]), f"Windows of {environment.name}")


def settled(rollout: Rollout, now: datetime) -> dict[str, Any]:
    """The values with which the clock of a held rollout runs again; none when it is not held."""
    if rollout.held_at is None:
        return {}
    later = rollout.deadline_at and rollout.deadline_at + (now - rollout.held_at)
    return {"held_at": None, "deadline_at": later}
