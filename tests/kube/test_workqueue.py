"""Keys to reconcile."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from kube_queue.api.errors import Conflict, ConnectionLost
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.workqueue import WorkQueue, run_workers


async def got(queue: WorkQueue[str]) -> str | None:
    """The next key if one is there without waiting."""
    try:
        async with asyncio.timeout(0):
            return await queue.get()
    except TimeoutError:
        return None


def test_a_key_added_many_times_is_got_once() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in ("a", "b", "a", "a"):
            queue.add(key)
        assert len(queue) == 2
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert await got(queue) is None

    run_virtual(main())


def test_a_key_added_while_processed_is_got_again_only_after_it_is_done() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        await queue.get()
        queue.add("a")
        queue.add("a")
        assert await got(queue) is None
        queue.done("a")
        assert await got(queue) == "a"
        queue.done("a")
        assert await got(queue) is None
        assert queue.idle

    run_virtual(main())


def test_of_several_delays_the_earliest_counts() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 20)
        await queue.get()
        assert asyncio.get_running_loop().time() == pytest.approx(3)
        queue.done("a")
        await asyncio.sleep(60)
        assert await got(queue) is None

    run_virtual(main())


def test_backoff_doubles_up_to_its_end_and_starts_again_when_forgotten() -> None:
    async def main() -> list[float]:
        queue: WorkQueue[str] = WorkQueue(first_backoff=1, last_backoff=5)
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(5):
            before = loop.time()
            queue.add_backoff("a")
            queue.done(await queue.get())
            waits.append(loop.time() - before)
        queue.forget("a")
        before = loop.time()
        queue.add_backoff("a")
        await queue.get()
        return [*waits, loop.time() - before]

    assert run_virtual(main()) == pytest.approx([1, 2, 4, 5, 5, 1])


def test_a_getter_that_leaves_passes_its_wake_up_on() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        first = asyncio.create_task(queue.get())
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await second == "a"

    run_virtual(main())


def test_a_failed_reconcile_is_repeated_and_a_wish_to_look_again_is_granted() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue(first_backoff=1)
        runs: list[tuple[str, float]] = []

        async def reconcile(key: str) -> float | None:
            runs.append((key, loop.time()))
            if key == "fails" and len(runs) <= 2:
                raise ConnectionLost("no answer")
            return 10.0 if key == "again" and loop.time() < 5 else None

        queue.add("fails")
        queue.add("again")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await run_workers(queue, reconcile, 2)
        return runs

    assert run_virtual(main()) == [("fails", 0), ("again", 0), ("fails", 1), ("again", 10)]


def test_a_key_that_succeeded_meanwhile_is_repeated_soon_when_it_fails_again() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue(first_backoff=1)
        runs: list[float] = []

        async def reconcile(key: str) -> float | None:
            runs.append(loop.time())
            if len(runs) in {1, 2, 3, 5}:
                raise ConnectionLost("no answer")
            return 100.0

        queue.add("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(150):
                await run_workers(queue, reconcile, 1)
        return runs

    assert run_virtual(main()) == [0, 1, 3, 7, 107, 108]


def test_a_conflict_is_no_warning_and_a_lost_connection_is() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        errors = [Conflict(409, "Conflict", "changed meanwhile"), ConnectionLost("no answer")]

        async def reconcile(key: str) -> float | None:
            if errors:
                raise errors.pop(0)
            return None

        queue.add("a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await run_workers(queue, reconcile, 1)

    with structlog.testing.capture_logs() as said:
        run_virtual(main())
    assert [entry["log_level"] for entry in said] == ["debug", "warning"]


def test_no_key_is_reconciled_by_two_workers_at_once() -> None:
    async def main() -> None:
        queue: WorkQueue[int] = WorkQueue()
        busy: set[int] = set()
        most = 0

        async def reconcile(key: int) -> float | None:
            nonlocal most
            assert key not in busy
            busy.add(key)
            most = max(most, len(busy))
            await asyncio.sleep(1)
            busy.remove(key)
            return None

        workers = asyncio.create_task(run_workers(queue, reconcile, 3))
        for moment in range(40):
            queue.add(moment % 5)
            await asyncio.sleep(0.3)
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)
        assert most == 3

    run_virtual(main())


def test_a_bug_in_a_reconcile_is_not_swallowed() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")

        async def reconcile(key: str) -> float | None:
            raise ZeroDivisionError(key)

        await run_workers(queue, reconcile, 2)

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    assert caught.group_contains(ZeroDivisionError)
