"""The parts of deployments that act by themselves, as the history and the audit record name them."""

from mlorch_site.accounts.actor import Actor

ROLLOUT = Actor.controller("rollout")
GATES = Actor.controller("gates")
RETENTION = Actor.controller("retention")
GROUPS = Actor.controller("groups")
REPORTS = Actor.controller("reports")
