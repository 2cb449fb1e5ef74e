"""A RayJob's life under the operator played for it."""

import asyncio
from typing import Any

import pytest

from kube_queue.simulator.rayjob_operator import RAYJOBS, plan
from kube_queue.simulator.views import PodView, pod_view
from tests.simulator.world import World, container, in_world

Object = dict[str, Any]
NOW = 1_767_225_600.0


def a_rayjob(name: str = "job1", *, entrypoint: str = "sleep 30", **spec: Any) -> Object:
    """A head, a group of two workers, a submitter in a pod of its own."""
    pod = {"spec": {"containers": [container([])]}}
    cluster = {
        "rayVersion": "2.9.0",
        "headGroupSpec": {"rayStartParams": {}, "template": pod},
        "workerGroupSpecs": [{"groupName": "small", "replicas": 2, "template": pod}],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"entrypoint": entrypoint, "rayClusterSpec": cluster, **spec},
    }


async def create(world: World, job: Object) -> None:
    job["metadata"].pop("uid")
    await world.client.create(RAYJOBS, job)


async def stands(world: World, name: str = "job1") -> tuple[str, str]:
    status = (await world.get(RAYJOBS, name)).get("status", {})
    return status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")


async def suspend(world: World, held: bool) -> None:
    await world.client.patch(RAYJOBS, "default", "job1", {"spec": {"suspend": held}})


async def roles(world: World) -> list[str]:
    """What the pods are for, as a sorted list; those being deleted left out."""
    return sorted(
        pod["metadata"]["labels"].get("ray.io/node-type", "submitter")
        for pod in await world.pods()
        if not pod["metadata"].get("deletionTimestamp")
    )


EVERYTHING = ["head", "submitter", "worker", "worker"]


@pytest.mark.parametrize("shutdown", [True, False])
def test_a_suspended_job_waits_runs_once_released_and_completes(shutdown: bool):
    async def story(world: World) -> None:
        job = a_rayjob(suspend=True, shutdownAfterJobFinishes=shutdown)
        await create(world, job)
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert await stands(world) == ("Suspended", "")

        await suspend(world, False)
        await asyncio.sleep(5)
        assert await stands(world) == ("Running", "RUNNING")
        assert await roles(world) == EVERYTHING
        status = (await world.get(RAYJOBS, "job1"))["status"]
        assert status["rayClusterName"].startswith("job1-")
        assert status["rayClusterStatus"]["availableWorkerReplicas"] == 2
        assert status["rayClusterStatus"]["head"]["podIP"]

        await asyncio.sleep(35)
        assert await stands(world) == ("Complete", "SUCCEEDED")
        assert await roles(world) == (["submitter"] if shutdown else EVERYTHING)
        status = (await world.get(RAYJOBS, "job1"))["status"]
        assert (status["succeeded"], status["failed"]) == (1, 0)
        assert status["endTime"] > status["startTime"]

    in_world(story)


def test_suspending_a_running_job_takes_its_cluster_away_and_release_makes_another():
    async def story(world: World) -> None:
        await create(world, a_rayjob())
        await asyncio.sleep(20)
        first = (await world.get(RAYJOBS, "job1"))["status"]["rayClusterName"]
        await suspend(world, True)
        await asyncio.sleep(3)
        assert await world.pods() == []
        assert await stands(world) == ("Suspended", "")
        status = (await world.get(RAYJOBS, "job1"))["status"]
        assert not {"rayClusterName", "jobId", "rayClusterStatus"} & status.keys()
        await suspend(world, False)
        await asyncio.sleep(25)
        assert await stands(world) == ("Running", "RUNNING")
        assert (await world.get(RAYJOBS, "job1"))["status"]["rayClusterName"] != first
        await asyncio.sleep(15)
        assert await stands(world) == ("Complete", "SUCCEEDED")

    in_world(story)


def test_a_suspension_that_is_taken_back_at_once_still_takes_every_pod_away():
    async def story(world: World) -> None:
        await create(world, a_rayjob())
        await asyncio.sleep(10)
        before = {pod["metadata"]["uid"] for pod in await world.pods()}
        await suspend(world, True)
        await asyncio.sleep(0.05)
        await suspend(world, False)
        await asyncio.sleep(10)
        assert await stands(world) == ("Running", "RUNNING")
        assert not before & {pod["metadata"]["uid"] for pod in await world.pods()}

    in_world(story)


def test_a_job_whose_entrypoint_fails_has_failed():
    async def story(world: World) -> None:
        await create(world, a_rayjob(entrypoint="sleep 5; exit 2", shutdownAfterJobFinishes=True))
        await asyncio.sleep(20)
        assert await stands(world) == ("Failed", "FAILED")
        status = (await world.get(RAYJOBS, "job1"))["status"]
        assert status["reason"] == "AppFailed"
        assert "exit code 2" in status["message"]
        assert await roles(world) == ["submitter"]

    in_world(story)


def test_a_failed_job_is_tried_again_as_often_as_its_backoff_limit_says():
    async def story(world: World) -> None:
        await create(world, a_rayjob(entrypoint="sleep 5; exit 2", backoffLimit=1))
        await asyncio.sleep(60)
        assert await stands(world) == ("Failed", "FAILED")
        assert (await world.get(RAYJOBS, "job1"))["status"]["failed"] == 2

    in_world(story)


def test_a_deleted_job_takes_its_pods_along():
    async def story(world: World) -> None:
        await create(world, a_rayjob())
        await asyncio.sleep(5)
        assert await roles(world) == EVERYTHING
        await world.client.delete(RAYJOBS, "default", "job1", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []

    in_world(story)


@pytest.mark.parametrize("mode", ["HTTPMode", "SidecarMode"])
def test_without_a_submitters_pod_the_entrypoint_says_how_long_it_runs(mode: str):
    async def story(world: World) -> None:
        await create(world, a_rayjob(submissionMode=mode))
        await asyncio.sleep(20)
        assert await stands(world) == ("Running", "RUNNING")
        assert await roles(world) == ["head", "worker", "worker"]
        await asyncio.sleep(20)
        assert await stands(world) == ("Complete", "SUCCEEDED")

    in_world(story)


def test_an_interactive_job_waits_for_its_job():
    async def story(world: World) -> None:
        await create(world, a_rayjob(submissionMode="InteractiveMode", entrypoint=""))
        await asyncio.sleep(20)
        assert await stands(world) == ("Waiting", "")
        await world.client.patch(RAYJOBS, "default", "job1", {"spec": {"jobId": "mine"}})
        await asyncio.sleep(5)
        assert await stands(world) == ("Running", "RUNNING")

    in_world(story)


def test_a_job_past_its_deadline_fails():
    async def story(world: World) -> None:
        await create(world, a_rayjob(entrypoint="sleep 1h", activeDeadlineSeconds=40))
        await asyncio.sleep(50)
        status = (await world.get(RAYJOBS, "job1"))["status"]
        assert status["jobDeploymentStatus"] == "Failed"
        assert status["reason"] == "DeadlineExceeded"

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.3, 1.1])
def test_killed_again_and_again_a_job_still_runs_once(pause: float):
    async def story(world: World) -> None:
        await create(world, a_rayjob(suspend=True))
        for round_ in range(12):
            await world.kill_simulator()
            if round_ == 4:
                await suspend(world, False)
            world.start_simulator()
            await asyncio.sleep(pause)
        await asyncio.sleep(60)
        assert await stands(world) == ("Complete", "SUCCEEDED")
        assert await roles(world) == EVERYTHING

    in_world(story)


# The state machine, turn by turn.


def turn(stands: str = "", pods: list[PodView] | None = None, **changes: Any) -> Object:
    """The status after one look at a job that stands so."""
    job = a_rayjob(**changes)
    job["status"] = {"jobDeploymentStatus": stands, "rayClusterName": "job1-abcde"}
    return plan(job, pods or [], NOW).status


A_POD = pod_view({"metadata": {"name": "job1-abcde-head", "uid": "p"}})


@pytest.mark.parametrize(
    ("stands", "pods", "changes", "expected"),
    [
        ("", [], {}, "Initializing"),
        ("", [], {"suspend": True}, "Initializing"),
        ("Initializing", [], {}, "Initializing"),
        ("Initializing", [], {"suspend": True}, "Suspending"),
        ("Running", [], {"suspend": True}, "Suspending"),
        ("Suspending", [A_POD], {}, "Suspending"),
        ("Suspending", [], {}, "Suspended"),
        ("Retrying", [], {}, ""),
        ("Suspended", [], {"suspend": True}, "Suspended"),
        ("Suspended", [], {}, ""),
        ("Complete", [], {"suspend": True}, "Complete"),
        ("", [], {"rayClusterSpec": None}, "ValidationFailed"),
        ("", [], {"name": "n" * 48}, "ValidationFailed"),
        ("", [], {"managedBy": "kueue.x-k8s.io/multikueue"}, ""),
    ],
)
def test_a_job_turns_from_one_state_to_the_next(
    stands: str, pods: list[PodView], changes: Object, expected: str
):
    assert turn(stands, pods, **changes)["jobDeploymentStatus"] == expected


@pytest.mark.parametrize(
    ("group", "workers"),
    [
        ({}, 0),
        ({"replicas": 2}, 2),
        ({"replicas": 2, "numOfHosts": 3}, 6),
        ({"replicas": 1, "minReplicas": 4}, 4),
        ({"replicas": 9, "maxReplicas": 4}, 4),
        ({"replicas": 2, "suspend": True}, 0),
        ({"replicas": -1}, 0),
        ({"replicas": "many"}, 0),
    ],
)
def test_a_group_has_as_many_workers_as_its_bounds_allow(group: Object, workers: int):
    job = a_rayjob()
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"] = [group]
    job["status"] = {"jobDeploymentStatus": "Initializing", "rayClusterName": "job1-abcde"}
    types = [each.wanted.labels["ray.io/node-type"] for each in plan(job, [], NOW).create]
    assert types == ["head", *["worker"] * workers]


def test_a_manifest_full_of_nonsense_hurts_nobody():
    for nonsense in (None, 3, "x", [], {"rayClusterSpec": 4}, {"rayClusterSpec": {"a": 1}}):
        for stands in ("", "Initializing", "Running", "Complete", "Odd"):
            status = {"jobDeploymentStatus": stands}
            plan({"metadata": {"name": "a"}, "spec": nonsense, "status": status}, [], NOW)
