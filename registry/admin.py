"""Policy in the admin: drafts are written here, in sentences; revisions and environments are to look at."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from mlorch_site.accounts.read_only_admin import ReadOnlyAdmin
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from registry import services
from registry.draft_access import draft_for, drafts_visible_to, why_cannot_edit
from registry.draft_conflict import SAID_FIELDS, text_of
from registry.evidence import admin as evidence_admin  # noqa: F401 - Django looks for the pages of an app here
from registry.forms import PolicyForm
from registry.lifecycle import RiskTier
from registry.models import Environment, Model, Policy, PolicyDraft
from registry.policy_comparison import compare_policies
from registry.policy_lines import PolicyLine, line_of, policy_url, ruling_before
from registry.policy_rows import zones
from registry.rule_holders import has_one_publisher
from registry.sandbox_warning import SandboxWarning
from registry.selectors import environments_visible_to, line_said, policies_in_force
from registry.services.environments import policy_values

IN_CONFLICT = 409
MODELS_OFFERED = 500
TEMPLATE = "admin/registry/policydraft/change_form.html"


class ByPolicyEditors(ReadOnlyAdmin):
    """To look at for those who edit policies."""

    action = Action.POLICY_EDIT


@admin.register(Policy)
class PolicyAdmin(ByPolicyEditors, SandboxWarning):
    """Revisions of policies, to look at; each is a page of the site, and the next one begins as a draft."""

    list_display = [
        "environment",
        "revision",
        "in_force",
        "model",
        "tier",
        "protected",
        "created_at",
        "created_by",
        "note",
    ]
    list_filter = ["environment"]

    @admin.display(description="In force", boolean=True)
    def in_force(self, policy: Policy) -> bool:
        return policy.retired_at is None

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        policy = self.get_object(request, object_id)
        if policy is None or not self.has_view_permission(request, policy):
            return super().change_view(request, object_id, *args, **kwargs)
        return HttpResponseRedirect(policy_url(policy))


@admin.register(PolicyDraft)
class PolicyDraftAdmin(ByPolicyEditors, admin.ModelAdmin):  # type: ignore[type-arg]
    """Drafts of policies, written in sentences. They are reviewed and published on their page of the site."""

    list_display = ["environment", "model", "tier", "stage", "created_by", "changed_at", "note"]
    list_filter = ["stage", "environment"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may_anywhere(self.action)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).may_anywhere(self.action)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may_anywhere(self.action)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PolicyDraft]:
        return drafts_visible_to(actor_of(request))

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Begin a draft: first its line is chosen, then it is written."""
        actor = actor_of(request)
        actor.require(Action.POLICY_EDIT, [scope for _, scope in actor.bindings])
        try:
            line = _line_of_request(request)
        except (NotFound, Invalid, Forbidden) as error:
            messages.error(request, error.message)
            line = None
        if line is None:
            return TemplateResponse(request, "admin/registry/policydraft/line.html", self._line_context(request))
        lines = policies_in_force(line.environment)
        before = next((policy for policy in lines if line.is_line_of(policy)), None) or ruling_before(lines, line)
        values = policy_values(before or Policy())
        form = PolicyForm(request.POST or None, values=values)
        if request.method == "POST" and (said := form.read()) is not None:
            try:
                draft = services.draft_create(actor=actor, line=line, values=said, note=form.note)
                return _to_review(request, draft)
            except Invalid as error:
                form.blame(error)
        return self._form(request, form, {"line": line, "before": before})

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Write a draft. What somebody else wrote meanwhile is shown beside what was written here, never lost."""
        actor = actor_of(request)
        draft = self.get_object(request, object_id)
        if draft is None:
            return super().change_view(request, object_id, *args, **kwargs)
        draft = draft_for(actor, draft.pk, action=Action.POLICY_EDIT)
        if draft.ends_line or why_cannot_edit(actor, draft):
            return HttpResponseRedirect(reverse("policy-draft", args=[draft.pk]))
        form = PolicyForm(request.POST or None, values=text_of(draft), note=draft.note)
        context: dict[str, Any] = {"line": line_of(draft), "before": draft.base, "draft": draft}
        if request.method == "POST" and (said := form.read()) is not None:
            seen = request.POST.get("seen", "")
            try:
                number = int(seen) if seen.isdecimal() and seen.isascii() else 0
                draft = services.draft_edit(actor=actor, draft=draft, seen=number, values=said, note=form.note)
                return _to_review(request, draft)
            except Invalid as error:
                form.blame(error)
            except Conflict as error:
                draft.refresh_from_db()
                stored = text_of(draft)
                context |= {"conflict": error.message, "differences": compare_policies(stored, said, SAID_FIELDS)}
        return self._form(request, form, context)

    def _form(self, request: HttpRequest, form: PolicyForm, more: dict[str, Any]) -> HttpResponse:
        line: PolicyLine = more["line"]
        title = f"Policy of {line.words}"
        is_alone = has_one_publisher(line.environment, actor_of(request))
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "form": form, **more}
        context |= {"is_alone": is_alone}
        answer = TemplateResponse(request, TEMPLATE, {**context, "zones": zones()})
        answer.status_code = IN_CONFLICT if "conflict" in more else 200
        return answer

    def _line_context(self, request: HttpRequest) -> dict[str, Any]:
        actor = actor_of(request)
        offered = [one for one in environments_visible_to(actor) if actor.may(Action.POLICY_EDIT, [one.scope])]
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Write a policy",
            "environments": offered,
            "chosen": request.GET,
            "models": Model.objects.filter(deleted_at=None)[:MODELS_OFFERED],
            "tiers": [tier.value for tier in RiskTier],
        }


def _line_of_request(request: HttpRequest) -> PolicyLine | None:
    """The line that is chosen in the address; None for none yet. Raises NotFound, Forbidden and Invalid."""
    actor, said = actor_of(request), request.GET
    if not said.get("environment") or said.get("choose"):
        return None
    return line_said(actor, said["environment"], said.get("model", ""), said.get("tier", ""))


def _to_review(request: HttpRequest, draft: PolicyDraft) -> HttpResponse:
    messages.success(request, "The draft is kept. Look at what it changes, then put it up for review.")
    return HttpResponseRedirect(reverse("policy-draft", args=[draft.pk]))


@admin.register(Environment)
class EnvironmentAdmin(ByPolicyEditors, admin.ModelAdmin):  # type: ignore[type-arg]
    """Environments, to look at; they are made by the installation and by services."""

    list_display = ["name", "position", "platform", "aliases"]

    def view_on_site(self, obj: Environment) -> str:
        return reverse("environment", args=[obj.name])
