"""One pass over one rollout: observe, plan, apply.

Each pass makes at most one change; whoever comes second changes nothing.
"""

from datetime import datetime

from deployments import limits
from deployments.rollout.apply import apply
from deployments.rollout.observe import observe
from deployments.rollout.plan import plan


def reconcile(release_id: str, *, now: datetime) -> bool:
    """Do at most one thing to bring a rollout nearer its goal. Returns whether it went on."""
    observed = observe(release_id, now)
    if observed is None:
        return False
    return apply(observed, plan(observed.snapshot, now), now)


def reconcile_now(release_id: str, *, now: datetime) -> None:
    """Bring a rollout as far as it comes without waiting for anybody."""
    for _ in range(limits.INSTANT_PASSES_MAX):
        if not reconcile(release_id, now=now):
            return
