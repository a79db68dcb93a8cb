"""What may run: mirrored models and versions, environments and their policies, approvals, gate results."""

from registry.models.approvals import ApprovalRequest, Decision, GateResult
from registry.models.cards import CardPdf, CardRevision
from registry.models.environments import Environment, Policy, PolicyProposal
from registry.models.facts import Fact
from registry.models.lifecycle import LifecycleChange, TagIntent
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
    "ArtifactSet",
    "BackendState",
    "CardPdf",
    "CardRevision",
    "Decision",
    "Environment",
    "Fact",
    "Finding",
    "GateResult",
    "LifecycleChange",
    "Model",
    "Policy",
    "PolicyProposal",
    "StoreState",
    "TagIntent",
    "Version",
    "WebhookDelivery",
]
