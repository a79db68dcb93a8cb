"""Processes on this machine, supervised by the agent, which waits at the site for its goal."""

from dataplane.wire import shapes
from dataplane.wire.agent_sync import AgentGoal, ReplicaGoal
from dataplane.wire.sandbox import SandboxLevel
from deployments.models import Replica
from mlorch_site.lib.errors import DomainError
from mlorch_site.lib.hashing import content_hash
from registry.selectors import artifact_path, sandbox_levels_min


def goal_of(replicas: list[Replica]) -> AgentGoal:
    """An agent's goal, with a name for it by which the agent says that it knows it.

    A replica whose artifacts are not stored yet is left out: it cannot start.
    """
    levels = sandbox_levels_min()
    goals = [_goal(replica, artifacts, levels) for replica in replicas if (artifacts := _artifacts(replica))]
    return AgentGoal(goals, content_hash(shapes.plain(goals)))


def _goal(replica: Replica, artifacts: str, levels: dict[int, SandboxLevel]) -> ReplicaGoal:
    version, config = replica.version, replica.serving_config
    return ReplicaGoal(
        id=replica.pk,
        generation=replica.generation,
        model=version.model.name,
        version=str(version.number),
        digest=version.digest,
        artifacts=artifacts,
        requirements=[str(line) for line in version.evidence.get("requirements", [])],
        python=str(version.evidence.get("python", "")),
        memory_limit_mb=config.memory_limit_mb,
        cpu_threads=config.cpu_threads,
        start_timeout_s=config.start_timeout_s,
        drain_s=config.drain_s,
        max_restarts=config.max_restarts,
        endpoint=replica.endpoint.name,
        environment=replica.endpoint.environment.name,
        network=config.network,
        sandbox_level_min=levels.get(replica.endpoint.environment_id, "none"),
    )


def _artifacts(replica: Replica) -> str:
    try:
        path = artifact_path(replica.version)
    except DomainError:
        return ""
    return str(path) if path.is_dir() else ""
