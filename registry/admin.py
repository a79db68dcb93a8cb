"""Policy in the admin: the revision in force is shown to be changed, and saving writes the next one; earlier ones can
be read, never changed.
"""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from mlorch_site.accounts.read_only_admin import ReadOnlyAdmin
from mlorch_site.accounts.roles import Action
from mlorch_site.accounts.selectors import actor_of
from mlorch_site.lib.errors import Conflict, Invalid
from registry.approvals.electorate import rules_warning
from registry.evidence import admin as evidence_admin  # noqa: F401 - Django looks for the pages of an app here
from registry.models import Environment, Policy, PolicyProposal
from registry.policy_comparison import PolicyDifference, compare_policies
from registry.policy_fields import POLICY_FIELDS, check_policy
from registry.policy_lines import PolicyLine
from registry.protection import loosens
from registry.sandbox_warning import SandboxWarning
from registry.selectors import following_policy, newest_policy, open_proposal, why_not_propose
from registry.services.environments import (
    RevisedMeanwhile,
    check_reviewers,
    policy_revise,
    policy_values,
)
from registry.services.proposals import policy_propose

BASED_ON = "based_on"
IN_CONFLICT = 409


@dataclass(frozen=True)
class PolicyConflict:
    """Somebody published `newest` after the form was opened on `base`: what they changed, and what saving would now."""

    base: Policy
    newest: Policy
    theirs: list[PolicyDifference]
    ours: list[PolicyDifference]


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks a policy before it is written, and says which field is wrong. It carries the revision it was opened on."""

    based_on = forms.IntegerField(min_value=0, widget=forms.HiddenInput, required=False)
    conflict: PolicyConflict | None = None
    loosened: list[str]

    class Meta:
        model = Policy
        fields = ["environment", *POLICY_FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loosened = []
        self.base = Policy.objects.filter(pk=self.instance.pk).first()
        self.initial = {**self.initial, BASED_ON: self._opened_on(), "note": ""}
        if "environment" in self.fields:
            self.fields["environment"].queryset = Environment.objects.filter(policies=None)  # type: ignore[attr-defined]

    def _opened_on(self) -> int:
        return self.base.revision if self.base else 0

    def clean_based_on(self) -> int:
        """The revision that the form was opened on: without a word of its own, that of the page."""
        said: int | None = self.cleaned_data[BASED_ON]
        return self._opened_on() if said is None else said

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        given = {name: values[name] for name in POLICY_FIELDS if name in values}
        try:
            check_policy(given)
            if self.base is not None:
                self._check_against(newest_policy(self.base.environment), given)
        except Invalid as error:
            raise ValidationError(
                {name: str(text) for name, text in error.details.items() if name in self.fields}
            ) from error
        return values

    def _check_against(self, newest: Policy, given: dict[str, Any]) -> None:
        """Hold what was written against the revision in force. Raises ValidationError and Invalid."""
        if newest.revision != self.cleaned_data[BASED_ON]:
            raise self._note_conflict(newest, given)
        before = policy_values(newest)
        if given["approval_rules"] != before["approval_rules"]:
            check_reviewers(PolicyLine(newest.environment), given["approval_rules"])
        self.loosened = loosens(before, given)
        if self.loosened and (waiting := open_proposal(newest.environment)):
            raise ValidationError(why_not_propose(waiting))
        if self.loosened and not given["note"].strip():
            raise ValidationError(
                {"note": f"{' '.join(self.loosened)} Say why, for the administrator who has to confirm it."}
            )

    def _note_conflict(self, newest: Policy, given: dict[str, Any]) -> ValidationError:
        started = Policy.objects.filter(environment=newest.environment, revision=self.cleaned_data[BASED_ON]).first()
        base = started or newest
        said, in_force = policy_values(base), policy_values(newest)
        self.conflict = PolicyConflict(
            base,
            newest,
            compare_policies(said, in_force, POLICY_FIELDS),
            compare_policies(in_force, given, POLICY_FIELDS),
        )
        # What was written stays in the form; sent once more, it is a change of the revision that is shown now.
        self.data = {**self.data.dict(), BASED_ON: str(newest.revision)}  # type: ignore[attr-defined]
        said_on = self.cleaned_data[BASED_ON]
        return ValidationError(RevisedMeanwhile(said_on, newest).message, code="revised_meanwhile")


class ByPolicyEditors(ReadOnlyAdmin):
    """To look at for those who edit policies."""

    action = Action.POLICY_EDIT


@admin.register(Policy)
class PolicyAdmin(ByPolicyEditors, SandboxWarning):
    """Revisions of policies. "Change" shows the one in force and saves the next one."""

    form = PolicyForm
    list_display = [
        "environment",
        "revision",
        "in_force",
        "protected",
        "approval_rules",
        "guardrails_required",
        "created_at",
        "created_by",
        "note",
    ]
    list_filter = ["environment"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Policy]:
        rows: QuerySet[Policy] = super().get_queryset(request)
        return rows

    @admin.display(description="In force", boolean=True)
    def in_force(self, policy: Any) -> bool:
        return policy.retired_at is None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["environment"] if obj else []

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        carried = [BASED_ON] if self.has_change_permission(request, obj) else []
        return ["environment", *POLICY_FIELDS, *carried]

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        extra_context = {"show_save_and_continue": False, "show_save_and_add_another": False, **(extra_context or {})}
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RevisedMeanwhile:  # between the form's look and the lock: the form sees it now, and says so
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Conflict as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        policy = kwargs.get("obj")
        conflict = getattr(context["adminform"].form, "conflict", None)
        context |= {"conflict": conflict, **(_beside(policy) if policy else {})}
        answer = super().render_change_form(request, context, *args, **kwargs)
        if conflict is not None:
            answer.status_code = IN_CONFLICT
        return answer

    def save_model(self, request: HttpRequest, obj: Policy, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in POLICY_FIELDS if name in form.cleaned_data}
        given = {"actor": actor_of(request), "environment": obj.environment, BASED_ON: form.cleaned_data[BASED_ON]}
        if form.loosened:
            request.proposal = policy_propose(**given, reason=values.pop("note"), **values)  # type: ignore[attr-defined]
            return
        made = policy_revise(**given, **values)
        obj.pk, obj.revision = made.pk, made.revision
        messages.info(
            request, f"Saved as revision {made.revision}. Open releases keep the revision they were requested under."
        )
        if warning := rules_warning(made.environment, made):
            messages.warning(request, warning)

    def log_change(self, request: HttpRequest, obj: Policy, message: Any) -> Any:
        # A proposal changes nothing yet; its own record says who made it.
        return None if _is_proposed(request) else super().log_change(request, obj, message)

    def response_change(self, request: HttpRequest, obj: Policy) -> HttpResponse:
        if not _is_proposed(request):
            return super().response_change(request, obj)
        messages.warning(request, "This takes protection off, so it waits for another administrator to confirm it.")
        return HttpResponseRedirect(reverse("environment", args=[obj.environment.name]))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # What was written while another revision came into force is not thrown away: the form says so.
        is_open = obj is None or request.method == "POST" or newest_policy(obj.environment).pk == obj.pk
        return is_open and actor_of(request).may(Action.POLICY_EDIT)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """For an environment without a policy only: all others have a revision to start from."""
        return actor_of(request).may(Action.POLICY_EDIT) and Environment.objects.filter(policies=None).exists()


def _is_proposed(request: HttpRequest) -> bool:
    """Whether what was saved waits for another administrator."""
    return hasattr(request, "proposal")


def _beside(policy: Policy) -> dict[str, Any]:
    """What a page of a revision says besides its fields."""
    saved = Policy.objects.get(pk=policy.pk)  # a form that was refused leaves its values on the other
    following = following_policy(saved)
    later = policy_values(following) if following else {}
    return {
        "following": following,
        "newest": newest_policy(saved.environment),
        "differences": compare_policies(policy_values(saved), later, POLICY_FIELDS),
        "rules_warning": "" if following else rules_warning(saved.environment, saved),
        "proposal": open_proposal(saved.environment),
    }


@admin.register(PolicyProposal)
class PolicyProposalAdmin(ByPolicyEditors, admin.ModelAdmin):  # type: ignore[type-arg]
    """Proposals, to look at; they are confirmed, refused and withdrawn on the environment's page."""

    list_display = ["environment", "status", "proposer", "created_at", "reason", "decided_by", "decision_reason"]
    list_filter = ["status", "environment"]

    def view_on_site(self, obj: PolicyProposal) -> str:
        return reverse("environment", args=[obj.environment.name])


@admin.register(Environment)
class EnvironmentAdmin(ByPolicyEditors, admin.ModelAdmin):  # type: ignore[type-arg]
    """Environments, to look at; they are made by the installation and by services."""

    list_display = ["name", "position", "platform", "aliases"]

    def view_on_site(self, obj: Environment) -> str:
        return reverse("environment", args=[obj.name])
