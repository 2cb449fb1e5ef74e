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
