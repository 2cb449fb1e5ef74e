"""What keeps a run of hostile requests from hanging, and from passing unseen."""

import asyncio
import random
from pathlib import Path

import pytest

from e2e.fuzz.idle import IdleWatches
from e2e.fuzz.patience import Patience
from e2e.fuzz.requests import Kinds, Served, request
from e2e.fuzz.server import Server, Unwell
from e2e.fuzz.watchdog import Watchdog


async def stands_still(forever: asyncio.Event) -> None:
    await forever.wait()


async def test_a_run_that_stands_still_is_ended_with_what_it_waited_for() -> None:
    loop = asyncio.get_running_loop()
    barked: asyncio.Future[str] = loop.create_future()

    def bark(told: str) -> None:
        loop.call_soon_threadsafe(barked.set_result, told)

    dog = Watchdog(0.05, bark)
    with dog.over("request 7: GET /api"):
        task = asyncio.create_task(stands_still(asyncio.Event()))
        told = await barked
    dog.call_off()
    task.cancel()
    assert "request 7: GET /api" in told
    assert "in stands_still" in told


async def test_what_comes_to_an_end_is_not_barked_at() -> None:
    barked: list[str] = []
    dog = Watchdog(600.0, barked.append)
    for number in range(3):
        with dog.over(f"request {number}"):
            await asyncio.sleep(0)
    dog.call_off()
    assert not barked


async def test_patience_ends_when_the_seconds_are_over() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(0.01).limit():
            await asyncio.Event().wait()


async def test_patience_does_not_count_seconds_without_a_processor() -> None:
    looks: list[float] = []
    answered = asyncio.Event()

    def idle() -> float:
        looks.append(0.01 * len(looks))
        if len(looks) == 5:
            answered.set()
        return looks[-1] * 1000

    async with Patience(0.01, idle).limit():
        await answered.wait()
    assert len(looks) == 5


async def test_a_server_that_is_ended_says_where_it_was(tmp_path: Path) -> None:
    server = await Server.start(tmp_path)
    told = server.ended()
    await server.stop()
    assert "CPU s" in told
    assert "most recent call first" in told


async def test_idle_watches_live_until_something_happens(tmp_path: Path) -> None:
    server = await Server.start(tmp_path)
    idle = IdleWatches(server.port, Patience(10.0))
    try:
        await idle.begin(50)
        assert await idle.end() == 50
    finally:
        idle.close()
        await server.stop()


async def test_an_idle_watch_that_is_lost_is_told(tmp_path: Path) -> None:
    server = await Server.start(tmp_path)
    idle = IdleWatches(server.port, Patience(10.0))
    try:
        await idle.begin(10)
        idle.drop(3)
        with pytest.raises(Unwell, match="1 of 10 idle watches were lost"):
            await idle.end()
    finally:
        idle.close()
        await server.stop()


def test_what_a_request_is_hangs_on_the_seed_and_on_no_request_before_it() -> None:
    kinds = Kinds([Served("/api/v1", "", "v1", "ConfigMap", "configmaps", True, {}, ())])

    def run() -> list[bytes]:
        rng = random.Random(1)
        return [request(rng, kinds).body for _ in range(3000)]

    assert run() == run()
