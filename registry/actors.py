"""The parts of the registry that act by themselves, as the audit record names them."""

from mlorch_site.accounts.actor import Actor

ADVISORIES = Actor.controller("advisory file")
POLICIES = Actor.controller("policies")
APPROVALS = Actor.controller("approvals")
GATES = Actor.controller("gates")
MIRROR = Actor.controller("mirror")
WORKER = Actor.controller("registry worker")
