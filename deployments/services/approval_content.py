"""What an approval of a release covers."""

from typing import Any

from deployments.models import Release


def approval_content(release: Release) -> dict[str, Any]:
    """The content an approval is bound to, as the rows are now.

    Reads the version's digest, not the one noted at the request. The model has the name that it had then: a rename in
    MLflow changes nothing of what was approved.
    """
    return {
        "model": release.plan.get("model", release.version.model.name),
        "version": release.version.number,
        "digest": release.version.digest,
        "endpoint": str(release.endpoint),
        "plan": release.plan,
        "policy": release.policy.revision,
        "serving_config": release.serving_config.revision,
    }
