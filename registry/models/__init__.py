"""What may run: mirrored models and versions, environments and their policies, approvals, gate results."""

from registry.models.advisories import Advisory, AdvisorySet, Resolution, SigningKey
from registry.models.approval_timers import ApprovalTimer
from registry.models.approvals import ApprovalRequest, Decision
from registry.models.cards import CardPdf, CardRevision
from registry.models.comments import Comment, CommentEdit, Mention
from registry.models.delegations import Delegation
from registry.models.emergencies import Emergency
from registry.models.environments import Environment, Policy
from registry.models.external_checks import ExternalCall, ExternalCheck
from registry.models.facts import Fact
from registry.models.gates import GateResult, Waiver
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
from registry.models.policy_drafts import PolicyDraft
from registry.models.saved_filters import SavedFilter

__all__ = [
    "Advisory",
    "AdvisorySet",
    "Alias",
    "AliasIntent",
    "ApprovalRequest",
    "ApprovalTimer",
    "ArtifactSet",
    "BackendState",
    "CardPdf",
    "CardRevision",
    "Comment",
    "CommentEdit",
    "Decision",
    "Delegation",
    "Emergency",
    "Environment",
    "ExternalCall",
    "ExternalCheck",
    "Fact",
    "Finding",
    "GateResult",
    "LifecycleChange",
    "Mention",
    "Model",
    "Policy",
    "PolicyDraft",
    "Resolution",
    "SavedFilter",
    "SigningKey",
    "StoreState",
    "TagIntent",
    "Version",
    "Waiver",
    "WebhookDelivery",
]
