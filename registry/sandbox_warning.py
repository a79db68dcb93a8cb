"""Told to administrators of an installation whose policies are older than sandboxes: nothing changes by itself."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse

from registry.models import Environment
from registry.selectors import environments_without_sandbox


def warning_about(environment: Environment) -> str:
    """The sentence that says what an environment's policy lets happen, and what to do."""
    return (
        f"The policy of {environment.name} accepts models without a sandbox. "
        "Revise it, and demand the level partly, or full where nothing needs the network."
    )


class SandboxWarning(admin.ModelAdmin):  # type: ignore[type-arg]
    """Says on a model's list in the admin which environments accept models without a sandbox."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET":
            for environment in environments_without_sandbox():
                messages.warning(request, warning_about(environment))
        return super().changelist_view(request, extra_context)
