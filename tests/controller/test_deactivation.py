"""spec.active from a user's hand to the pods and back: both halves, each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, PODS, QUEUE_UNITS, TFJOBS
from kube_queue.app.controller import run_controller
from kube_queue.config import Settings
from kube_queue.jobframework.extension import Hold
from kube_queue.kube.client import Client
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.tfjob import TFJobExtension
from tests.controller.jobs.cluster import Cluster, Wire, play
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.jobframework.builders import a_template, a_tfjob

SETTINGS = Settings().replaced(leader={"enabled": False}, serving={"enabled": False})
UNITS = {TFJOBS: "job1-tf-qu", JOBS: "job1-job-qu"}


class Controller:
    """The queue controller as a process that can be killed and started again."""

    def __init__(self, cluster: Cluster, *, cut_at: int | None = None) -> None:
        self.cluster = cluster
        self.wire = Wire(cluster.server, cut_at=cut_at)
        work = run_controller(
            Client(self.wire), SETTINGS, clock=cluster.clock, rng=random.Random(11)
        )
        self.task = cluster.start(work)

    async def kill(self) -> None:
        self.wire.cut.set()
        self.cluster.tasks.remove(self.task)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def a_running_job(cluster: Cluster, kind: Any) -> str:
    """Its unit's name; the job runs for ten minutes, and another of its kind waits behind it."""
    await cluster.client.create(
        ELASTIC_QUOTA_TREES, a_tree(a_root(a_leaf("default", cpu=1)), "elasticquotatree")
    )
    for name in ("job1", "job2"):
        template = a_template("600m", terminationGracePeriodSeconds=3)
        seconds = {"simulator.kube-queue/run-seconds": "600"}
        template["metadata"] = {"annotations": seconds}
        if kind is JOBS:
            await cluster.job(name, template=template)
        else:
            job = a_tfjob(name, Worker=1)
            job["spec"]["tfReplicaSpecs"]["Worker"]["template"] = template
            await cluster.create(TFJOBS, job)
        await cluster.settle(0.1)
    await cluster.until_phase(UNITS[kind], Phase.RUNNING)
    return UNITS[kind]


async def activate(cluster: Cluster, name: str, active: bool) -> None:
    await cluster.patch(QUEUE_UNITS, name, {"spec": {"active": active}})


async def condition(cluster: Cluster, name: str, type_: str) -> tuple[str, str]:
    unit = await cluster.client.get(QUEUE_UNITS, "default", name)
    found = unit.get("status", {}).get("conditions", [])
    return next(((c["status"], c["reason"]) for c in found if c["type"] == type_), ("", ""))


async def pods_of(cluster: Cluster, job: str) -> list[str]:
    pods = await cluster.client.list(PODS)
    live = [pod for pod in pods if pod["status"].get("phase") in ("Pending", "Running")]
    names = [str(pod["metadata"]["name"]) for pod in live]
    return [name for name in names if name.startswith(job)]


async def reason_is(cluster: Cluster, name: str, reason: str) -> None:
    async def reached() -> bool:
        return (await cluster.unit(name)).reason == reason

    await cluster.until(reached, f"{name} says {reason}")


async def never_over_quota(cluster: Cluster) -> None:
    """Follows the pods; one job at a time has any."""
    while True:
        jobs = {name.split("-")[0] for name in await pods_of(cluster, "job")}
        assert len(jobs) <= 1, f"pods of {sorted(jobs)} run at the same time"
        await asyncio.sleep(0.1)


async def the_story(cluster: Cluster, kind: Any, between: Callable[[], Awaitable[None]]) -> None:
    """Run, deactivate, held, activate, run; `between` is called between any two of these."""
    unit = await a_running_job(cluster, kind)
    cluster.start(never_over_quota(cluster))
    await between()
    await activate(cluster, unit, False)
    await between()
    waiting = await cluster.until_phase(unit, Phase.ENQUEUED)
    assert not waiting.evicted
    assert waiting.held["cpu"] == 0
    assert await pods_of(cluster, "job1") == []
    assert await condition(cluster, unit, "Requeued") == ("True", "Deactivated")
    await between()
    # What it gave back is used, and it is held although there is room again later.
    other = unit.replace("job1", "job2")
    await cluster.until_phase(other, Phase.RUNNING)
    await reason_is(cluster, unit, "NotActive")
    await cluster.client.delete(kind, "default", "job2", propagation="Background")
    await between()
    await cluster.settle(30)
    assert (await cluster.unit(unit)).phase is Phase.ENQUEUED
    await activate(cluster, unit, True)
    await between()
    again = await cluster.until_phase(unit, Phase.RUNNING)
    assert not again.evicted
    assert (await condition(cluster, unit, "Evicted"))[0] == "False"
    assert len(await pods_of(cluster, "job1")) == 1


@pytest.mark.parametrize("kind", [TFJOBS, JOBS], ids=lambda kind: str(kind.kind))
def test_a_deactivated_job_stops_is_held_and_runs_again_when_activated(kind: Any) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_simulator()
        cluster.start_jobs()
        Controller(cluster)

        async def nothing() -> None:
            return

        await the_story(cluster, kind, nothing)
        if kind is TFJOBS:
            assert await cluster.state("job1") == "Running"

    play(story, simulated=False)


@pytest.mark.parametrize("kind", [TFJOBS, JOBS], ids=lambda kind: str(kind.kind))
def test_a_controller_killed_between_any_two_steps_of_it_goes_on_rightly(kind: Any) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_simulator()
        cluster.start_jobs()
        controllers = [Controller(cluster)]

        async def killed() -> None:
            await controllers[-1].kill()
            await cluster.settle(2)
            controllers.append(Controller(cluster))

        await the_story(cluster, kind, killed)
        assert len(controllers) == 6

    play(story, simulated=False)


@pytest.mark.parametrize("kind", [TFJOBS, JOBS], ids=lambda kind: str(kind.kind))
def test_a_controller_killed_when_its_eviction_was_taken_does_not_evict_again(kind: Any) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_simulator()
        cluster.start_jobs()
        first = Controller(cluster)
        unit = await a_running_job(cluster, kind)
        await cluster.settle(10)
        await first.kill()
        await activate(cluster, unit, False)
        second = Controller(cluster, cut_at=1)
        async with asyncio.timeout(10):
            await second.wire.cut.wait()
        # Its only write was the eviction, and the answer never came.
        assert second.wire.writes == [
            ("PATCH", f"{QUEUE_UNITS.path('default', unit)}/status"),
        ]
        await second.kill()
        third = Controller(cluster)
        await cluster.until_phase(unit, Phase.ENQUEUED)
        await activate(cluster, unit, True)
        await cluster.client.delete(kind, "default", "job2", propagation="Background")
        await cluster.until_phase(unit, Phase.RUNNING)
        said = [path for _, path in third.wire.writes if f"/{unit}/status" in path]
        assert len(said) <= 3, "its reason while it waited, and one admission"
        with contextlib.suppress(asyncio.CancelledError):
            await third.kill()

    play(story, simulated=False)


@pytest.mark.parametrize("kind", [TFJOBS, JOBS], ids=lambda kind: str(kind.kind))
def test_a_held_job_somebody_starts_by_hand_is_stopped_while_its_unit_is_inactive(
    kind: Any,
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_simulator()
        cluster.start_jobs()
        Controller(cluster)
        extension = BatchJob() if kind is JOBS else TFJobExtension()
        unit = await a_running_job(cluster, kind)
        await activate(cluster, unit, False)
        await cluster.until_phase(unit, Phase.ENQUEUED)
        await cluster.settle(5)
        if kind is JOBS:
            await cluster.patch(JOBS, "job1", {"spec": {"suspend": False}})
        else:
            annotations = {"scheduling.x-k8s.io/suspend": "false"}
            free = {"metadata": {"annotations": annotations}}
            await cluster.patch(TFJOBS, "job1", free)

        async def held_again() -> bool:
            state = extension.state(await cluster.client.get(kind, "default", "job1"))
            return state.hold is not Hold.NONE

        await cluster.until(held_again, "the job is held")
        await cluster.until_phase(unit, Phase.ENQUEUED)
        await cluster.settle(30)
        assert (await cluster.unit(unit)).phase is Phase.ENQUEUED
        assert await pods_of(cluster, "job1") == []

    play(story, simulated=False)
