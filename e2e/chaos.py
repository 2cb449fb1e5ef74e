"""`python -m e2e.chaos`: kill -9 at seeded moments over a run of jobs, invariants after each kill.

Three teams share one quota: each borrows from the others and takes its own share back, so kills hit
evictions as well. Parts of kube-queue and the simulator are killed; the API server, whose memory
the objects are, is not. The seed decides the jobs, the victims and the pauses between kills.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.backends.base import settings_flags
from e2e.backends.embedded import EmbeddedBackend
from e2e.invariants import Broken, Ledger, check_pairs
from e2e.jobs import job, tfjob
from e2e.steps import follow_units, see_exact, see_phase
from e2e.trees import borrowing, namespace
from e2e.world import Unmet, World
from kube_queue.api.types import JOBS, QUEUE_UNITS, TFJOBS

PARTS = ("controller", "job-extensions", "simulator")
TEAMS = {"team-a": "4", "team-b": "4", "team-c": "2"}
CPU = 10
SETTINGS = {"controller": {"preemption_policy": "LowerPriority"}}


@dataclass(frozen=True, slots=True)
class Torment:
    """How much of it; `seed` decides the rest."""

    kills: int
    jobs: int
    seed: int


async def torment(world: World, asked: Torment) -> tuple[Counter[str], Ledger]:
    """Submit the jobs while killing; return the kills by part. Raises Broken, Unmet."""
    chance = random.Random(asked.seed)
    await world.apply(*(namespace(team) for team in TEAMS))
    ledger = await follow_units(world, borrowing(str(CPU), *TEAMS.items()))
    waiting = [some_job(index, chance) for index in range(asked.jobs)]
    names = [one["metadata"]["name"] for one in waiting]
    killed: Counter[str] = Counter()
    for count in range(asked.kills):
        while waiting and len(waiting) > asked.jobs * (1 - (count + 1) / asked.kills):
            await world.apply(waiting.pop(0))
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        part = chance.choice(PARTS)
        await world.kill(part)
        killed[part] += 1
        ledger.check()
        await _check_pairs(world, extra=asked.jobs)
    await see_phase(world, "Succeed", *names, within=180)
    ledger.check()
    ledger.check_evictions()
    await _check_pairs(world, extra=0)
    often = {uid: count - ledger.returns[uid] for uid, count in ledger.admissions.items()}
    if set(often.values()) != {1} or len(often) != asked.jobs:
        raise Broken(f"{len(often)} of {asked.jobs} jobs were admitted once and for all")
    await see_exact(world, ledger)
    return killed, ledger


async def _check_pairs(world: World, extra: int) -> None:
    every = [*await world.objects(JOBS), *await world.objects(TFJOBS)]
    check_pairs(every, await world.objects(QUEUE_UNITS), extra=extra)


def some_job(index: int, chance: random.Random) -> dict[str, Any]:
    seconds = chance.uniform(0.5, 3.0)
    team = chance.choice(tuple(TEAMS))
    if chance.random() < 0.5:
        return tfjob(
            f"tf-{index:03}", seconds=seconds, workers=chance.randint(1, 2), namespace=team
        )
    return job(
        f"job-{index:03}",
        str(chance.randint(1, 4)),
        seconds=seconds,
        namespace=team,
        priority=chance.choice((None, 5, 10)),
    )


async def run(asked: Torment) -> int:
    """One run on a fresh embedded cluster; the exit code is 1 when an invariant broke."""
    with tempfile.TemporaryDirectory(prefix="kube-queue-chaos-") as folder:
        flags = settings_flags(Path(folder), SETTINGS)
        cluster = await EmbeddedBackend().start(environment={}, flags=flags)
        began = time.perf_counter()
        try:
            async with World.on(cluster) as world:
                killed, ledger = await torment(world, asked)
        except (Broken, Unmet) as why:
            print(f"seed {asked.seed}: {why}")
            return 1
        finally:
            await cluster.stop()
    by_part = ", ".join(f"{part} {count}" for part, count in sorted(killed.items()))
    took = time.perf_counter() - began
    print(
        f"seed {asked.seed}: {asked.kills} kills ({by_part}) over {asked.jobs} jobs, "
        f"{len(ledger.evictions)} of them evicted, in {took:.0f} s: all held"
    )
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(run(Torment(options.kills, options.jobs, options.seed)))


if __name__ == "__main__":
    sys.exit(main())
