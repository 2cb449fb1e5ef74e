"""`python -m e2e.gang_chaos`: kill -9 of the co-scheduler at seeded moments in the middle of gangs.

Gangs come one after the other, more than the nodes hold at a time. Of each the scheduler is allowed
to bind some members and not all that are needed; the next binding is lost, or taken without an
answer; then the scheduler is killed, and another one goes on. The seed decides the gangs, how far
each gets, and what becomes of the binding in between.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.backends.embedded import EmbeddedBackend
from e2e.coscheduling import gang
from e2e.invariants import Broken
from e2e.own_scheduler import NAME, Fault, OwnScheduler, own_scheduler
from e2e.placements import FINISHED, Placements, of_gang, phase_of
from e2e.world import Unmet, World
from kube_queue.api.types import PODS

TRIED_WITHIN = 60.0
ENDED_WITHIN = 300.0
RUN_SECONDS = (0.5, 3.0)


@dataclass(frozen=True, slots=True)
class Torment:
    """How much of it; `seed` decides the rest."""

    kills: int
    seed: int


@dataclass(slots=True)
class Limit:
    """Lets so many bindings of one gang through; the next one has a fault, later ones are lost."""

    gang: str
    allowed: int
    fault: Fault
    seen: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, index: int, pod: str) -> Fault:
        """What becomes of the binding."""
        del index
        if pod.rpartition("-")[0] != self.gang:
            return Fault.NONE
        self.seen += 1
        if self.seen <= self.allowed:
            return Fault.NONE
        self.reached.set()
        return self.fault if self.seen == self.allowed + 1 else Fault.LOST


async def torment(world: World, asked: Torment) -> Counter[str]:
    """Submit gangs and kill in the middle of each; what the kills met. Raises Broken, Unmet."""
    chance = random.Random(asked.seed)
    placed = await Placements.of(world)
    met: Counter[str] = Counter()
    needed: dict[str, int] = {}
    async with own_scheduler(world) as scheduler:
        for number in range(asked.kills):
            name, minimum = f"gang{number:03}", chance.randint(3, 8)
            needed[name] = minimum
            members = minimum + chance.choice((0, 0, 1, 2))
            (template,) = gang(
                name,
                1,
                f"{chance.choice((500, 1000, 1500))}m",
                minimum=minimum,
                scheduler=NAME,
                seconds=chance.uniform(*RUN_SECONDS),
            )
            fault = chance.choice((Fault.LOST, Fault.UNANSWERED))
            taken = fault is Fault.UNANSWERED
            limit = Limit(name, chance.randint(0 if taken else 1, minimum - 2), fault)
            scheduler.proxy.judge = limit
            await world.apply(_job(name, members, template))
            met[await _kill(world, scheduler, limit, minimum)] += 1
            placed.check()
            check_none_failed(await world.objects(PODS))
        await _see_ended(world, needed)
    placed.check()
    return met


def _job(name: str, members: int, template: dict[str, Any]) -> dict[str, Any]:
    """A Job of so many pods at once: its uid tells its pods from those of other gangs."""
    pod = {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"parallelism": members, "completions": members, "template": pod},
    }


async def _kill(world: World, scheduler: OwnScheduler, limit: Limit, minimum: int) -> str:
    """The scheduler was killed once the gang had come so far, and another one has begun."""
    try:
        async with asyncio.timeout(TRIED_WITHIN):
            await limit.reached.wait()
    except TimeoutError:
        raise Unmet(f"{limit.gang} was not tried within {TRIED_WITHIN:.0f} s") from None
    await scheduler.kill()
    bound = [
        one for one in of_gang(await world.objects(PODS), limit.gang) if one["spec"].get("nodeName")
    ]
    if not 0 < len(bound) < minimum:
        raise Broken(f"{limit.gang}: {len(bound)} bound of {minimum}, which is not in the middle")
    scheduler.proxy.judge = lambda index, pod: Fault.NONE
    await scheduler.start()
    return limit.fault.name.lower()


def check_none_failed(pods: Sequence[dict[str, Any]]) -> None:
    """No pod was turned away by its node. Raises Broken."""
    failed = [one["metadata"]["name"] for one in pods if phase_of(one) == "Failed"]
    if failed:
        raise Broken(f"turned away by their nodes: {', '.join(failed[:5])}")


async def _see_ended(world: World, needed: dict[str, int]) -> None:
    """Every gang has run: none was left with some of its members."""

    def ended(pods: Sequence[dict[str, Any]]) -> bool:
        return bool(pods) and all(phase_of(one) in FINISHED for one in pods)

    try:
        await world.until(PODS, ended, "every pod has ended", within=ENDED_WITHIN)
    except Unmet:
        pods = await world.objects(PODS)
        partial = {
            name: len([one for one in of_gang(pods, name) if one["spec"].get("nodeName")])
            for name in needed
        }
        left = [f"{name}: {n} of {needed[name]}" for name, n in partial.items() if n < needed[name]]
        raise Broken(f"left partial: {', '.join(left) or 'members above the minimum'}") from None


async def run(asked: Torment) -> int:
    """One run on a fresh embedded cluster; the exit code is 1 when an invariant broke."""
    cluster = await EmbeddedBackend().start(environment={}, flags=("--no-scheduler",))
    began = time.perf_counter()
    try:
        async with World.on(cluster) as world:
            met = await torment(world, asked)
    except (Broken, Unmet) as why:
        print(f"seed {asked.seed}: {why}")
        return 1
    finally:
        await cluster.stop()
    how = ", ".join(f"the next binding {fault} {count}" for fault, count in sorted(met.items()))
    took = time.perf_counter() - began
    print(
        f"seed {asked.seed}: {asked.kills} kills in the middle of a gang ({how}) in {took:.0f} s: "
        "no pod was bound twice, no node overfilled, no gang left partial"
    )
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.gang_chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(run(Torment(options.kills, options.seed)))


if __name__ == "__main__":
    sys.exit(main())
