"""`python -m e2e.chaos`: kill -9 at seeded moments over a run of jobs, invariants after each kill.

Parts of kube-queue and the simulator are killed; the API server, whose memory the objects are, is
not. The seed decides the jobs, the victims and the pauses between kills.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any

from e2e.backends.embedded import EmbeddedBackend
from e2e.invariants import Broken, Ledger, check_pairs, check_status
from e2e.jobs import job, phase, tfjob
from e2e.trees import tree
from e2e.world import Unmet, World
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, QUEUE_UNITS, TFJOBS

PARTS = ("controller", "job-extensions", "simulator")
CPU = 8


async def torment(world: World, *, kills: int, jobs: int, seed: int) -> Counter[str]:
    """Submit the jobs while killing; return the kills by part. Raises Broken, Unmet."""
    chance = random.Random(seed)
    quota = tree(str(CPU), memory="64Gi")
    ledger = Ledger(quota)
    await world.apply(quota)
    await world.follow(QUEUE_UNITS, ledger.unit_seen)
    waiting = [_some_job(index, chance) for index in range(jobs)]
    names = [one["metadata"]["name"] for one in waiting]
    killed: Counter[str] = Counter()
    for count in range(kills):
        while waiting and len(waiting) > jobs * (1 - (count + 1) / kills):
            await world.apply(waiting.pop(0))
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        part = chance.choice(PARTS)
        await world.kill(part)
        killed[part] += 1
        ledger.check()
        every = [*await world.objects(JOBS), *await world.objects(TFJOBS)]
        check_pairs(every, await world.objects(QUEUE_UNITS), extra=jobs)
    await world.until(
        QUEUE_UNITS,
        lambda units: all(phase(units, name) == "Succeed" for name in names),
        f"all {jobs} jobs succeeded",
        within=120,
    )
    ledger.check()
    every = [*await world.objects(JOBS), *await world.objects(TFJOBS)]
    check_pairs(every, await world.objects(QUEUE_UNITS))
    if set(ledger.admissions.values()) != {1} or len(ledger.admissions) != jobs:
        raise Broken(f"{len(ledger.admissions)} of {jobs} jobs were admitted")
    await world.until(
        ELASTIC_QUOTA_TREES, lambda trees: _agrees(trees[0], ledger), "the tree's status agrees"
    )
    return killed


def _some_job(index: int, chance: random.Random) -> dict[str, Any]:
    seconds = chance.uniform(0.5, 3.0)
    if chance.random() < 0.5:
        return tfjob(f"tf-{index:03}", seconds=seconds, workers=chance.randint(1, 2))
    return job(
        f"job-{index:03}",
        str(chance.randint(1, 4)),
        seconds=seconds,
        priority=chance.choice((None, 5, 10)),
    )


def _agrees(seen: dict[str, Any], ledger: Ledger) -> bool:
    try:
        check_status(seen, ledger)
    except Broken:
        return False
    return True


async def run(kills: int, jobs: int, seed: int) -> int:
    """One run on a fresh embedded cluster; the exit code is 1 when an invariant broke."""
    cluster = await EmbeddedBackend().start(environment={}, flags=())
    began = time.perf_counter()
    try:
        async with World.on(cluster) as world:
            killed = await torment(world, kills=kills, jobs=jobs, seed=seed)
    except (Broken, Unmet) as why:
        print(f"seed {seed}: {why}")
        return 1
    finally:
        await cluster.stop()
    by_part = ", ".join(f"{part} {count}" for part, count in sorted(killed.items()))
    took = time.perf_counter() - began
    print(f"seed {seed}: {kills} kills ({by_part}) over {jobs} jobs in {took:.0f} s: all held")
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(run(options.kills, options.jobs, options.seed))


if __name__ == "__main__":
    sys.exit(main())
