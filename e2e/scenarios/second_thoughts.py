"""What can still happen to a unit that got its quota: checks, and jobs that do not start."""

from __future__ import annotations

from e2e.jobs import annotated, job, nowhere, phase, status_of, unit_of
from e2e.scenario import scenario
from e2e.steps import (
    answer_check,
    follow_units,
    label_node,
    see_admitted,
    see_exact,
    see_phase,
    see_waiting,
)
from e2e.trees import queue, tree
from e2e.world import World
from kube_queue.api.types import JOBS, QUEUE_UNITS

ROOM = "kube-queue.example/room"


@scenario(
    "Q23",
    "an admission check admits, sends away for a while, or refuses; quota is kept meanwhile",
    settings={"controller": {"backoff_base_seconds": 2}},
)
async def admission_check(world: World) -> None:
    await world.apply(queue("checked", checks=["budget"]))
    ledger = await follow_units(world, tree("3"))
    await world.apply(annotated(job("asked", "2", seconds=1), queue="checked"))
    await see_phase(world, "Reserved", "asked")
    await world.apply(job("other", "2"))
    await see_waiting(world, "other")
    assert all(one["spec"]["suspend"] for one in await world.objects(JOBS))
    await see_exact(world, ledger)
    await answer_check(world, "asked", "Retry")
    # Its quota goes to another, and it is checked again after a while.
    await see_admitted(world, "other")
    await see_waiting(world, "asked", "InsufficientQuota")
    await world.delete(JOBS, "other")
    await see_phase(world, "Reserved", "asked")
    await answer_check(world, "asked", "Ready")
    await see_phase(world, "Succeed", "asked")
    await world.apply(annotated(job("refused", "2"), queue="checked"))
    await see_phase(world, "Reserved", "refused")
    await answer_check(world, "refused", "Rejected")
    await world.until(
        QUEUE_UNITS,
        lambda units: (unit_of(units, "refused") or {"spec": {}})["spec"].get("active") is False,
        "the refused unit is no longer active",
    )
    await see_phase(world, "Enqueued", "refused")
    status = status_of(await world.objects(QUEUE_UNITS), "refused")
    assert status.get("reason") in ("AdmissionCheckRejected", "NotActive"), status
    await see_exact(world, ledger)


@scenario(
    "Q24",
    "a job whose pods do not start in time makes room for others, and is tried again later",
    settings={"controller": {"running_timeout_seconds": 6, "backoff_base_seconds": 3}},
    within=150,
)
async def running_timeout(world: World) -> None:
    ledger = await follow_units(world, tree("1"))
    await world.apply(nowhere(job("stuck", "1", seconds=1), ROOM))
    await see_phase(world, "Dequeued", "stuck")
    await world.apply(job("other", "1", seconds=1))
    await see_phase(world, "TimeoutBackoff", "stuck")
    status = status_of(await world.objects(QUEUE_UNITS), "stuck")
    assert status["requeueState"]["requeueAt"], status
    await see_phase(world, "Succeed", "other", within=60)
    await label_node(world, ROOM)
    await see_phase(world, "Succeed", "stuck", within=60)
    assert phase(await world.objects(QUEUE_UNITS), "other") == "Succeed"
    await see_exact(world, ledger)
