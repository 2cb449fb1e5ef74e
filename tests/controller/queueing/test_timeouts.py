"""Jobs that do not start in time give their quota back, stay away for a while, and come back."""

from __future__ import annotations

import pytest

from kube_queue.api.conditions import parse_rfc3339
from kube_queue.config import Settings
from kube_queue.controller.queueing.backoff import Backoff
from tests.controller.queueing.test_checks import a_checked_queue, answer, used
from tests.controller.queueing.test_evictions import conditions
from tests.controller.queueing.world import (
    Object,
    World,
    Write,
    a_leaf,
    a_root,
    in_world,
    phase_of,
)

SETTINGS = Settings().replaced(
    controller={
        "running_timeout_seconds": 60,
        "backoff_base_seconds": 100,
        "backoff_max_seconds": 300,
    }
)
GONE = {"podState": {"running": 0, "pending": 0}}


def times_out(write: Write) -> bool:
    return write.of_unit_status and write.body["status"].get("phase") == "TimeoutBackoff"


async def a_released_unit(world: World, *, job: str = "pi", **kinds: object) -> Object:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.create_unit("u1", cpu=3, job=job, **kinds)
    await world.settle()
    unit = await world.unit("u1")
    assert phase_of(unit) == "Dequeued"
    return unit


@pytest.mark.parametrize(
    ("times", "seconds"), [(0, 60), (1, 60), (2, 120), (6, 1920), (7, 3600), (10**9, 3600)]
)
def test_the_wait_doubles_every_time_up_to_an_hour(times: int, seconds: float) -> None:
    settings = Settings().controller
    backoff = Backoff(settings.backoff_base_seconds, settings.backoff_max_seconds)
    assert backoff.seconds(times) == seconds


def test_a_job_that_does_not_run_in_time_gives_its_quota_back_and_stays_away() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.settle(57)
        assert (await world.phases())["u1"] == "Dequeued"
        await world.settle(5)
        unit = await world.unit("u1")
        status = unit["status"]
        assert (status["phase"], status["reason"]) == ("TimeoutBackoff", "RunningTimeout")
        assert "did not run within 60 s" in status["message"]
        assert "admissions" not in status
        assert "podState" not in status, "how many pods are left is for the job side to tell"
        assert conditions(unit)["Admitted"] == ("False", "RunningTimeout")
        assert used(world) == 0
        until = parse_rfc3339(status["requeueState"]["requeueAt"]) / 1e6
        assert 96 <= until - world.clock() <= 101
        assert (status["requeueState"]["count"], status["requeueState"]["backoffs"]) == (1, 1)
        said = {event["involvedObject"]["kind"] for event in await world.events("RunningTimeout")}
        assert said == {"QueueUnit", "Job"}
        counted = 'kube_queue_evictions_total{reason="RunningTimeout"} 1.0'
        assert counted in world.meters.text().decode()

    in_world(story, SETTINGS)


def test_without_a_limit_a_job_may_take_as_long_as_it_wants() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.settle(100_000)
        assert (await world.phases())["u1"] == "Dequeued"

    in_world(story)


@pytest.mark.parametrize("fate", ["runs", "leaves", "cannot be stopped", "ended"])
def test_what_runs_or_leaves_or_cannot_be_stopped_does_not_time_out(fate: str) -> None:
    async def story(world: World) -> None:
        never = {"kube-queue/evictable": "false"} if fate == "cannot be stopped" else None
        unit = await a_released_unit(world, annotations=never)
        if fate == "runs":
            await world.set_status("u1", {"phase": "Running"})
        elif fate == "ended":
            await world.finish("u1")
        elif fate == "leaves":
            told = {"type": "Evicted", "status": "True", "reason": "Reclaimed", "message": ""}
            found = [*unit["status"]["conditions"], told]
            await world.set_status("u1", {"conditions": found})
        await world.settle(1000)
        assert world.count(times_out) == 0

    in_world(story, SETTINGS)


def test_the_way_back_waits_for_the_time_and_for_the_pods() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.settle(61)
        assert (await world.phases())["u1"] == "TimeoutBackoff"
        await world.set_status("u1", {"podState": {"running": 0, "pending": 2}})
        await world.settle(200)
        assert (await world.phases())["u1"] == "TimeoutBackoff", "there are pods yet"
        await world.set_status("u1", GONE)
        await world.settle()
        unit = await world.unit("u1")
        assert phase_of(unit) == "Dequeued", "admitted again"
        assert unit["status"]["attempts"] == 2
        assert conditions(unit)["Requeued"] == ("True", "Requeued")

    in_world(story, SETTINGS)


def test_where_nobody_tells_of_the_pods_a_unit_comes_back_five_minutes_after_its_time() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.settle(62)
        assert (await world.phases())["u1"] == "TimeoutBackoff"
        await world.settle(100 + 290)
        assert (await world.phases())["u1"] == "TimeoutBackoff"
        await world.settle(15)
        # There is room, so it is admitted at once, a second time.
        unit = await world.unit("u1")
        assert (phase_of(unit), unit["status"]["attempts"]) == ("Dequeued", 2)

    in_world(story, SETTINGS)


def test_a_unit_without_a_job_has_no_pods_to_wait_for() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world, job="")
        await world.settle(61)
        assert (await world.phases())["u1"] == "TimeoutBackoff"
        await world.settle(101)
        assert (await world.phases())["u1"] == "Dequeued"

    in_world(story, SETTINGS)


def test_the_wait_grows_with_every_time_in_a_row_and_others_do_not_count() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.set_status("u1", {"requeueState": {"count": 5}})
        for wait in (100, 200, 300, 300):
            while (await world.phases())["u1"] != "TimeoutBackoff":
                await world.settle(0.5)
            await world.set_status("u1", GONE)
            at = parse_rfc3339((await world.unit("u1"))["status"]["requeueState"]["requeueAt"])
            assert wait - 2 <= at / 1e6 - world.clock() <= wait + 2
            await world.settle(wait + 2)
        assert (await world.unit("u1"))["status"]["requeueState"]["count"] == 9

    in_world(story, SETTINGS)


def test_after_its_wait_a_unit_has_its_jobs_old_place() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.create_unit("u2", cpu=3, job="two")
        await world.settle(61)
        await world.set_status("u1", GONE)
        assert await world.phases() == {"u1": "TimeoutBackoff", "u2": "Dequeued"}
        await world.set_status("u2", {"phase": "Running"})
        await world.create_unit("u3", cpu=3, job="three")
        await world.settle(110)
        assert (await world.phases())["u1"] == "Enqueued"
        await world.finish("u2")
        await world.settle()
        assert await world.phases() == {"u1": "Dequeued", "u2": "Succeed", "u3": "Enqueued"}

    in_world(story, SETTINGS.replaced(controller={"strict_consistency": True}))


def test_the_time_in_which_checks_ran_does_not_count() -> None:
    async def story(world: World) -> None:
        await a_checked_queue(world, "budget")
        await world.create_unit("u1", cpu=3, job="pi")
        await world.settle(500)
        await answer(world, "u1", budget="Ready")
        await world.settle(58)
        assert (await world.phases())["u1"] == "Dequeued"
        await world.settle(5)
        assert (await world.phases())["u1"] == "TimeoutBackoff"

    in_world(story, SETTINGS)


def test_a_deactivated_unit_that_stays_away_comes_back_and_is_held() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.settle(61)
        await world.set_status("u1", GONE)
        await world.change_unit("u1", {"active": False})
        await world.settle(110)
        status = (await world.unit("u1"))["status"]
        assert (status["phase"], status["reason"]) == ("Enqueued", "NotActive")

    in_world(story, SETTINGS)


def test_between_two_moments_nothing_is_asked_and_nothing_written() -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        asked: list[str] = []

        async def watch(method: str, path: str, body: Object) -> str:
            asked.append(path)
            return ""

        await world.settle(10)
        world.recorder.fault = watch
        await world.settle(45)
        before = len(asked)
        await world.settle(10)
        await world.set_status("u1", GONE)
        await world.settle(5)
        asked.clear()
        await world.settle(80)
        assert (before, asked) == (0, [])

    in_world(story, SETTINGS)


@pytest.mark.parametrize("away", [0.2, 30, 500])
def test_killed_at_every_moment_a_unit_times_out_once_and_comes_back_once(away: float) -> None:
    async def story(world: World) -> None:
        await a_released_unit(world)
        await world.kill()
        for _ in range(60):
            await world.start()
            await world.settle(7)
            await world.kill()
            unit = await world.unit("u1")
            if phase_of(unit) == "TimeoutBackoff" and "podState" not in unit["status"]:
                await world.set_status("u1", GONE)
            if unit["status"].get("attempts") == 2:
                break
            await world.settle(away)
        assert phase_of(await world.unit("u1")) == "Dequeued"
        assert world.count(times_out) == 1
        assert world.count(lambda write: write.admits) == 2

    in_world(story, SETTINGS)


def test_killed_after_every_single_write_a_unit_that_times_out_goes_on_rightly() -> None:
    async def story(world: World) -> None:
        await world.kill()
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("u1", cpu=3, job="pi")
        for _ in range(12):
            taken: list[str] = []

            async def cut(method: str, path: str, body: Object, taken: list[str] = taken) -> str:
                if method != "PATCH" or "/queueunits/u1" not in path:
                    return ""
                taken.append(path)
                return "lose-after" if len(taken) == 1 else "lose-before"

            world.recorder.fault = cut
            await world.start()
            for _ in range(400):
                await world.settle(1)
                if taken:
                    break
            await world.kill()
            unit = await world.unit("u1")
            if phase_of(unit) == "TimeoutBackoff" and "podState" not in unit["status"]:
                await world.set_status("u1", GONE)
        written = [
            write.body["status"]["phase"]
            for write in world.recorder.writes
            if write.of_unit_status and write.status == 200 and "phase" in write.body["status"]
        ]
        assert written == ["Dequeued", "TimeoutBackoff", "Enqueued"] * 4

    in_world(story, SETTINGS)
