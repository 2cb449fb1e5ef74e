"""What the nodes of a tree limit: jobs, guaranteed shares, requests that can never fit."""

from __future__ import annotations

from collections.abc import Sequence

from e2e.jobs import HOLDS, Object, job, non_preemptible, phase
from e2e.scenario import scenario
from e2e.steps import (
    follow_units,
    see_admitted,
    see_exact,
    see_phase,
    see_waiting,
)
from e2e.trees import leaf, quota_tree, tree
from e2e.world import World
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.types import EVENTS, JOBS, NODES, PODS, QUEUE_UNITS

JOBS_OF_NOTHING = [f"job-{index:02}" for index in range(12)]


async def jobs_of_nothing(world: World) -> None:
    """Twelve jobs that ask for nothing, where ten may be admitted at once by the tree."""
    await world.apply(tree("4", **{MAX_JOBS: "10"}))
    await world.apply(*(job(name, "") for name in JOBS_OF_NOTHING))


def waiting(units: Sequence[Object]) -> list[str]:
    """Those of the twelve that wait; all of them have units."""
    return [name for name in JOBS_OF_NOTHING if phase(units, name) not in HOLDS]


@scenario("Q8", "kube-queue/max-jobs 10: of twelve jobs that ask for nothing ten are admitted")
async def ten_jobs(world: World) -> None:
    await jobs_of_nothing(world)
    await world.until(QUEUE_UNITS, lambda units: len(waiting(units)) == 2, "ten admitted")
    late = waiting(await world.objects(QUEUE_UNITS))
    for name in late:
        message = await see_waiting(world, name, "MaxJobsReached")
        assert "10" in message and "root" in message, message
    running = next(name for name in JOBS_OF_NOTHING if name not in late)
    await world.delete(JOBS, running)
    # Round goes on behind whom it tried last, so either of the two may be next.
    await world.until(
        QUEUE_UNITS,
        lambda units: any(phase(units, name) in HOLDS for name in late),
        f"{' or '.join(late)} admitted",
    )
    units = await world.objects(QUEUE_UNITS)
    assert [phase(units, name) for name in late].count("Enqueued") == 1


@scenario(
    "Q8b",
    "an oversell rate of 1.25 makes twelve of ten jobs, and five of four cpu",
    settings={"controller": {"oversell_rate": 1.25}},
)
async def twelve_jobs(world: World) -> None:
    await jobs_of_nothing(world)
    await see_admitted(world, *JOBS_OF_NOTHING)
    await world.apply(job("late", "1"))
    await see_waiting(world, "late", "MaxJobsReached")
    for name in JOBS_OF_NOTHING[:2]:
        await world.delete(JOBS, name)
    await see_admitted(world, "late")
    await world.apply(job("four", "4"))
    await see_admitted(world, "four")


@scenario("Q13", "a job that cannot be taken back uses no more than its quota is guaranteed")
async def only_what_is_guaranteed(world: World) -> None:
    least = {"cpu": "1", "memory": "1Gi"}
    ledger = await follow_units(world, quota_tree({}, leaf("default", {"cpu": "10"}, least)))
    await world.apply(non_preemptible(job("large", "3")))
    message = await see_waiting(world, "large", "InsufficientMin", "ExceedsMaxQuota")
    assert "min" in message and "root.default" in message, message
    await world.apply(non_preemptible(job("small", "1")))
    await see_admitted(world, "small")
    await world.apply(non_preemptible(job("second", "1")))
    await see_waiting(world, "second", "InsufficientMin")
    await world.apply(job("borrower", "3"))
    await see_admitted(world, "borrower")
    await world.delete(JOBS, "small")
    await see_admitted(world, "second")
    assert phase(await world.objects(QUEUE_UNITS), "large") == "Enqueued"
    await see_exact(world, ledger)


@scenario(
    "Q20",
    "Block: a head that is larger than its quota says so, once, and blocks nobody",
    environment={"StrictPriority": "true"},
)
async def too_large_to_block(world: World) -> None:
    await world.apply(tree("4"), job("huge", "8", priority=10))
    message = await see_waiting(world, "huge", "ExceedsMaxQuota")
    assert "root" in message and "8" in message and "4" in message, message
    await world.apply(job("first", "2", seconds=1), job("second", "2", seconds=1))
    await see_phase(world, "Succeed", "first", "second")
    await see_waiting(world, "huge", "ExceedsMaxQuota")

    def told(events: Sequence[Object]) -> list[Object]:
        return [
            event
            for event in events
            if event["involvedObject"]["name"].startswith("huge")
            and event["involvedObject"]["kind"] == "QueueUnit"
            and event["reason"] == "FailedScheduling"
        ]

    await world.until(EVENTS, lambda events: len(told(events)) == 1, "one event about huge")
    (event,) = told(await world.objects(EVENTS))
    assert event.get("count", 1) == 1, event


@scenario("Q25", "a pod that no job of the queue stands for counts as used while it runs")
async def pod_of_nobody(world: World) -> None:
    await world.apply(tree("4"))
    pod = job("stranger", "2")["spec"]["template"]
    node = (await world.objects(NODES))[-1]["metadata"]["name"]
    metadata = {"name": "stranger", "namespace": "default"}
    spec = {**pod["spec"], "nodeName": node}
    await world.client.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}, "default"
    )
    await world.until(
        PODS,
        lambda pods: any((one.get("status") or {}).get("phase") == "Running" for one in pods),
        "the pod runs",
    )
    await world.apply(job("large", "3", priority=10))
    await see_waiting(world, "large")
    await world.apply(job("small", "2"))
    await see_admitted(world, "small")
    await world.delete(JOBS, "small")
    await world.delete(PODS, "stranger")
    await see_admitted(world, "large")
