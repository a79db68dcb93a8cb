"""What gates are given that the registry does not know: where the same files were, and what surrounds the release."""

from collections.abc import Callable
from typing import Any

from deployments.biography import taken_back_sentences
from deployments.models import Endpoint, Release
from deployments.outlook import outlook
from deployments.proofs import proofs
from deployments.services.watching import watched
from registry.gates.base import Cost, Surroundings

HOURS = 24


def surroundings(release: Release) -> Surroundings:
    """What the gates of the release's policy ask about, as it is now (reads the database for those that run)."""
    asked: dict[str, tuple[str, Callable[[Release], Any]]] = {
        "not_taken_back": ("taken_back", taken_back_sentences),
        "proven_before": ("proofs", proofs),
        "cost_within_quota": ("cost", cost),
        "plan_concludes": ("outlook", outlook),
        "objectives_exist": ("objectives", objectives),
    }
    runs = set(release.policy.gates)
    found = {name: read(release) for gate, (name, read) in asked.items() if gate in runs}
    if "proven_before" in runs:
        found["taken_back"] = taken_back_sentences(release)
    return Surroundings(**found)


def objectives(release: Release) -> tuple[str, ...]:
    """What watches the endpoint whether or not something rolls out: the kinds of its objectives."""
    return tuple(watched(release.endpoint).objectives().values_list("kind", flat=True))


def cost(release: Release) -> Cost:
    """What the release's serving config costs a day, beside those of the other endpoints of the environment."""
    config = release.serving_config
    others = Endpoint.objects.filter(environment=release.endpoint.environment_id, retired_at=None)
    stable = others.exclude(pk=release.endpoint_id).exclude(stable_release=None)
    rows = stable.select_related("environment", "stable_release__serving_config")
    configs = {str(row): row.stable_release.serving_config for row in rows if row.stable_release}
    whole = {str(release.endpoint): config, **configs}
    a_day = {name: float(one.cost_per_replica_hour) * one.replicas * HOURS for name, one in whole.items()}
    return Cost(
        of_this=a_day[str(release.endpoint)],
        of_others=sum(a_day[name] for name in configs),
        unpriced=tuple(name for name, amount in a_day.items() if not amount),
    )
