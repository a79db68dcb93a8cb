"""Every change to releases, rollouts, endpoints, keys, and to what gateways and agents report."""

from deployments.services.answering import release_withdraw
from deployments.services.commands import Preview, PreviewStep, ReleaseCommand
from deployments.services.controls import (
    endpoint_rollback,
    release_abort,
    release_pause,
    release_promote,
    release_resume,
)
from deployments.services.endpoints import endpoint_create, serving_config_of, serving_config_revise
from deployments.services.gates import gate_run_again, gate_waive, waiver_take_back
from deployments.services.keys import gateway_key_create, gateway_key_revoke
from deployments.services.plan_templates import TemplateWish, plan_template_end, plan_template_save
from deployments.services.queueing import (
    queue_look,
    queued_move_first,
    queued_withdraw,
    release_queue,
    release_request_or_queue,
)
from deployments.services.release_groups import (
    groups_look,
    release_group_abort,
    release_group_close,
    release_group_open,
)
from deployments.services.releases import release_decide, release_preview, release_request
from deployments.services.reports import (
    period_report_freeze,
    report_pdf_failed,
    report_pdf_made,
    report_pdf_want,
)
from deployments.services.retention import artifacts_plan, artifacts_sweep
from deployments.services.retirement import endpoint_restore, endpoint_retire, retirement_impact
from deployments.services.simulations import simulation_ask, simulation_cancel

__all__ = [
    "Preview",
    "PreviewStep",
    "ReleaseCommand",
    "TemplateWish",
    "artifacts_plan",
    "artifacts_sweep",
    "endpoint_create",
    "endpoint_restore",
    "endpoint_retire",
    "endpoint_rollback",
    "gate_run_again",
    "gate_waive",
    "gateway_key_create",
    "gateway_key_revoke",
    "groups_look",
    "period_report_freeze",
    "plan_template_end",
    "plan_template_save",
    "queue_look",
    "queued_move_first",
    "queued_withdraw",
    "release_abort",
    "release_decide",
    "release_group_abort",
    "release_group_close",
    "release_group_open",
    "release_pause",
    "release_preview",
    "release_promote",
    "release_queue",
    "release_request",
    "release_request_or_queue",
    "release_resume",
    "release_withdraw",
    "report_pdf_failed",
    "report_pdf_made",
    "report_pdf_want",
    "retirement_impact",
    "serving_config_of",
    "serving_config_revise",
    "simulation_ask",
    "simulation_cancel",
    "waiver_take_back",
]
