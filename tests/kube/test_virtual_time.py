"""The loop whose time jumps."""

from __future__ import annotations

import asyncio

import pytest

from kube_queue.app.virtual_time import DAY_ONE, NothingToWaitFor, run_virtual, virtual_clock


def test_a_day_passes_in_the_blink_its_work_takes() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(86_400)
        return loop.time(), virtual_clock()()

    # Were it real, the test would hang; nothing here measures real time.
    assert run_virtual(main()) == (86_400.0, DAY_ONE + 86_400.0)


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        fired: list[tuple[str, float]] = []
        for name, delay in (("c", 3.5), ("a", 0.1), ("b", 3.4)):
            loop.call_later(delay, lambda name=name: fired.append((name, round(loop.time(), 6))))
        await asyncio.sleep(4)
        return fired

    assert run_virtual(main()) == [("a", 0.1), ("b", 3.4), ("c", 3.5)]


def test_a_timeout_ends_a_wait_at_its_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.25):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(7.25)


def test_what_can_run_runs_before_time_moves() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return loop.time()

    assert run_virtual(main()) == 0.0


def test_waiting_for_what_can_never_come_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingToWaitFor):
        run_virtual(main())


def test_threads_are_refused() -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(NotImplementedError):
        run_virtual(main())


def test_left_over_tasks_are_cancelled_at_the_end() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(1)
        assert not task.done()

    run_virtual(main())
    assert ended == ["cancelled"]
