"""MPIJobs of the first shape, as arena submits them."""

import asyncio
from typing import Any

import pytest

from kube_queue.api.types import ResourceType
from kube_queue.simulator.mpi_operator import plan
from tests.simulator.world import World, in_world, template

Object = dict[str, Any]
NOW = 1_767_225_600.0
OLD_MPIJOBS = ResourceType("kubeflow.org", "v1alpha1", "mpijobs", "MPIJob")
GPU = "nvidia.com/gpu"


def an_old_mpijob(*, held: bool = False, script: str = "sleep 30", **spec: Any) -> Object:
    """Two workers and a launcher out of one template."""
    metadata: Object = {"name": "job1", "namespace": "default", "annotations": {}}
    if held:
        metadata["annotations"] = {"scheduling.x-k8s.io/suspend": "true"}
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "MPIJob",
        "metadata": metadata,
        "spec": {"template": template(["sh", "-c", script]), "replicas": 2, **spec},
    }


async def status(world: World) -> Object:
    return dict((await world.get(OLD_MPIJOBS, "job1")).get("status", {}))


async def hold(world: World, word: str) -> None:
    patch = {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": word}}}
    await world.client.patch(OLD_MPIJOBS, "default", "job1", patch)


def test_a_held_job_waits_runs_once_released_and_succeeds():
    async def story(world: World) -> None:
        await world.client.create(OLD_MPIJOBS, an_old_mpijob(held=True))
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert "launcherStatus" not in await status(world)

        await hold(world, "false")
        await asyncio.sleep(10)
        assert await world.phases() == {
            "job1-launcher": "Running",
            "job1-worker-0": "Running",
            "job1-worker-1": "Running",
        }
        running = await status(world)
        assert (running["launcherStatus"], running["workerReplicas"]) == ("Active", 2)

        await asyncio.sleep(35)
        done = await status(world)
        assert (done["launcherStatus"], done["workerReplicas"]) == ("Succeeded", 0)
        assert await world.phases() == {"job1-launcher": "Succeeded"}

    in_world(story)


def test_a_job_that_has_started_is_not_stopped_by_its_annotation():
    async def story(world: World) -> None:
        await world.client.create(OLD_MPIJOBS, an_old_mpijob())
        await asyncio.sleep(10)
        await hold(world, "true")
        await asyncio.sleep(10)
        assert set((await world.phases()).values()) == {"Running"}
        await asyncio.sleep(20)
        assert (await status(world))["launcherStatus"] == "Succeeded"

    in_world(story)


def test_a_job_whose_launcher_fails_has_failed_and_its_workers_go():
    async def story(world: World) -> None:
        await world.client.create(OLD_MPIJOBS, an_old_mpijob(script="sleep 5; exit 1"))
        await asyncio.sleep(20)
        assert (await status(world))["launcherStatus"] == "Failed"
        assert await world.phases() == {"job1-launcher": "Failed"}

    in_world(story)


def test_a_deleted_job_takes_its_pods_along():
    async def story(world: World) -> None:
        await world.client.create(OLD_MPIJOBS, an_old_mpijob())
        await asyncio.sleep(10)
        assert len(await world.pods()) == 3
        await world.client.delete(OLD_MPIJOBS, "default", "job1", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []

    in_world(story)


@pytest.mark.parametrize(
    ("spec", "workers", "gpus"),
    [
        ({"replicas": 3}, 3, None),
        ({"replicas": -3}, 0, None),
        ({"gpus": 4}, 4, "1"),
        ({"gpus": 16, "gpusPerNode": 8}, 2, "8"),
        ({"gpus": 4, "gpusPerNode": 8}, 1, "4"),
        ({"gpus": 9, "gpusPerNode": 8}, 0, None),
        ({"gpus": 9, "gpusPerNode": 0}, 0, None),
        ({"processingUnits": 8, "processingUnitsPerNode": 4}, 2, "4"),
    ],
)
def test_workers_are_counted_by_number_or_by_processors(
    spec: Object, workers: int, gpus: str | None
):
    job = an_old_mpijob()
    job["spec"] = {"template": job["spec"]["template"], **spec}
    made = [each for each in plan(job, [], NOW).create if "worker" in each.wanted.name]
    assert len(made) == workers
    for each in made:
        limits = each.template["spec"]["containers"][0]["resources"]["limits"]
        assert limits.get(GPU) == gpus


def test_the_launcher_has_resources_of_its_own_or_none():
    for given in ({}, {"launcherResources": {"limits": {"cpu": "2"}}}):
        (launcher,) = plan(an_old_mpijob(**{"replicas": 0, **given}), [], NOW).create
        (container,) = launcher.template["spec"]["containers"]
        assert container["resources"] == given.get("launcherResources", {})


def test_a_manifest_full_of_nonsense_hurts_nobody():
    for nonsense in (3, "x", [], {"spec": 4}, {"spec": {"containers": [1]}}):
        plan({"metadata": {"name": "a"}, "spec": {"template": nonsense, "gpus": "x"}}, [], NOW)
