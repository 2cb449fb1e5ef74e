"""Killed between any two of its writes, and started again, the job side goes on rightly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from kube_queue.api.lifecycle import Owner, Phase, allowed
from kube_queue.api.types import JOBS, QUEUE_UNITS, TFJOBS
from kube_queue.api.units import Unit, project_unit
from kube_queue.jobframework.extension import Hold, JobExtension
from kube_queue.kube.client import EVERYTHING
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.tfjob import TFJobExtension
from tests.controller.jobs.cluster import Cluster, Wire, play

CPU = 4000
LAST = 24
BATCH = 6
"""Kills played one after the other in one test."""


class Witness:
    """Follows every version of jobs and units, and notes what must never be seen."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.units: dict[str, Unit] = {}
        self.admissions: Counter[str] = Counter()
        self.moves: list[tuple[str, str, str]] = []
        self.wrong: list[str] = []

    async def follow_units(self) -> None:
        async def seen(kind: str, obj: dict[str, Any]) -> None:
            unit = project_unit(obj)
            old = self.units.get(unit.name)
            if kind == "DELETED":
                self.wrong.append(f"{unit.name} is lost")
                del self.units[unit.name]
                return
            self.units[unit.name] = unit
            used = sum(each.held["cpu"] for each in self.units.values())
            if used > CPU:
                self.wrong.append(f"{used} of {CPU} cpu are held")
            if old is None or old.phase is unit.phase:
                return
            self.moves.append((unit.name, old.phase.value, unit.phase.value))
            self.admissions[unit.name] += unit.phase is Phase.DEQUEUED
            owners = [each for each in Owner if allowed(old.phase, unit.phase, each)]
            if not owners:
                self.wrong.append(f"{unit.name}: {old.phase.value} -> {unit.phase.value}")

        await self._follow(QUEUE_UNITS, seen)

    async def follow_jobs(self, extension: JobExtension) -> None:
        async def seen(_kind: str, obj: dict[str, Any]) -> None:
            state = extension.state(obj)
            name = f"{obj['metadata']['name']}-{extension.suffix}-qu"
            # The watch of units may be told a moment later.
            await asyncio.sleep(0)
            if state.hold is Hold.NONE and state.outcome is None:
                unit = project_unit(await self.cluster.client.get(QUEUE_UNITS, "default", name))
                if unit.phase is Phase.ENQUEUED:
                    self.wrong.append(f"{name}: its job is free and it was not admitted")

        await self._follow(extension.resource, seen)

    async def _follow(
        self, resource: Any, seen: Callable[[str, dict[str, Any]], Awaitable[None]]
    ) -> None:
        client = self.cluster.client
        async with client.watch(
            resource, "0", EVERYTHING, seconds=3600, read_timeout=3600
        ) as lines:
            async for line in lines:
                event = orjson.loads(line)
                if event["type"] != "BOOKMARK":
                    await seen(event["type"], event["object"])


UNITS = ("one-tf-qu", "two-tf-qu", "three-job-qu")


async def a_run(cluster: Cluster, *, cut_at: int | None) -> int:
    """Three jobs that fit one at a time; the job side is killed once, as soon as the server has
    taken its `cut_at`-th write, and started again. The number of its writes until then.
    """
    witness = Witness(cluster)
    cluster.start(witness.follow_units())
    for extension in (TFJobExtension(), BatchJob()):
        cluster.start(witness.follow_jobs(extension))
    cluster.start_admitter(CPU)
    wire = Wire(cluster.server, cut_at=cut_at)
    process = cluster.start_jobs(wire=wire)
    await cluster.tfjob("one")
    await cluster.tfjob("two", Worker=3)
    await cluster.job("three", parallelism=2, completions=2)

    async def over_or_cut() -> bool:
        phases = {unit.name: unit.phase for unit in await cluster.units()}
        return wire.cut.is_set() or all(phases.get(name) is Phase.SUCCEED for name in UNITS)

    await cluster.until(over_or_cut, "the run ends or is cut")
    if wire.cut.is_set():
        await cluster.kill(process)
        cluster.start_jobs()
    for name in UNITS:
        await cluster.until_phase(name, Phase.SUCCEED)
    await cluster.settle(3)
    assert witness.wrong == []
    assert witness.admissions == dict.fromkeys(UNITS, 1)
    for resource in (TFJOBS, JOBS):
        for job in await cluster.client.list(resource):
            types = {each["type"] for each in job["status"]["conditions"]}
            assert types & {"Succeeded", "Complete"}
    return len(wire.writes)


def play_run(cut_at: int | None) -> int:
    made: list[int] = []

    async def story(cluster: Cluster) -> None:
        made.append(await a_run(cluster, cut_at=cut_at))

    play(story)
    return made[0]


def test_the_kills_below_cover_every_write_of_a_run() -> None:
    assert LAST - BATCH < play_run(None) <= LAST


@pytest.mark.parametrize("first", range(1, LAST + 1, BATCH))
def test_killed_after_any_write_nothing_is_lost_and_nothing_admitted_twice(first: int) -> None:
    for cut_at in range(first, first + BATCH):
        play_run(cut_at)
