"""Processes on this machine, supervised by the agent, which waits at the site for its goal."""

from dataplane.wire import shapes
from dataplane.wire.agent_sync import AgentGoal, ReplicaGoal
from dataplane.wire.sandbox import SandboxLevel
from deployments.models import Replica
from mlorch_site.lib.hashing import content_hash
from registry import artifacts
from registry.models import ArtifactSet
from registry.selectors import artifact_sets, sandbox_levels_min


def goal_of(replicas: list[Replica]) -> AgentGoal:
    """An agent's goal, with a name for it by which the agent says that it knows it.

    Each replica names the digest that its release froze, and what it needs comes from the files of that digest. One
    whose artifacts are not in the store is left out: it cannot start, and never with others.
    """
    stored = artifact_sets(replica.digest for replica in replicas)
    places = {(replica.endpoint.environment_id, replica.version.model) for replica in replicas}
    levels = sandbox_levels_min(places)
    goals = [_goal(replica, stored[replica.digest], levels) for replica in replicas if replica.digest in stored]
    return AgentGoal(goals, content_hash(shapes.plain(goals)))


def _goal(replica: Replica, artifact_set: ArtifactSet, levels: dict[tuple[int, int], SandboxLevel]) -> ReplicaGoal:
    version, config, facts = replica.version, replica.serving_config, artifact_set.facts
    return ReplicaGoal(
        id=replica.pk,
        generation=replica.generation,
        model=version.model.name,
        version=str(version.number),
        digest=replica.digest,
        artifacts=str(artifacts.path_of(replica.digest)),
        requirements=[str(line) for line in facts.get("requirements", [])],
        build_requirements=[str(line) for line in facts.get("build_requirements", [])],
        python=str(facts.get("python", "")),
        memory_limit_mb=config.memory_limit_mb,
        cpu_threads=config.cpu_threads,
        start_timeout_s=config.start_timeout_s,
        drain_s=config.drain_s,
        max_restarts=config.max_restarts,
        endpoint=replica.endpoint.name,
        environment=replica.endpoint.environment.name,
        rows_independent=config.rows_independent,
        nan_literal=config.nan_literal,
        network=config.network,
        sandbox_level_min=levels[replica.endpoint.environment_id, version.model_id],
    )
