"""What may run: mirrored models and versions, environments and their policies, approvals, gate results."""

from registry.models.approval_timers import ApprovalTimer
from registry.models.approvals import ApprovalRequest, Decision, GateResult
from registry.models.emergencies import Emergency
from registry.models.environments import Environment, Policy, PolicyProposal
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

__all__ = [
    "Alias",
    "AliasIntent",
    "ApprovalRequest",
    "ApprovalTimer",
    "ArtifactSet",
    "BackendState",
    "Decision",
    "Emergency",
    "Environment",
    "Fact",
    "Finding",
    "GateResult",
    "Model",
    "Policy",
    "PolicyProposal",
    "StoreState",
    "Version",
    "WebhookDelivery",
]
