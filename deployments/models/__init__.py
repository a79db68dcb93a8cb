"""What runs and who gets the traffic: endpoints, releases, rollouts, replicas, route tables, gateways, keys,
reports.
"""

from deployments.models.endpoints import Endpoint, EndpointArm, GatewayKey, ServingConfig
from deployments.models.releases import BakeWatch, Release, ReleaseEvent, Report, Rollout
from deployments.models.runtime import AgentState, EnvironmentBuild, GatewayState, Replica, ReplicaState, RouteTable
from deployments.models.traffic import TrafficChange

__all__ = [
    "AgentState",
    "BakeWatch",
    "Endpoint",
    "EndpointArm",
    "EnvironmentBuild",
    "GatewayKey",
    "GatewayState",
    "Release",
    "ReleaseEvent",
    "Replica",
    "ReplicaState",
    "Report",
    "Rollout",
    "RouteTable",
    "ServingConfig",
    "TrafficChange",
]
