"""Quotas that are Kubernetes' own: ResourceQuota instead of the ElasticQuotaTree."""

from __future__ import annotations

from e2e.jobs import job, tfjob
from e2e.scenario import scenario
from e2e.scenarios.main_path import see_states
from e2e.steps import see_admitted, see_phase, see_waiting
from e2e.trees import namespace, resource_quota
from e2e.world import World
from kube_queue.api.types import PODS

PLUGIN = {"QueueGroupPlugin": "resourcequota"}


async def one_after_the_other(world: World, **hard: str) -> None:
    """Two TFJobs of 3 cpu and 3Gi run in turn under this ResourceQuota."""
    await world.apply(resource_quota(**hard))
    await world.apply(tfjob("job1", seconds=8))
    await see_admitted(world, "job1")
    await world.apply(tfjob("job2", seconds=4))
    await see_states(world, "Running", "Queuing")
    pods = {pod["metadata"]["name"] for pod in await world.objects(PODS)}
    assert pods == {"job1-ps-0", "job1-worker-0", "job1-worker-1"}, pods
    message = await see_waiting(world, "job2")
    assert "ResourceQuota default/quota" in message, message
    await see_states(world, "Succeeded", "Running")
    await see_states(world, "Succeeded", "Succeeded")
    await see_phase(world, "Succeed", "job1", "job2")


@scenario("Q2", "under a ResourceQuota of 4 cpu, two TFJobs of 3 run in turn", environment=PLUGIN)
async def resource_quota_of_cpu(world: World) -> None:
    await one_after_the_other(world, cpu="4", memory="4Gi")


@scenario("Q2b", "the same where the quota says requests.cpu", environment=PLUGIN)
async def resource_quota_of_requests(world: World) -> None:
    await one_after_the_other(world, requests_cpu="4", requests_memory="4Gi")


@scenario(
    "Q2c", "without a ResourceQuota in its namespace nobody waits for quota", environment=PLUGIN
)
async def namespace_without_quota(world: World) -> None:
    await world.apply(namespace("free"), resource_quota(cpu="1", memory="4Gi"))
    await world.apply(job("first", "1"))
    await see_admitted(world, "first")
    await world.apply(job("second", "1"))
    await see_waiting(world, "second")
    await world.apply(*(job(f"free-{index}", "1", namespace="free") for index in range(3)))
    await see_admitted(world, "free-0", "free-1", "free-2")
