"""`python -m e2e.faults`: jobs of three teams under an API server that fails on purpose.

The queue controller, the job side and the simulator each meet refusals, lost answers, writes that
are carried out twice, and watches that break, for as long as jobs arrive and run. Nothing may be
admitted twice, lost, or charged wrongly. On virtual time, where a seed is one run, the same every
time; with `--http` over sockets and on the wall clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from e2e.chaos import CPU, SETTINGS, TEAMS, some_job
from e2e.invariants import Broken, Ledger, check_pairs, check_status
from e2e.jobs import FINISHED, phase
from e2e.trees import borrowing, namespace
from e2e.world import KINDS, Seen
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, QUEUE_UNITS, TFJOBS
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.faults import FaultPlan, FaultyServer
from kube_queue.apiserver.http import serve
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.install import install
from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from kube_queue.kube.credentials import Credentials, FixedAuthorization
from kube_queue.kube.informer import Informer
from kube_queue.kube.transport import HttpTransport, Transport
from kube_queue.observability.log import configure_log
from kube_queue.simulator.profile import profile_named
from kube_queue.simulator.run import run_simulator

Object = dict[str, Any]
ARRIVALS = 0.6
"""Seconds between two jobs, on average."""
CALM = 0.01
LONGEST = 3600.0
"""Seconds after the last job by which all have ended; on the wall clock LONGEST_WALL."""
LONGEST_WALL = 300.0
SETTLED_WITHIN = 700
"""Seconds: a controller whose watch has fallen silent notices after ten minutes."""


@dataclass(frozen=True, slots=True)
class Ordeal:
    """How much of it; `seed` decides the rest. `share` of requests meet a fault."""

    seed: int
    jobs: int
    share: float


@dataclass(slots=True)
class Outcome:
    """What was seen of one ordeal."""

    ledger: Ledger
    met: Counter[str]
    seconds: float
    log: list[str] = field(default_factory=list)
    """Every change of a unit's phase, for comparing two runs."""


async def endure(
    asked: Ordeal,
    server: ApiServer,
    faulty: FaultyServer,
    connect: Callable[[], Transport],
    clock: Callable[[], float],
    within: float,
) -> Outcome:
    """The jobs were queued and have run while requests failed. Raises Broken."""
    calm = Client(InProcessTransport(server))
    await install(calm, operators=True)
    for team in TEAMS:
        await _apply(calm, namespace(team))
    tree = borrowing(str(CPU), *TEAMS.items())
    await _apply(calm, tree)
    outcome = Outcome(Ledger(tree), faulty.met, clock())
    units = Informer(calm, QUEUE_UNITS, Seen.of, rng=random.Random(0))
    units.add_handler(lambda old, new: _see(outcome, old, new))
    async with _running([units.run(), *_parts(asked, connect, clock)]) as ended:
        await _submit(calm, asked)
        async with _at_most(within, units, asked):
            while not _all_over(units, asked):
                ended()
                outcome.ledger.check()
                await asyncio.sleep(1.0)
        await _see_settled(calm, outcome.ledger, ended)
        await _judge(calm, outcome.ledger, asked)
    await calm.close()
    outcome.seconds = clock() - outcome.seconds
    return outcome


def _parts(
    asked: Ordeal, connect: Callable[[], Transport], clock: Callable[[], float]
) -> list[Coroutine[Any, Any, None]]:
    settings = Settings().replaced(
        serving={"enabled": False}, jobs={"enabled_extensions": LOCAL_EXTENSIONS}, **SETTINGS
    )

    def chance(name: str) -> random.Random:
        return random.Random(f"{asked.seed}/{name}")

    return [
        run_simulator(
            Client(connect()), profile_named("default"), clock=clock, rng=chance("simulator")
        ),
        run_controller(Client(connect()), settings, clock=clock, rng=chance("controller")),
        run_job_extensions(Client(connect()), settings, clock=clock, rng=chance("jobs")),
    ]


@contextlib.asynccontextmanager
async def _running(
    work: Sequence[Coroutine[Any, Any, None]],
) -> AsyncIterator[Callable[[], None]]:
    """The work goes on inside the block; what is yielded raises when some of it has ended."""
    tasks = [asyncio.ensure_future(one) for one in work]

    def check() -> None:
        for task in tasks:
            if task.done():
                task.result()
                raise Broken("a part of the system ended by itself")

    try:
        yield check
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _submit(calm: Client, asked: Ordeal) -> None:
    chance = random.Random(f"{asked.seed}/arrivals")
    for index in range(asked.jobs):
        await _apply(calm, some_job(index, chance))
        await asyncio.sleep(chance.uniform(0.0, 2 * ARRIVALS))


async def _apply(calm: Client, manifest: Object) -> None:
    await calm.create(KINDS[manifest["kind"]], manifest, manifest["metadata"].get("namespace", ""))


@contextlib.asynccontextmanager
async def _at_most(within: float, units: Informer[Seen], asked: Ordeal) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        left = [one.whole for one in units.values() if not _is_over(one.whole)]
        shown = ", ".join(
            f"{one['spec']['consumerRef']['name']} {one.get('status', {}).get('phase')} "
            f"{one.get('status', {}).get('message', '')}"
            for one in left[:8]
        )
        raise Broken(
            f"{len(units)} units of {asked.jobs} jobs after {within:.0f} s, {len(left)} not over: "
            f"{shown}"
        ) from None


def _is_over(unit: Object) -> bool:
    # A scheduler whose watch is silent fills nodes that are full: kubelets refuse the pods, as
    # they do everywhere, and such a job fails. It has been queued and released all the same.
    return unit.get("status", {}).get("phase") in FINISHED


def _all_over(units: Informer[Seen], asked: Ordeal) -> bool:
    return len(units) == asked.jobs and all(_is_over(one.whole) for one in units.values())


def _see(outcome: Outcome, old: Seen | None, new: Seen | None) -> None:
    before, after = (None if one is None else one.whole for one in (old, new))
    outcome.ledger.unit_seen(before, after)
    seen = new or old
    assert seen is not None
    outcome.log.append(f"{seen.name} {seen.resource_version} {phase_of(before)} {phase_of(after)}")


def phase_of(unit: Object | None) -> str:
    """The phase of a unit; `none` where there is no unit."""
    if unit is None:
        return "none"
    return phase([unit], unit["spec"]["consumerRef"]["name"])


async def _see_settled(calm: Client, ledger: Ledger, ended: Callable[[], None]) -> None:
    """The tree's status comes to say that nothing is used."""
    for _ in range(SETTLED_WITHIN):
        ended()
        tree = (await calm.list(ELASTIC_QUOTA_TREES))[0]
        with contextlib.suppress(Broken):
            check_status(tree, ledger)
            return
        await asyncio.sleep(1.0)
    check_status(tree, ledger)


async def _judge(calm: Client, ledger: Ledger, asked: Ordeal) -> None:
    ledger.check()
    ledger.check_evictions()
    jobs = [*await calm.list(JOBS), *await calm.list(TFJOBS)]
    check_pairs(jobs, await calm.list(QUEUE_UNITS))
    often = {uid: count - ledger.returns[uid] for uid, count in ledger.admissions.items()}
    if set(often.values()) != {1} or len(often) != asked.jobs:
        raise Broken(f"{len(often)} of {asked.jobs} jobs were admitted once and for all")


def play_virtual(asked: Ordeal) -> Outcome:
    """The ordeal on virtual time, in this process. Raises Broken."""

    async def main() -> Outcome:
        clock = virtual_clock()
        server = ApiServer(clock=clock, rng=random.Random(f"{asked.seed}/server"))
        chance = random.Random(f"{asked.seed}/faults")
        faulty = FaultyServer(server, FaultPlan.evenly(asked.share), chance)
        try:
            return await endure(
                asked, server, faulty, lambda: InProcessTransport(faulty), clock, LONGEST
            )
        finally:
            await server.close()

    return run_virtual(main())


async def play_http(asked: Ordeal) -> Outcome:
    """The ordeal over sockets and on the wall clock. Raises Broken."""
    server = ApiServer(clock=time.time, rng=random.Random(asked.seed))
    chance = random.Random(f"{asked.seed}/faults")
    # Minutes of silence pass quickly on virtual time only.
    plan = replace(FaultPlan.evenly(asked.share), silent=False)
    faulty = FaultyServer(server, plan, chance)
    running = await serve(faulty, token="secret")
    credentials = Credentials(running.url, FixedAuthorization("Bearer secret"))
    try:
        return await endure(
            asked, server, faulty, lambda: HttpTransport(credentials), time.time, LONGEST_WALL
        )
    finally:
        await running.close()
        await server.close()


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many runs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first")
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.05, help="of requests that meet a fault")
    parser.add_argument("--http", action="store_true", help="over sockets, on the wall clock")
    options = parser.parse_args()
    configure_log(level="error", form="console", clock=time.time)
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        asked = Ordeal(seed, options.jobs, options.share)
        began = time.perf_counter()
        try:
            outcome = asyncio.run(play_http(asked)) if options.http else play_virtual(asked)
        except Broken as why:
            failed += 1
            print(f"seed {seed}: {why}", flush=True)
            continue
        met = ", ".join(f"{name} {count}" for name, count in sorted(outcome.met.items()) if count)
        print(
            f"seed {seed}: {asked.jobs} jobs in {outcome.seconds:.0f} s "
            f"({time.perf_counter() - began:.0f} s here), {len(outcome.ledger.evictions)} evicted; "
            f"{met}: all held",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
