"""One controller leads, the others are ready to; who lost the lead writes nothing more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from kube_queue.api.types import LEASES
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.virtual_time import run_virtual
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from tests.controller.queueing.world import Object, Recorder, World, a_leaf, a_root, world


class Controller:
    """One controller process of the given identity."""

    def __init__(self, made: World, identity: str, **changes: Any) -> None:
        self.recorder = Recorder(InProcessTransport(made.server))
        self.ready = 0
        settings = Settings().replaced(
            leader={"identity": identity}, serving={"enabled": False}, **changes
        )

        def told(_: str) -> None:
            self.ready += 1

        self.task = asyncio.create_task(
            run_controller(
                Client(self.recorder),
                settings,
                clock=made.clock,
                rng=random.Random(identity),
                ready=told,
            )
        )

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    @property
    def wrote(self) -> int:
        """Writes besides those of the Lease."""
        return sum("/leases" not in write.path for write in self.recorder.writes)


def play(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with world(start=False) as made:
            await made.create_tree(a_root(a_leaf("default", cpu=100)))
            await story(made)

    run_virtual(all_of_it())


async def holder(made: World) -> str:
    lease = await made.user.get(LEASES, "kube-queue", "kube-queue-controller")
    return str(lease["spec"]["holderIdentity"])


def test_one_leads_and_the_other_takes_over_when_it_dies() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "first")
        await asyncio.sleep(1)
        second = Controller(made, "second")
        await asyncio.sleep(5)
        await made.create_unit("u1")
        await asyncio.sleep(1)
        assert await made.admitted() == {"u1"}
        assert (first.ready, second.ready, second.wrote) == (1, 1, 0)

        async def silent(method: str, path: str, body: Object) -> str:
            return "lose-before"

        # As after a kill -9: nothing is released, the Lease has to run out.
        first.recorder.fault = silent
        await first.stop()
        await made.create_unit("u2")
        await asyncio.sleep(5)
        assert await made.admitted() == {"u1"}
        await asyncio.sleep(15)
        assert await made.admitted() == {"u1", "u2"}
        assert await holder(made) == "second"
        await second.stop()

    play(story)


async def slow_admissions(made: World, first: Controller) -> int:
    """How many admissions wait behind slow ones, some of which are on the wire."""
    for number in range(12):
        await made.create_unit(f"u{number:02}")
    first.recorder.latency = 0.4
    await asyncio.sleep(0.3)
    assert await made.admitted() == set()
    return 8


def test_who_is_stopped_writes_what_is_queued_before_it_goes() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "first", writes={"max_in_flight": 4})
        await asyncio.sleep(1)
        queued = await slow_admissions(made, first)
        began = made.clock()
        await first.stop()
        assert 0.4 < made.clock() - began < 3
        assert len(await made.admitted()) == queued
        assert await holder(made) == ""

    play(story)


def test_who_is_stopped_does_not_wait_longer_than_two_seconds_for_a_dead_server() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "first")
        await asyncio.sleep(1)
        await made.create_unit("u1")

        async def hang(method: str, path: str, body: Object) -> str:
            await asyncio.sleep(3600)
            return ""

        first.recorder.fault = hang
        await asyncio.sleep(0.1)
        began = made.clock()
        await first.stop()
        # And two more for the Lease, which cannot be released either.
        assert 2 <= made.clock() - began < 4.5

    play(story)


def test_who_lost_the_lead_writes_nothing_of_what_is_queued() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "first", writes={"max_in_flight": 4})
        await asyncio.sleep(1)

        async def slow(method: str, path: str, body: Object) -> str:
            await asyncio.sleep(2 if "/queueunits/" in path else 0)
            return ""

        first.recorder.fault = slow
        for number in range(12):
            await made.create_unit(f"u{number:02}")
        lease = await made.user.get(LEASES, "kube-queue", "kube-queue-controller")
        lease["spec"] |= {"holderIdentity": "another", "leaseDurationSeconds": 3600}
        # It learns of this at its next renewal, in a second; its first writes would land later.
        await made.user.replace(LEASES, lease)
        await asyncio.sleep(20)
        assert await made.admitted() == set()
        await first.stop()

    play(story)


def test_a_restart_under_the_same_identity_goes_on_at_once() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "same")
        await asyncio.sleep(1)

        async def silent(method: str, path: str, body: Object) -> str:
            return "lose-before"

        first.recorder.fault = silent
        await first.stop()
        again = Controller(made, "same")
        await made.create_unit("u1")
        await asyncio.sleep(0.5)
        assert await made.admitted() == {"u1"}
        await again.stop()

    play(story)


def test_who_lost_the_lead_stops_writing_and_stands_by() -> None:
    async def story(made: World) -> None:
        first = Controller(made, "first")
        await asyncio.sleep(1)
        second = Controller(made, "second")
        await asyncio.sleep(1)

        async def no_lease(method: str, path: str, body: Object) -> str:
            return "lose-before" if "/leases" in path else ""

        first.recorder.fault = no_lease
        await asyncio.sleep(40)
        assert await holder(made) == "second"
        before = first.wrote
        for number in range(20):
            await made.create_unit(f"u{number}")
        await asyncio.sleep(10)
        assert len(await made.admitted()) == 20
        assert first.wrote == before
        assert first.ready == 1

        async def no_fault(method: str, path: str, body: Object) -> str:
            return ""

        # It takes part again: when the other goes, it leads, and knows what happened meanwhile.
        first.recorder.fault = no_fault
        await second.stop()
        await made.create_unit("late")
        await asyncio.sleep(20)
        assert "late" in await made.admitted()
        admitted = [w.path for w in (*first.recorder.writes, *second.recorder.writes) if w.admits]
        assert len(admitted) == len(set(admitted)) == 21
        await first.stop()

    play(story)
