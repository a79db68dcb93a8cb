"""What may run: mirrored models and versions, environments and their policies, approvals, gate results."""

from registry.models.approvals import ApprovalRequest, Decision, GateResult
from registry.models.environments import Environment, Policy
from registry.models.facts import Fact
from registry.models.mirror import (
    Alias,
    AliasIntent,
    ArtifactSet,
    BackendState,
    Finding,
    Model,
    StoreState,
    Version,
    WebhookDelivery,
)
from registry.models.policy_drafts import PolicyDraft

__all__ = [
    "Alias",
    "AliasIntent",
    "ApprovalRequest",
    "ArtifactSet",
    "BackendState",
    "Decision",
    "Environment",
    "Fact",
    "Finding",
    "GateResult",
    "Model",
    "Policy",
    "PolicyDraft",
    "StoreState",
    "Version",
    "WebhookDelivery",
]
