"""How the audit record names what the registry holds."""

from mlorch_site.audit.services import Subject
from registry.models import ApprovalRequest, Environment, Finding, Model, Policy, PolicyDraft, Version


def of_model(model: Model) -> Subject:
    return Subject("model", str(model.pk), model.name, (model.scope,))


def of_version(version: Version) -> Subject:
    return Subject("version", str(version.pk), str(version), (version.model.scope,))


def of_environment(environment: Environment) -> Subject:
    return Subject("environment", str(environment.pk), environment.name, (environment.scope,))


def of_policy(policy: Policy) -> Subject:
    return Subject("policy", str(policy.pk), str(policy), (policy.environment.scope,))


def of_draft(draft: PolicyDraft) -> Subject:
    return Subject("policy_draft", str(draft.pk), str(draft), (draft.environment.scope,))


def of_approval(request: ApprovalRequest) -> Subject:
    return Subject("approval", str(request.pk), request.title, tuple(request.scopes))


def of_finding(finding: Finding) -> Subject:
    return Subject("finding", str(finding.pk), finding.summary, (finding.model.scope,))
