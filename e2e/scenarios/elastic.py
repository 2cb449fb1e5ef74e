"""Jobs that are another size than they were admitted with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from e2e.jobs import Object, job, phase, status_of
from e2e.scenario import scenario
from e2e.steps import follow_units, see_admitted, see_exact, see_phase, see_waiting
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.types import EVENTS, JOBS, QUEUE_UNITS


async def see_held(world: World, name: str, cpu: str, *, within: float = 30.0) -> None:
    """The unit of this job, which goes on, holds so much."""

    def holds(units: Sequence[Object]) -> bool:
        admissions: list[dict[str, Any]] = status_of(units, name).get("admissions") or []
        amounts = [each["resources"].get("cpu", "0") for each in admissions]
        return amounts == [cpu] and phase(units, name) == "Running"

    await world.until(QUEUE_UNITS, holds, f"{name} holds {cpu} cpu", within=within)


@scenario("Q27", "a job scaled up while it runs is charged at once, scaled down makes room again")
async def scaled(world: World) -> None:
    ledger = await follow_units(world, tree("4"))
    wide = job("wide", "1")
    wide["spec"]["completions"] = 10
    await world.apply(wide)
    await see_held(world, "wide", "1")
    await world.patch(JOBS, "wide", {"spec": {"parallelism": 3}})
    await see_held(world, "wide", "3")
    await world.until(
        EVENTS,
        lambda events: (
            {one["involvedObject"]["kind"] for one in events if one["reason"] == "Resized"}
            == {"Job", "QueueUnit"}
        ),
        "the job and its unit say Resized",
    )
    await world.apply(job("rest", "3", seconds=1))
    message = await see_waiting(world, "rest")
    assert "used 3" in message, message
    await world.patch(JOBS, "wide", {"spec": {"parallelism": 1}})
    await see_held(world, "wide", "1")
    await see_phase(world, "Succeed", "rest")
    assert ledger.admissions.total() == 2, "scaling is no admission"
    await see_exact(world, ledger)


@scenario(
    "Q27r", "pods that are done give their share to the next while the rest of their job runs"
)
async def done_in_part(world: World) -> None:
    ledger = await follow_units(world, tree("4"))
    # The last of its four pods runs alone.
    wave = job("wave", "1", seconds=15, parallelism=3)
    wave["spec"]["completions"] = 4
    await world.apply(wave)
    await see_held(world, "wave", "3")
    await world.apply(job("next", "3"))
    await see_waiting(world, "next")
    await see_held(world, "wave", "1", within=60)
    await see_admitted(world, "next")
    await see_phase(world, "Succeed", "wave", within=60)
    await see_exact(world, ledger)
