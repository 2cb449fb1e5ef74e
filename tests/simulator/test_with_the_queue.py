"""The operators played here and the job side of the queue, which must understand each other."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import PODS, ResourceType
from kube_queue.jobframework import JobExtension
from kube_queue.simulator.kubeflow_kinds import (
    JAXJOB,
    MPIJOB,
    MXJOB,
    PADDLEJOB,
    PYTORCHJOB,
    XGBOOSTJOB,
)
from kube_queue.simulator.rayjob_operator import RAYJOBS
from kube_queue.simulator.spark_operator import SPARK_APPLICATIONS
from kube_queue.simulator.workflow_operator import WORKFLOWS
from kube_queue_extensions.jaxjob import JAXJobExtension
from kube_queue_extensions.mpijob import MPIJobExtension
from kube_queue_extensions.mxjob import MXJobExtension
from kube_queue_extensions.paddlejob import PaddleJobExtension
from kube_queue_extensions.pytorchjob import PyTorchJobExtension
from kube_queue_extensions.rayjob import RayJobExtension
from kube_queue_extensions.sparkapp import SparkApplicationExtension
from kube_queue_extensions.workflow import WorkflowExtension
from kube_queue_extensions.xgboostjob import XGBoostJobExtension
from tests.controller.jobs.cluster import Cluster, play
from tests.simulator.test_kubeflow_operator import a_kubeflow_job
from tests.simulator.test_mpi_first import OLD_MPIJOBS, an_old_mpijob
from tests.simulator.test_rayjob_operator import a_rayjob
from tests.simulator.test_spark_operator import an_application
from tests.simulator.test_workflow_operator import a_workflow

Object = dict[str, Any]


def a_queued_workflow() -> Object:
    workflow = a_workflow(suspend=True)
    asks = {"kube-queue/min-resources": "cpu: 1\nmemory: 1Gi"}
    workflow["metadata"]["annotations"] = asks
    return workflow


STOPPABLE: list[tuple[ResourceType, JobExtension, Object]] = [
    (
        PYTORCHJOB.resource,
        PyTorchJobExtension(),
        a_kubeflow_job(PYTORCHJOB, {"Master": 1, "Worker": 1}, held=True),
    ),
    (
        XGBOOSTJOB.resource,
        XGBoostJobExtension(),
        a_kubeflow_job(XGBOOSTJOB, {"Master": 1, "Worker": 1}, held=True),
    ),
    (PADDLEJOB.resource, PaddleJobExtension(), a_kubeflow_job(PADDLEJOB, {"Worker": 2}, held=True)),
    (
        MXJOB.resource,
        MXJobExtension(),
        a_kubeflow_job(MXJOB, {"Scheduler": 1, "Worker": 1}, held=True),
    ),
    (JAXJOB.resource, JAXJobExtension(), a_kubeflow_job(JAXJOB, {"Worker": 2}, held=True)),
    (
        MPIJOB.resource,
        MPIJobExtension(),
        a_kubeflow_job(MPIJOB, {"Launcher": 1, "Worker": 1}, held=True),
    ),
    (RAYJOBS, RayJobExtension(), a_rayjob(suspend=True)),
    (SPARK_APPLICATIONS, SparkApplicationExtension(), an_application(marked=True)),
]
OTHERS: list[tuple[ResourceType, JobExtension, Object]] = [
    (OLD_MPIJOBS, MPIJobExtension(), an_old_mpijob(held=True)),
    (WORKFLOWS, WorkflowExtension(), a_queued_workflow()),
]


def in_order(cases: list[tuple[ResourceType, JobExtension, Object]]) -> Callable[..., Any]:
    names = [f"{resource.kind}-{resource.version}" for resource, _, _ in cases]
    return pytest.mark.parametrize(("resource", "extension", "job"), cases, ids=names)


async def submit(cluster: Cluster, resource: ResourceType, job: Object) -> str:
    """The name of the unit of the job, which has been submitted."""
    job = copy.deepcopy(job)
    job["metadata"].pop("uid", None)
    await cluster.client.create(resource, job)

    async def one() -> bool:
        return len(await cluster.units()) == 1

    await cluster.until(one, "the job has a unit")
    (unit,) = await cluster.units()
    return unit.name


@in_order(STOPPABLE + OTHERS)
def test_a_held_job_is_queued_released_followed_and_ends(
    resource: ResourceType, extension: JobExtension, job: Object
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(extension)
        name = await submit(cluster, resource, job)
        await asyncio.sleep(30)
        assert (await cluster.unit(name)).phase is Phase.ENQUEUED
        assert await cluster.client.list(PODS) == []
        await cluster.admit(name)
        await cluster.until_phase(name, Phase.RUNNING)
        await asyncio.sleep(40)
        await cluster.until_phase(name, Phase.SUCCEED)

    play(story)


@in_order(STOPPABLE)
def test_a_job_that_is_evicted_gives_its_pods_up_and_runs_again_later(
    resource: ResourceType, extension: JobExtension, job: Object
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(extension)
        name = await submit(cluster, resource, job)
        await cluster.admit(name)
        await cluster.until_phase(name, Phase.RUNNING)
        await cluster.evict(name)
        await cluster.until_phase(name, Phase.ENQUEUED)
        await asyncio.sleep(5)
        assert await cluster.client.list(PODS) == []
        await cluster.admit(name)
        await cluster.until_phase(name, Phase.RUNNING)
        await asyncio.sleep(40)
        await cluster.until_phase(name, Phase.SUCCEED)

    play(story)
