"""What may run: mirrored models and versions, environments and their policies, approvals, gate results."""

from registry.models.advisories import Advisory, AdvisorySet, Resolution, SigningKey
from registry.models.approvals import ApprovalRequest, Decision
from registry.models.environments import Environment, Policy, PolicyProposal
from registry.models.external_checks import ExternalCall, ExternalCheck
from registry.models.facts import Fact
from registry.models.gates import GateResult, Waiver
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
    "Advisory",
    "AdvisorySet",
    "Alias",
    "AliasIntent",
    "ApprovalRequest",
    "ArtifactSet",
    "BackendState",
    "Decision",
    "Environment",
    "ExternalCall",
    "ExternalCheck",
    "Fact",
    "Finding",
    "GateResult",
    "Model",
    "Policy",
    "PolicyProposal",
    "Resolution",
    "SigningKey",
    "StoreState",
    "Version",
    "Waiver",
    "WebhookDelivery",
]
