"""Everything is rebuilt from the API's objects: none lost, none admitted twice, sums equal."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import Phase
from kube_queue.api.quota import queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import QUEUES
from kube_queue.api.units import project_unit
from kube_queue.jobframework import unit_status
from kube_queue.jobframework.unit_view import view_unit
from tests.controller.queueing.world import (
    Object,
    World,
    a_leaf,
    a_root,
    in_world,
    no_fault,
    phase_of,
)

HOLDS = ("Reserved", "Dequeued", "Running")


def held(unit: Object) -> int:
    admissions = unit.get("status", {}).get("admissions", ())
    return sum(ResourceVector.parse(one["resources"])["cpu"] for one in admissions)


async def sums_on_server(world: World) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for unit in await world.units():
        if phase_of(unit) in HOLDS:
            sums[f"root/{unit['metadata']['namespace']}"] += held(unit)
            sums["root"] += held(unit)
    return dict(sums)


def sums_in_memory(world: World) -> dict[str, int]:
    usage = world.side.cache.quota_status()
    return {path: sums.used["cpu"] for path, sums in usage.items() if sums.used.get("cpu")}


def admissions(world: World) -> Counter[str]:
    return Counter(
        write.path.split("/")[-2]
        for write in world.recorder.writes
        if write.admits and write.status == 200
    )


@pytest.mark.parametrize("seed", range(6))
def test_kills_at_any_moment_lose_no_unit_and_admit_none_twice(seed: int) -> None:
    async def story(world: World) -> None:
        rng = random.Random(seed)
        await world.create_tree(a_root(a_leaf("default", cpu=12), a_leaf("team-a", cpu=7), cpu=16))
        world.recorder.latency = 0.03

        async def jobs() -> None:
            for number in range(60):
                space = rng.choice(["default", "team-a"])
                queue = queue_name(f"root/{space}")
                cpu = rng.randint(1, 4)
                await world.create_unit(f"u{number:02}", cpu=cpu, namespace=space, queue=queue)
                await asyncio.sleep(rng.uniform(0, 0.3))

        async def ends() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0, 0.4))
                running = [
                    unit["metadata"] for unit in await world.units() if phase_of(unit) == "Dequeued"
                ]
                if running:
                    chosen = rng.choice(running)
                    await world.finish(chosen["name"], chosen["namespace"])

        tasks = [asyncio.create_task(jobs()), asyncio.create_task(ends())]
        for _ in range(15):
            await asyncio.sleep(rng.uniform(0, 2))
            await world.kill()
            await asyncio.sleep(rng.uniform(0, 0.2))
            await world.start()
        await tasks[0]
        await world.settle(200)
        tasks[1].cancel()
        assert {phase_of(unit) for unit in await world.units()} == {"Succeed"}
        assert len(await world.units()) == 60
        assert set(admissions(world).values()) == {1}

    in_world(story)


@pytest.mark.parametrize("seed", range(3))
def test_sums_after_a_restart_are_those_of_the_objects(seed: int) -> None:
    async def story(world: World) -> None:
        rng = random.Random(seed)
        await world.create_tree(a_root(a_leaf("default", cpu=12), a_leaf("team-a", cpu=7), cpu=16))
        phases = ["", "Enqueued", "Dequeued", "Running", "Succeed", "Failed"]
        await world.kill()
        for number in range(100):
            space = rng.choice(["default", "team-a"])
            cpu = rng.randint(1, 3)
            name = f"u{number:03}"
            queue = queue_name(f"root/{space}")
            await world.create_unit(name, cpu=cpu, namespace=space, queue=queue)
            phase = rng.choice(phases)
            status: Object = {"phase": phase}
            if phase in HOLDS:
                entry = {"name": "main", "replicas": 1, "resources": {"cpu": str(cpu)}}
                status["admissions"] = [entry]
            if phase:
                await world.set_status(name, status, space)
        await world.start()
        await world.settle(5)
        assert sums_in_memory(world) == await sums_on_server(world)
        assert len(await world.units()) == 100

    in_world(story)


@pytest.mark.parametrize("reserved", [False, True])
def test_whom_others_left_for_goes_first_after_a_restart_in_that_very_moment(
    reserved: bool,
) -> None:
    async def story(world: World) -> None:
        others_queue = queue_name("root/team-b")
        checked: Object = {"admissionChecks": [{"name": "yes"}]} if reserved else {}
        mine, others = {"cpu": "3"}, {"max": {"cpu": "6"}}
        leaves = (a_leaf("team-a", 6, min=mine), a_leaf("team-b", 6, min=mine))
        await world.create_tree(a_root(*leaves, **others))
        await world.settle()
        # Whatever is free goes to this Queue's units, were it not for the promise.
        await world.user.patch(
            QUEUES, "kube-queue", others_queue, {"spec": {"priority": 9, **checked}}
        )
        await world.create_unit("stays", cpu=3, namespace="team-b", queue=others_queue)
        await world.settle(2)
        await world.create_unit("goes", cpu=3, namespace="team-b", queue=others_queue)
        await world.settle(2)
        recorder = world.recorder

        async def slow(method: str, path: str, body: Object) -> str:
            if body.get("status", {}).get("phase") == "Dequeued":
                await asyncio.sleep(60)
            return ""

        recorder.fault = slow
        await world.create_unit("wants", cpu=3, namespace="team-a", queue=queue_name("root/team-a"))
        await world.settle(0.5)
        await world.kill()
        recorder.fault = no_fault
        if not reserved:
            told = view_unit(await world.unit("goes", "team-b"))
            said = told.condition("Evicted")
            patch = unit_status.requeued(
                told, Reason.RECLAIMED, str(said["message"]), rfc3339(world.clock())
            )
            await world.set_status("goes", patch["status"], "team-b")
        left = project_unit(await world.unit("goes", "team-b"))
        wants = project_unit(await world.unit("wants", "team-a"))
        assert (left.phase, left.left_for) == (Phase.ENQUEUED, wants.uid)
        assert wants.phase is Phase.ENQUEUED
        await world.create_unit("rival", cpu=3, namespace="team-b", queue=others_queue)
        recorder.writes.clear()
        await world.start()
        await world.settle(1)
        assert phase_of(await world.unit("wants", "team-a")) == "Dequeued"
        said = [
            write.body["status"].get("reason") for write in recorder.writes if write.of_unit_status
        ]
        assert "Reclaimed" not in said, "nobody else goes"

    in_world(story)


def test_a_process_that_stands_by_knows_everything_and_writes_nothing() -> None:
    async def story(world: World) -> None:
        await world.start(lead=False)
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("u1")
        await world.create_unit("u2", queue="")
        await world.settle(60)
        assert world.recorder.writes == []
        assert world.side.ready
        status = world.side.cache.unit((await world.unit("u1"))["metadata"]["uid"])
        assert status is not None
        assert world.side.keeper.in_force is not None

    in_world(story, start=False)
