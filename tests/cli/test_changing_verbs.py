"""hold, resume, move, priority, stop and start, as typed, against a controller."""

from __future__ import annotations

from typing import Any

from kube_queue.api.types import JOBS, QUEUE_UNITS, QUEUES
from tests.cli.conftest import Desk
from tests.controller.queueing.world import a_unit_manifest


async def a_job(desk: Desk, name: str, cpu: str = "3", *flags: str) -> None:
    await desk.done("submit", "-f", "-", *flags, stdin=the_job(name, cpu))


def the_job(name: str, cpu: str = "3", more: str = "") -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  parallelism: 1
  {more}
  template:
    spec:
      restartPolicy: Never
      containers:
      - {{name: main, image: busybox, resources: {{requests: {{cpu: "{cpu}"}}}}}}
"""


async def test_a_held_job_waits_until_it_is_resumed(desk: Desk) -> None:
    await a_job(desk, "first")
    await desk.phase("first-job-qu", "Dequeued")
    await a_job(desk, "second")
    await desk.phase("second-job-qu", "Enqueued")
    assert await desk.done("hold", "second") == (
        "Job default/second is held: it waits until `kube-queue resume Job/second -n default`.\n"
    )
    assert (await desk.unit("second-job-qu"))["spec"]["active"] is False
    assert await desk.done("hold", "job/second") == "Job default/second is held already.\n"
    assert await desk.done("resume", "second-job-qu") == (
        "Job default/second is resumed and waits for its turn in Queue root-default.\n"
    )
    assert "is not held: it is Enqueued" in await desk.done("resume", "second")


async def test_holding_a_released_job_suspends_it_and_resuming_runs_it_again(desk: Desk) -> None:
    await a_job(desk, "pi")
    await desk.phase("pi-job-qu", "Dequeued")
    await desk.until(lambda: _suspended(desk, "pi", False))
    assert "is held; its job is being stopped: it waits until" in await desk.done("hold", "pi")
    await desk.phase("pi-job-qu", "Enqueued")
    assert await _suspended(desk, "pi", True)
    await desk.done("resume", "pi")
    await desk.until(lambda: _suspended(desk, "pi", False))


async def _suspended(desk: Desk, name: str, wanted: bool) -> bool:
    return bool((await desk.get(JOBS, name))["spec"]["suspend"] is wanted)


async def test_a_job_that_cannot_be_stopped_is_not_held_once_it_runs(desk: Desk) -> None:
    stubborn = a_unit_manifest("u", annotations={"kube-queue/evictable": "false"})
    await desk.user.create(QUEUE_UNITS, stubborn)
    await desk.phase("u", "Dequeued")
    assert "cannot be stopped once they run" in await desk.refused("hold", "u")
    assert (await desk.unit("u"))["spec"]["active"] is True


async def test_a_waiting_job_moves_to_another_queue_and_an_admitted_one_does_not(
    desk: Desk,
) -> None:
    await a_job(desk, "first")
    await desk.phase("first-job-qu", "Dequeued")
    await a_job(desk, "second")
    await desk.phase("second-job-qu")
    assert "there is no Queue express; there are root-default" in await desk.refused(
        "move", "second", "--queue", "express"
    )
    express = {"metadata": {"name": "express", "namespace": "kube-queue"}}
    await desk.user.create(
        QUEUES, {"apiVersion": QUEUES.api_version, "kind": "Queue", **express, "spec": {}}
    )
    assert await desk.done("move", "second", "--queue", "express") == (
        "Job default/second is moved from Queue root-default to Queue express.\n"
    )
    assert (await desk.unit("second-job-qu"))["spec"]["queue"] == "express"
    assert "already" in await desk.done("move", "second", "--queue", "express")
    assert "Dequeued: only a job that waits can be moved" in await desk.refused(
        "move", "first", "--queue", "express"
    )


async def test_a_priority_changes_the_order_at_once(desk: Desk) -> None:
    await a_job(desk, "first")
    await desk.phase("first-job-qu", "Dequeued")
    for name in ("second", "third"):
        await a_job(desk, name)
        await desk.phase(f"{name}-job-qu")
    assert await desk.done("priority", "third", "7") == (
        "Job default/third has priority 7 instead of 0; a later change of the job's own priority "
        "replaces it.\n"
    )

    async def order() -> bool:
        rows = (await desk.done("get", "units")).splitlines()[1:]
        return [row.split()[2] for row in rows] == ["third", "second", "first"]

    await desk.until(order)
    assert "priority -3" in await desk.done("priority", "third", "-3")
    assert "priority -3 already" in await desk.done("priority", "third", "--", "-3")
    await desk.refused("priority", "third", "9999999999", code=2)
    await desk.refused("priority", "third", "high", code=2)


async def test_a_stopped_queue_admits_nothing_until_it_is_started(desk: Desk) -> None:
    await a_job(desk, "first", "1")
    await desk.phase("first-job-qu", "Dequeued")

    async def counted() -> bool:
        queue = await desk.get(QUEUES, "root-default", "kube-queue")
        return bool(queue.get("status", {}).get("admitted") == 1)

    await desk.until(counted)
    assert await desk.done("stop", "root-default") == (
        "Queue root-default is stopped: it admits nothing until `kube-queue start root-default`; "
        "1 admitted job goes on.\n"
    )
    assert "already stopped" in await desk.done("stop", "kube-queue/root-default")
    await a_job(desk, "second", "1")
    await desk.reason("second-job-qu", "QueueStopped")
    assert "Round, stopped" in await desk.done("get", "queues")
    said = await desk.done("explain", "second")
    assert "Queue root-default is stopped (spec.stopPolicy: Hold)" in said
    assert "is started; " in await desk.done("start", "root-default")
    await desk.phase("second-job-qu", "Dequeued")
    assert await desk.done("start", "root-default") == "Queue root-default is not stopped.\n"


async def test_a_drained_queue_suspends_its_jobs_and_takes_them_back(desk: Desk) -> None:
    await a_job(desk, "pi", "1")
    await desk.until(lambda: _running(desk, "pi-job-qu"))
    await desk.until(lambda: _suspended(desk, "pi", False))
    assert "is stopped: it admits nothing" in await desk.done("stop", "root-default", "--drain")
    await desk.until(lambda: _suspended(desk, "pi", True))
    await desk.reason("pi-job-qu", "QueueStopped")
    assert "Round, drained" in await desk.done("get", "queues")
    await desk.done("start", "root-default")
    await desk.until(lambda: _suspended(desk, "pi", False))


async def _running(desk: Desk, unit: str) -> Any:
    return (await desk.unit(unit)).get("status", {}).get("phase") == "Dequeued"


async def test_names_are_understood_as_explain_understands_them(desk: Desk) -> None:
    first = a_unit_manifest("a", job="twin")
    second = a_unit_manifest("b", job="twin")
    second["spec"]["consumerRef"]["kind"] = "TFJob"
    for unit in (first, second):
        await desk.user.create(QUEUE_UNITS, unit)
    await desk.until(lambda: _known(desk, "a"))
    for verb in (["hold"], ["resume"], ["priority"], ["explain"]):
        extra = ["1"] if verb == ["priority"] else []
        said = await desk.refused(*verb, "twin", *extra)
        assert "ask for one of them: Job/twin, TFJob/twin" in said
    assert "the queue knows no Job default/none" in await desk.refused("hold", "Job/none")
    assert "TFJob default/twin" in await desk.done("priority", "tfjobs.kubeflow.org/twin", "4")
    assert "no job or unit other/twin" in await desk.refused("hold", "twin", "-n", "other")


async def _known(desk: Desk, name: str) -> bool:
    return name in await desk.done("get", "units")


async def test_what_is_over_is_left_alone(desk: Desk) -> None:
    await desk.user.create(QUEUE_UNITS, a_unit_manifest("u"))
    await desk.phase("u", "Dequeued")
    done = {"status": {"phase": "Succeed"}}
    await desk.user.patch(QUEUE_UNITS, "default", "u", done, subresource="status")
    for verb in (["hold", "u"], ["resume", "u"], ["priority", "u", "3"]):
        assert "is over (Succeed)" in await desk.refused(*verb)


async def test_a_queue_that_does_not_exist_is_named_with_those_that_do(desk: Desk) -> None:
    for verb in ("stop", "start"):
        said = await desk.refused(verb, "root")
        assert said == "Error: there is no Queue root; there are root-default\n"
