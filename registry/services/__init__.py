"""Every change to what may run."""

from registry.services.aliases import (
    alias_applied,
    alias_claim,
    alias_failed,
    alias_impossible,
    alias_want,
    finding_resolve,
)
from registry.services.environments import environment_create, policy_revise
from registry.services.findings import finding_add
from registry.services.models import model_edit
from registry.services.sync import backend_failed, sync_from_backend
from registry.services.versions import (
    digest_failed,
    digest_recheck,
    digest_waits,
    digest_want,
    version_digested,
    version_profile_seen,
)

__all__ = [
    "alias_applied",
    "alias_claim",
    "alias_failed",
    "alias_impossible",
    "alias_want",
    "backend_failed",
    "digest_failed",
    "digest_recheck",
    "digest_waits",
    "digest_want",
    "environment_create",
    "finding_add",
    "finding_resolve",
    "model_edit",
    "policy_revise",
    "sync_from_backend",
    "version_digested",
    "version_profile_seen",
]
