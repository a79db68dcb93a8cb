"""The parts of the registry that act by themselves, as the audit record names them."""

from mlorch_site.accounts.actor import Actor

POLICIES = Actor.controller("policies")
APPROVALS = Actor.controller("approvals")
MIRROR = Actor.controller("mirror")
WORKER = Actor.controller("registry worker")
