"""Processes on this machine, supervised by the agent, which waits at the site for its goal."""

from typing import Any

from deployments.models import Replica
from mlorch_site.lib.errors import DomainError
from mlorch_site.lib.hashing import canonical_json, sha256_hex
from registry.selectors import artifact_path


def goals_of(replicas: list[Replica]) -> list[dict[str, Any]]:
    """Return the agent's goal (docs/wire.md section 5). A replica whose artifacts are not stored yet is left out: it cannot start."""
    goals = []
    for replica in replicas:
        if artifacts := _artifacts(replica):
            goals.append(_goal(replica, artifacts))
    return goals


def _goal(replica: Replica, artifacts: str) -> dict[str, Any]:
    version, config = replica.version, replica.serving_config
    requirements = [str(line) for line in version.evidence.get("requirements", [])]
    python = str(version.evidence.get("python", ""))
    return {
        "id": replica.pk,
        "generation": replica.generation,
        "model": version.model.name,
        "version": str(version.number),
        "digest": version.digest,
        "artifacts": artifacts,
        "requirements": requirements,
        "requirements_key": sha256_hex(canonical_json([sorted(requirements), python])),
        "python": python,
        "memory_limit_mb": config.memory_limit_mb,
        "cpu_threads": config.cpu_threads,
        "start_timeout_s": config.start_timeout_s,
        "drain_s": config.drain_s,
        "max_restarts": config.max_restarts,
        "endpoint": replica.endpoint.name,
        "environment": replica.endpoint.environment.name,
    }


def _artifacts(replica: Replica) -> str:
    try:
        path = artifact_path(replica.version)
    except DomainError:
        return ""
    return str(path) if path.is_dir() else ""
