"""What runs and who gets the traffic: endpoints, releases, rollouts, replicas, route tables, gateways, keys,
reports.
"""

from deployments.models.endpoints import Endpoint, EndpointArm, GatewayKey, ServingConfig
from deployments.models.groups import ReleaseGroup
from deployments.models.plan_templates import PlanTemplate
from deployments.models.queue import QueuedRequest
from deployments.models.releases import BakeWatch, Release, ReleaseEvent, Rollout
from deployments.models.reports import Report, ReportPdf
from deployments.models.runtime import AgentState, EnvironmentBuild, GatewayState, Replica, ReplicaState, RouteTable
from deployments.models.simulations import PlanSimulation
from deployments.models.traffic import TrafficChange

__all__ = [
    "AgentState",
    "BakeWatch",
    "Endpoint",
    "EndpointArm",
    "EnvironmentBuild",
    "GatewayKey",
    "GatewayState",
    "PlanSimulation",
    "PlanTemplate",
    "QueuedRequest",
    "Release",
    "ReleaseEvent",
    "ReleaseGroup",
    "Replica",
    "ReplicaState",
    "Report",
    "ReportPdf",
    "Rollout",
    "RouteTable",
    "ServingConfig",
    "TrafficChange",
]
