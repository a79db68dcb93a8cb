"""Every change to what may run."""

from registry.services.aliases import (
    alias_applied,
    alias_claim,
    alias_failed,
    alias_impossible,
    alias_want,
    finding_resolve,
)
from registry.services.artifact_sets import (
    Sweep,
    artifact_set_hold,
    artifact_sets_plan,
    artifact_sets_sweep,
)
from registry.services.cards import (
    CardRevisedMeanwhile,
    card_pdf_failed,
    card_pdf_made,
    card_pdf_want,
    card_save,
)
from registry.services.declared_renames import rename_declare
from registry.services.environments import environment_create, policy_revise
from registry.services.findings import finding_add
from registry.services.models import model_edit
from registry.services.policy_drafts import (
    draft_create,
    draft_edit,
    draft_rebase,
    draft_return,
    draft_schedule,
    draft_submit,
    draft_withdraw,
)
from registry.services.policy_publication import draft_publish, draft_take_effect, drafts_due
from registry.services.saved_filters import saved_filter_keep, saved_filter_remove
from registry.services.sync import backend_failed, sync_from_backend
from registry.services.tags import tag_applied, tag_claim, tag_failed, tag_impossible
from registry.services.version_lifecycle import VersionInUse, version_act
from registry.services.versions import (
    TakenIn,
    artifacts_fetch,
    digest_failed,
    digest_recheck,
    digest_waits,
    digest_want,
    version_digested,
    version_profile_seen,
)

__all__ = [
    "CardRevisedMeanwhile",
    "Sweep",
    "TakenIn",
    "VersionInUse",
    "alias_applied",
    "alias_claim",
    "alias_failed",
    "alias_impossible",
    "alias_want",
    "artifact_set_hold",
    "artifact_sets_plan",
    "artifact_sets_sweep",
    "artifacts_fetch",
    "backend_failed",
    "card_pdf_failed",
    "card_pdf_made",
    "card_pdf_want",
    "card_save",
    "digest_failed",
    "digest_recheck",
    "digest_waits",
    "digest_want",
    "draft_create",
    "draft_edit",
    "draft_publish",
    "draft_rebase",
    "draft_return",
    "draft_schedule",
    "draft_submit",
    "draft_take_effect",
    "draft_withdraw",
    "drafts_due",
    "environment_create",
    "finding_add",
    "finding_resolve",
    "model_edit",
    "policy_revise",
    "rename_declare",
    "saved_filter_keep",
    "saved_filter_remove",
    "sync_from_backend",
    "tag_applied",
    "tag_claim",
    "tag_failed",
    "tag_impossible",
    "version_act",
    "version_digested",
    "version_profile_seen",
]
