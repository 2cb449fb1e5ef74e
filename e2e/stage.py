"""A world with units in every phase at once, each kept there until the scenario moves it on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from e2e.invariants import Ledger
from e2e.jobs import Object, annotated, job, nowhere
from e2e.steps import (
    answer_check,
    follow_units,
    keep_pods,
    see_evicted,
    see_phase,
)
from e2e.trees import leaf, namespace, queue, quota_tree
from e2e.world import World

KINDS: Final = (
    "done",
    "running",
    "waiting",
    "reserved",
    "backoff",
    "dequeued",
    "leaving",
    "claiming",
)
"""What the jobs of a stage are called: `leaving` are being evicted for `claiming`."""
PHASES: Final = {
    "done": "Succeed",
    "running": "Running",
    "waiting": "Enqueued",
    "reserved": "Reserved",
    "backoff": "TimeoutBackoff",
    "dequeued": "Dequeued",
    "leaving": "Running",
    "claiming": "Enqueued",
}
ROOM: Final = "kube-queue.example/room"
"""The label of a node on which the pods of `dequeued` can run."""
FOREVER: Final = 3600.0
SHORT: Final = 1.0
WITHIN: Final = 60.0
_CHECKED: Final = "checked"
_LEAVES: Final = ("plain", "checked", "stuck", "owner", "borrower")
_NAMESPACES: Final = {
    "done": "plain",
    "running": "plain",
    "waiting": "plain",
    "reserved": "checked",
    "backoff": "checked",
    "dequeued": "stuck",
    "leaving": "borrower",
    "claiming": "owner",
}


class Stage:
    """So many jobs of each kind, in the phase that belongs to it."""

    def __init__(self, world: World, each: int) -> None:
        self._world = world
        self._each = each
        self.tree = _tree(each)

    def names(self, *kinds: str) -> tuple[str, ...]:
        """The jobs of these kinds."""
        return tuple(f"{kind}-{index:02}" for kind in kinds for index in range(self._each))

    async def build(self) -> Ledger:
        """Every job is in its phase; the ledger has followed them from the beginning."""
        world = self._world
        await world.apply(*(namespace(name) for name in _LEAVES))
        await world.apply(queue(_CHECKED, checks=["budget"]))
        ledger = await follow_units(world, self.tree)
        await self._apply("done", "dequeued", "leaving", "reserved", "backoff")
        await self._see("done", "dequeued", "leaving", "reserved")
        await see_phase(world, "Reserved", *self.names("backoff"), within=WITHIN)
        await self._apply("running")
        await self._see("running")
        await keep_pods(world, *self.names("leaving"))
        await self._apply("waiting", "claiming")
        await see_evicted(world, *self.names("leaving"))
        await self.answer("Retry", "backoff")
        await self._see(*KINDS)
        ledger.check()
        return ledger

    async def answer(self, state: str, *kinds: str) -> None:
        """The checks of these jobs say this."""
        await asyncio.gather(
            *(answer_check(self._world, name, state) for name in self.names(*kinds))
        )

    async def _apply(self, *kinds: str) -> None:
        manifests = [_job(kind, name) for kind in kinds for name in self.names(kind)]
        await asyncio.gather(*(self._world.apply(one) for one in manifests))

    async def _see(self, *kinds: str) -> None:
        for kind in kinds:
            await see_phase(self._world, PHASES[kind], *self.names(kind), within=WITHIN)


def namespace_of(name: str) -> str:
    """Where this job of a stage is."""
    return _NAMESPACES[name.partition("-")[0]]


def kind_of(name: str) -> str:
    """Which of KINDS this job is of."""
    return name.partition("-")[0]


def _job(kind: str, name: str) -> Object:
    seconds = FOREVER if kind in ("running", "leaving") else SHORT
    made = job(name, "100m", seconds=seconds, namespace=_NAMESPACES[kind])
    if kind == "dequeued":
        return nowhere(made, ROOM)
    return annotated(made, queue=_CHECKED) if kind in ("reserved", "backoff") else made


def _tree(each: int) -> Object:
    """Room for one kind in `plain`; what `borrower` uses there belongs to `owner`."""
    one, two = {"cpu": f"{each * 100}m"}, {"cpu": f"{each * 200}m"}
    nothing = {"cpu": "0"}
    family: Object = {
        "name": "family",
        "max": one,
        "children": [leaf("owner", one, one), leaf("borrower", one, nothing)],
    }
    return quota_tree(
        {"cpu": f"{each * 500}m"},
        leaf("plain", one, nothing),
        leaf("checked", two, nothing),
        leaf("stuck", one, nothing),
        family,
    )


def phases_of(names: Sequence[str]) -> dict[str, str]:
    """The phase in which a stage leaves each of these jobs."""
    return {name: PHASES[kind_of(name)] for name in names}
