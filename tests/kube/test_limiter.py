"""The optional limit on one client's requests."""

from __future__ import annotations

import asyncio

from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.limiter import LimitedTransport
from tests.kube.scripted import ScriptedTransport


def test_a_burst_goes_at_once_and_the_rest_at_the_rate_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        scripted = ScriptedTransport(handler=lambda asked: {})
        limited = LimitedTransport(scripted, qps=10, burst=3)
        await asyncio.gather(*(limited.request("GET", f"/{number}") for number in range(8)))
        return [(one.path, round(one.at, 3)) for one in scripted.asked]

    asked = run_virtual(main())
    assert [path for path, _ in asked] == [f"/{number}" for number in range(8)]
    assert [at for _, at in asked] == [0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_what_was_not_used_is_saved_up_to_the_burst() -> None:
    async def main() -> list[float]:
        scripted = ScriptedTransport(handler=lambda asked: {})
        limited = LimitedTransport(scripted, qps=1, burst=2)
        await asyncio.sleep(100)
        await asyncio.gather(*(limited.request("GET", "/") for _ in range(4)))
        return [one.at for one in scripted.asked]

    assert run_virtual(main()) == [100, 100, 101, 102]
