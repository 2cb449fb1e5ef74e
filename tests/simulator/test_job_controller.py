"""The Job controller's promises."""

import asyncio

import pytest

from kube_queue.api.types import EVENTS, JOBS, PODS
from tests.simulator.world import World, a_job, conditions, in_world


def test_a_job_runs_its_pods_and_completes():
    async def story(world: World) -> None:
        await world.client.create(JOBS, a_job("pi", completions=3, parallelism=2))
        await asyncio.sleep(5)
        status = (await world.get(JOBS, "pi"))["status"]
        assert (status["active"], status["ready"]) == (2, 2)
        assert status["startTime"]
        await asyncio.sleep(90)
        status = (await world.get(JOBS, "pi"))["status"]
        assert status["succeeded"] == 3
        assert "active" not in status
        assert status["completionTime"]
        assert [each["type"] for each in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]

    in_world(story)


def test_pods_are_named_after_their_job_and_belong_to_it():
    async def story(world: World) -> None:
        job = await world.client.create(JOBS, a_job("pi"))
        await asyncio.sleep(1)
        (pod,) = await world.pods()
        assert pod["metadata"]["name"].startswith("pi-")
        assert len(pod["metadata"]["name"]) == len("pi-") + 5
        assert pod["metadata"]["labels"]["job-name"] == "pi"
        (owner,) = pod["metadata"]["ownerReferences"]
        assert owner["uid"] == job["metadata"]["uid"]
        assert owner["controller"] is True

    in_world(story)


def test_a_suspended_job_has_no_pods_until_it_is_resumed():
    async def story(world: World) -> None:
        await world.client.create(JOBS, a_job("pi", suspend=True))
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert conditions(await world.get(JOBS, "pi")) == {"Suspended": "True"}
        await world.suspend_job("pi", False)
        await asyncio.sleep(5)
        assert conditions(await world.get(JOBS, "pi")) == {"Suspended": "False"}
        assert list((await world.phases()).values()) == ["Running"]

    in_world(story)


def test_suspending_a_running_job_deletes_its_active_pods_and_keeps_what_is_done():
    async def story(world: World) -> None:
        job = a_job("pi", completions=4, parallelism=2, completionMode="Indexed")
        await world.client.create(JOBS, job)
        await asyncio.sleep(40)
        await world.suspend_job("pi", True)
        await asyncio.sleep(5)
        assert set((await world.phases()).values()) == {"Succeeded"}
        status = (await world.get(JOBS, "pi"))["status"]
        assert status["completedIndexes"] == "0,1"
        assert "startTime" not in status
        assert "failed" not in status
        await world.suspend_job("pi", False)
        await asyncio.sleep(40)
        assert conditions(await world.get(JOBS, "pi"))["Complete"] == "True"
        assert len(await world.pods()) == 4

    in_world(story)


def test_indexed_pods_know_their_index():
    async def story(world: World) -> None:
        job = a_job("pi", completions=2, parallelism=2, completionMode="Indexed")
        await world.client.create(JOBS, job)
        await asyncio.sleep(1)
        pods = await world.pods()
        key = "batch.kubernetes.io/job-completion-index"
        assert [pod["metadata"]["annotations"][key] for pod in pods] == ["0", "1"]
        assert [pod["metadata"]["name"][:5] for pod in pods] == ["pi-0-", "pi-1-"]
        (variable,) = pods[1]["spec"]["containers"][0]["env"]
        assert variable == {"name": "JOB_COMPLETION_INDEX", "value": "1"}

    in_world(story)


def test_failures_wait_longer_each_time_and_end_the_job_at_its_backoff_limit():
    async def story(world: World) -> None:
        failing = a_job("pi", command=["sh", "-c", "sleep 1; exit 1"], backoffLimit=2)
        await world.client.create(JOBS, failing)
        await asyncio.sleep(9)
        assert len(await world.pods()) == 1
        await asyncio.sleep(6)
        assert len(await world.pods()) == 2
        await asyncio.sleep(60)
        status = (await world.get(JOBS, "pi"))["status"]
        assert status["failed"] == 3
        last = status["conditions"][-1]
        assert (last["type"], last["reason"]) == ("Failed", "BackoffLimitExceeded")
        assert status["conditions"][0]["type"] == "FailureTarget"

    in_world(story)


def test_a_job_past_its_deadline_fails_and_its_pods_are_gone():
    async def story(world: World) -> None:
        await world.client.create(
            JOBS, a_job("pi", command=["sleep", "1h"], activeDeadlineSeconds=60)
        )
        await asyncio.sleep(70)
        job = await world.get(JOBS, "pi")
        assert job["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"
        assert conditions(job)["Failed"] == "True"
        assert await world.pods() == []

    in_world(story)


def test_a_finished_job_is_deleted_with_its_pods_after_its_time_to_live():
    async def story(world: World) -> None:
        await world.client.create(JOBS, a_job("pi", ttlSecondsAfterFinished=100))
        await asyncio.sleep(100)
        assert not await world.is_gone(JOBS, "pi")
        await asyncio.sleep(60)
        assert await world.is_gone(JOBS, "pi")
        assert await world.pods() == []

    in_world(story)


def test_a_deleted_pod_of_a_running_job_is_replaced():
    async def story(world: World) -> None:
        await world.client.create(JOBS, a_job("pi"))
        await asyncio.sleep(2)
        (first,) = await world.pods()
        await world.client.delete(PODS, "default", first["metadata"]["name"])
        await asyncio.sleep(5)
        (second,) = await world.pods()
        assert second["metadata"]["name"] != first["metadata"]["name"]

    in_world(story)


def test_a_job_of_another_manager_is_not_touched():
    async def story(world: World) -> None:
        job = a_job("pi", managedBy="example.org/other")
        await world.client.create(JOBS, job)
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert not (await world.get(JOBS, "pi")).get("status", {}).get("conditions")

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.3, 1.1])
def test_killed_again_and_again_a_job_still_has_no_pod_too_many(pause: float):
    async def story(world: World) -> None:
        await world.client.create(JOBS, a_job("pi", completions=4, parallelism=4))
        for _ in range(12):
            await world.kill_simulator()
            world.start_simulator()
            await asyncio.sleep(pause)
        await asyncio.sleep(40)
        assert list((await world.phases()).values()) == ["Succeeded"] * 4
        assert (await world.get(JOBS, "pi"))["status"]["succeeded"] == 4

    in_world(story)


def test_a_job_whose_pods_the_server_refuses_says_why_once():
    async def story(world: World) -> None:
        job = a_job("job1")
        job["spec"]["template"]["spec"]["priorityClassName"] = "missing"
        await world.client.create(JOBS, job)
        await asyncio.sleep(60)
        said = [
            event["message"]
            for event in await world.client.list(EVENTS, "default")
            if event["reason"] == "FailedCreate"
        ]
        assert len(said) == 1

    in_world(story)
