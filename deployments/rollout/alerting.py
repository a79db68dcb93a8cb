"""What it means for a rollout that an alert fires on its endpoint which did not when it began: by the policy that the
release was requested under it goes on, holds, or goes back.

Whether somebody acknowledged or silenced the alert changes nothing: that is about who is told. What brings an earlier
version back is never held and never taken back by an alert.
"""

from datetime import datetime, timedelta

from django.urls import reverse

from deployments import limits
from deployments.models import Release
from mlorch_site.lib.reasons import Reason
from monitoring.alert_selectors import alert_firing_since
from monitoring.models import Alert
from registry.lifecycle import WhenAlerting


def why_alert_holds(release: Release) -> str:
    """Why an alert holds the rollout of a release, with the way to it; empty when none does (reads the database)."""
    alert = _alert(release, WhenAlerting.HOLD)
    if alert is None:
        return ""
    sentence = f"Held: {_firing(alert)} The rollout goes on when the alert is over."
    return Reason(sentence, reverse("alert", args=[alert.pk]), "The alert")


def why_alert_takes_back(release: Release, now: datetime) -> str:
    """Why an alert takes the rollout of a release back: the policy says so, or it held it for as long as a pause may
    last. Empty when none does (reads the database).
    """
    if alert := _alert(release, WhenAlerting.ROLL_BACK):
        return f"The policy takes a rollout back while an alert fires: {_firing(alert)}"
    held_by = _alert(release, WhenAlerting.HOLD)
    if held_by is not None and now - held_by.fired_at >= timedelta(seconds=limits.PAUSE_DEADLINE_S):
        return f"An alert held the rollout for too long: {_firing(held_by)}"
    return ""


def _firing(alert: Alert) -> str:
    return f"an alert fires since {alert.fired_at:%Y-%m-%d %H:%M:%S} UTC: {alert.sentence.rstrip('.')}."


def _alert(release: Release, when: WhenAlerting) -> Alert | None:
    """The alert that counts where the release's policy wants this of one."""
    if release.policy.when_alerting != when or release.kind == "rollback" or release.started_at is None:
        return None
    return alert_firing_since(release.endpoint.environment, release.endpoint.name, release.started_at)
