"""The whole cluster's machinery, joined: one watch a kind, shared by all who play a part."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from kube_queue.api.types import DEPLOYMENTS, JOBS, NODES, PODS, REPLICA_SETS
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.simulator.deployment_controller import DeploymentController
from kube_queue.simulator.job_controller import JobController
from kube_queue.simulator.kubelet import Kubelet
from kube_queue.simulator.node import Nodes
from kube_queue.simulator.operators import OPERATORS, Operators
from kube_queue.simulator.profile import Profile
from kube_queue.simulator.replica_set_controller import ReplicaSetController
from kube_queue.simulator.scheduler import Scheduler
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import job_document, node_view, pod_view, under_owner

OPERATOR_PARTS = frozenset(OPERATORS)
"""The operators of job kinds: what there is to play where control plane and nodes are real."""
EVERY_PART = OPERATOR_PARTS | {"nodes", "scheduler", "job", "apps"}
"""What can be played. A real control plane has a scheduler of its own, and controllers of Jobs and
Deployments.
"""


async def run_simulator(
    client: Client,
    profile: Profile,
    *,
    clock: Callable[[], float],
    rng: random.Random,
    parts: frozenset[str] = EVERY_PART,
) -> None:
    """Play the parts against the API server until cancelled.

    `clock` gives seconds since the epoch, `rng` the suffixes of names and the jitter of retries.
    It may end at any moment and be started again: everything it knows stands in the objects.
    """
    pod_informer = Informer(client, PODS, pod_view, rng=rng)
    node_informer = Informer(client, NODES, node_view, rng=rng)
    pods = Table(pod_informer, under_owner)
    nodes = Table(node_informer)
    running = [pod_informer.run(), node_informer.run()]

    if "nodes" in parts:
        running.append(Nodes(client, profile, nodes, clock).run())
        running.append(Kubelet(client, pods, nodes, clock).run())
    if "scheduler" in parts:
        running.append(Scheduler(client, pods, nodes, clock).run())
    if "job" in parts:
        job_informer = Informer(client, JOBS, job_document, rng=rng)
        jobs = Table(job_informer, lambda job: job.uid)
        running.append(job_informer.run())
        running.append(JobController(client, jobs, pods, clock=clock, rng=rng).run())
    if "apps" in parts:
        set_informer = Informer(client, REPLICA_SETS, job_document, rng=rng)
        deployment_informer = Informer(client, DEPLOYMENTS, job_document, rng=rng)
        sets = Table(set_informer, under_owner)
        deployments = Table(deployment_informer)
        running += [set_informer.run(), deployment_informer.run()]
        running.append(ReplicaSetController(client, sets, pods, clock=clock, rng=rng).run())
        running.append(DeploymentController(client, deployments, sets, pods, clock=clock).run())
    operators = parts & OPERATOR_PARTS
    if operators:
        running.append(Operators(client, pods, operators, clock=clock, rng=rng).run())
    async with asyncio.TaskGroup() as group:
        for work in running:
            group.create_task(work)
