"""The TFJob operator's promises, as arena's users know them."""

import asyncio
import copy
import itertools
import random
from typing import Any

import pytest

from kube_queue.api.errors import Conflict
from kube_queue.api.types import EVENTS, PODS, TFJOBS
from kube_queue.kube.informer import Informer
from kube_queue.simulator.views import JobDocument, job_document
from tests.simulator.world import World, a_tfjob, in_world


def test_a_job_gets_its_pods_and_runs():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(5)
        assert await world.phases() == {
            "job1-ps-0": "Running",
            "job1-worker-0": "Running",
            "job1-worker-1": "Running",
        }
        assert await world.states("job1") == ["Created", "Running"]
        job = await world.get(TFJOBS, "job1")
        assert job["status"]["replicaStatuses"] == {"PS": {"active": 1}, "Worker": {"active": 2}}
        running = job["status"]["conditions"][-1]
        assert running["reason"] == "TFJobRunning"
        assert running["message"] == "TFJob default/job1 is running."
        labels = (await world.get(PODS, "job1-worker-0"))["metadata"]["labels"]
        assert labels["training.kubeflow.org/job-name"] == "job1"
        assert labels["training.kubeflow.org/replica-type"] == "worker"
        assert labels["training.kubeflow.org/replica-index"] == "0"
        assert labels["training.kubeflow.org/job-role"] == "master"

    in_world(story)


@pytest.mark.parametrize("ps", ["1h", "30s"])
def test_after_success_completed_workers_stay_and_parameter_servers_go(ps: str):
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1", ps=ps))
        await asyncio.sleep(35)
        assert await world.states("job1") == ["Created", "-Running", "Succeeded"]
        assert await world.phases() == {
            "job1-worker-0": "Succeeded",
            "job1-worker-1": "Succeeded",
        }
        status = (await world.get(TFJOBS, "job1"))["status"]
        assert status["completionTime"]
        assert "active" not in status["replicaStatuses"]["PS"]

    in_world(story)


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        ("None", {"job1-ps-0", "job1-worker-0"}),
        ("Running", {"job1-worker-0"}),
        ("All", set[str]()),
    ],
)
def test_the_clean_pod_policy_decides_which_pods_stay(policy: str, left: set[str]):
    async def story(world: World) -> None:
        job = a_tfjob("job1", ps="1h", workers=1, cleanPodPolicy=policy)
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(35)
        assert set(await world.phases()) == left

    in_world(story)


@pytest.mark.parametrize(
    ("seconds", "at_once", "later"),
    [("31", "Running", "Succeeded"), ("60", "Running", None)],
)
def test_a_worker_that_ends_with_the_job_is_not_taken_away_first_and_one_that_goes_on_is(
    seconds: str, at_once: str, later: str | None
):
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(5)
        runs = {"metadata": {"annotations": {"simulator.kube-queue/run-seconds": seconds}}}
        await world.client.patch(PODS, "default", "job1-worker-1", runs)
        while (await world.states("job1"))[-1] != "Succeeded":
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.6)
        assert await world.phases() == {
            "job1-worker-0": "Succeeded",
            "job1-worker-1": at_once,
        }
        await asyncio.sleep(5)
        assert (await world.phases()).get("job1-worker-1") == later

    in_world(story)


def test_a_job_whose_pods_the_server_refuses_says_why_once():
    async def story(world: World) -> None:
        refused = a_tfjob("job1", ps="1h")
        del refused["spec"]["tfReplicaSpecs"]["PS"]["template"]["spec"]["containers"][0]["name"]
        await world.client.create(TFJOBS, refused)
        await asyncio.sleep(60)
        events = await world.client.list(EVENTS, "default")
        said = [e["message"] for e in events if e["reason"] == "FailedCreatePod"]
        assert len(said) == 1
        assert "spec.containers[0].name" in said[0]
        assert events[0]["involvedObject"]["name"] == "job1"

    in_world(story)


def test_a_held_job_waits_for_its_release():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1", held=True))
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert await world.states("job1") == ["Created", "Suspended"]
        await world.suspend_tfjob("job1", False)
        await asyncio.sleep(5)
        assert await world.states("job1") == ["Created", "-Suspended", "Running"]
        assert len(await world.pods()) == 3

    in_world(story)


def test_run_policy_suspend_holds_a_job_as_well():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1", suspend=True))
        await asyncio.sleep(10)
        assert await world.pods() == []
        patch = {"spec": {"runPolicy": {"suspend": False}}}
        await world.client.patch(TFJOBS, "default", "job1", patch)
        await asyncio.sleep(5)
        assert len(await world.pods()) == 3

    in_world(story)


def test_holding_a_running_job_deletes_its_pods_and_its_time_begins_again():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(20)
        await world.suspend_tfjob("job1", True)
        await asyncio.sleep(3)
        assert await world.pods() == []
        assert await world.states("job1") == ["Created", "-Running", "Suspended"]
        await world.suspend_tfjob("job1", False)
        await asyncio.sleep(25)
        assert (await world.states("job1"))[-1] == "Running"
        await asyncio.sleep(10)
        assert (await world.states("job1"))[-1] == "Succeeded"

    in_world(story)


def test_a_job_released_while_its_old_pods_still_end_waits_for_their_names():
    async def story(world: World) -> None:
        slow = {"simulator.kube-queue/stop-seconds": "20"}
        await world.client.create(TFJOBS, a_tfjob("job1", worker_annotations=slow))
        await asyncio.sleep(5)
        await world.suspend_tfjob("job1", True)
        await asyncio.sleep(2)
        await world.suspend_tfjob("job1", False)
        await asyncio.sleep(2)
        assert (await world.phases())["job1-worker-0"] == "Terminating"
        await asyncio.sleep(25)
        assert set((await world.phases()).values()) == {"Running"}
        assert "Failed" not in await world.states("job1")

    in_world(story)


def test_conditions_of_others_survive_every_write():
    async def story(world: World) -> None:
        queuing = {"type": "Queuing", "status": "True", "reason": "JobQueuing", "message": "waits"}
        await world.client.create(TFJOBS, a_tfjob("job1", held=True))
        await append_condition(world, "job1", queuing)
        await asyncio.sleep(5)
        assert "Queuing" in await world.states("job1")
        await world.suspend_tfjob("job1", False)
        await asyncio.sleep(60)
        states = await world.states("job1")
        assert "Queuing" in states
        assert states[-1] == "Succeeded"

    in_world(story)


async def append_condition(world: World, name: str, condition: dict[str, Any]) -> None:
    """As the queue does: with the version it read, again when somebody was faster."""
    while True:
        job = copy.deepcopy(await world.get(TFJOBS, name))
        held = job.get("status", {}).get("conditions", [])
        patch = {
            "metadata": {"resourceVersion": job["metadata"]["resourceVersion"]},
            "status": {"conditions": [*held, condition]},
        }
        try:
            await world.client.patch(TFJOBS, "default", name, patch, subresource="status")
        except Conflict:
            continue
        return


def test_a_job_whose_worker_fails_has_failed():
    async def story(world: World) -> None:
        failing = {"simulator.kube-queue/exit-code": "1"}
        await world.client.create(TFJOBS, a_tfjob("job1", ps="1h", worker_annotations=failing))
        await asyncio.sleep(35)
        assert await world.states("job1") == ["Created", "-Running", "Failed"]
        failed = (await world.get(TFJOBS, "job1"))["status"]["conditions"][-1]
        assert failed["reason"] == "TFJobFailed"
        assert failed["message"].startswith("TFJob default/job1 has failed because ")
        assert "job1-ps-0" not in await world.phases()

    in_world(story)


def test_a_retryable_exit_code_restarts_the_pod():
    async def story(world: World) -> None:
        killed = {"simulator.kube-queue/exit-code": "137"}
        job = a_tfjob(
            "job1",
            ps="1h",
            worker="10s",
            workers=1,
            worker_annotations=killed,
            restart_policy="ExitCode",
        )
        watch = Informer(world.client, TFJOBS, job_document, rng=random.Random(1))
        seen: list[str] = []
        watch.add_handler(lambda old, new: seen.append(state(new)))
        watching = asyncio.create_task(watch.run())
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(5)
        first = await world.get(PODS, "job1-worker-0")
        await asyncio.sleep(10)
        second = await world.get(PODS, "job1-worker-0")
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        assert second["status"]["phase"] == "Running"
        assert [each for each, _ in itertools.groupby(seen) if each] == [
            "Created",
            "Running",
            "Restarting",
            "Running",
        ]
        watching.cancel()

    in_world(story)


def state(document: JobDocument | None) -> str:
    """What kubectl prints as its STATE."""
    conditions = document.manifest().get("status", {}).get("conditions") if document else None
    return str(conditions[-1]["type"]) if conditions else ""


def test_a_job_restarted_too_often_reaches_its_backoff_limit():
    async def story(world: World) -> None:
        failing = {"simulator.kube-queue/exit-code": "1"}
        job = a_tfjob(
            "job1",
            ps="1h",
            worker="10s",
            worker_annotations=failing,
            restart_policy="OnFailure",
            backoffLimit=3,
        )
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(60)
        failed = (await world.get(TFJOBS, "job1"))["status"]["conditions"][-1]
        assert failed["type"] == "Failed"
        assert "backoff limit" in failed["message"]

    in_world(story)


def test_a_job_past_its_deadline_fails():
    async def story(world: World) -> None:
        job = a_tfjob("job1", worker="1h", activeDeadlineSeconds=60)
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(70)
        assert (await world.states("job1"))[-1] == "Failed"
        assert await world.pods() == []

    in_world(story)


def test_a_finished_job_is_deleted_after_its_time_to_live():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1", ttlSecondsAfterFinished=60))
        await asyncio.sleep(60)
        assert not await world.is_gone(TFJOBS, "job1")
        await asyncio.sleep(60)
        assert await world.is_gone(TFJOBS, "job1")
        assert await world.pods() == []

    in_world(story)


def test_with_a_chief_its_end_is_the_jobs():
    async def story(world: World) -> None:
        job = a_tfjob("job1", ps="1h", workers=1)
        chief = copy.deepcopy(job["spec"]["tfReplicaSpecs"]["Worker"])
        chief["template"]["spec"]["containers"][0]["command"] = ["sleep", "90"]
        job["spec"]["tfReplicaSpecs"]["Chief"] = chief
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(60)
        assert (await world.states("job1"))[-1] == "Running"
        await asyncio.sleep(40)
        assert (await world.states("job1"))[-1] == "Succeeded"

    in_world(story)


@pytest.mark.parametrize(("policy", "state"), [("", "Succeeded"), ("AllWorkers", "Running")])
def test_the_success_policy_decides_whether_the_first_workers_end_is_the_jobs(
    policy: str, state: str
):
    async def story(world: World) -> None:
        job = a_tfjob("job1", ps="1h")
        job["spec"]["successPolicy"] = policy
        await world.client.create(TFJOBS, job)
        await asyncio.sleep(5)
        longer = {"metadata": {"annotations": {"simulator.kube-queue/run-seconds": "90"}}}
        await world.client.patch(PODS, "default", "job1-worker-1", longer)
        await asyncio.sleep(40)
        assert (await world.states("job1"))[-1] == state
        await asyncio.sleep(60)
        assert (await world.states("job1"))[-1] == "Succeeded"

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.3, 1.1])
def test_killed_again_and_again_a_job_still_runs_once(pause: float):
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1", held=True))
        for round_ in range(12):
            await world.kill_simulator()
            if round_ == 4:
                await world.suspend_tfjob("job1", False)
            world.start_simulator()
            await asyncio.sleep(pause)
        await asyncio.sleep(40)
        assert (await world.states("job1"))[-1] == "Succeeded"
        assert set(await world.phases()) == {"job1-worker-0", "job1-worker-1"}

    in_world(story)


def test_a_malformed_job_hurts_no_other():
    async def story(world: World) -> None:
        for number, spec in enumerate(
            ({"tfReplicaSpecs": {"Worker": 3}}, {"tfReplicaSpecs": {"PS": {"template": []}}}, {})
        ):
            bad = a_tfjob(f"bad{number}")
            await world.client.create(TFJOBS, {**bad, "spec": spec})
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(60)
        assert (await world.states("job1"))[-1] == "Succeeded"

    in_world(story)
