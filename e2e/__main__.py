"""`python -m e2e`: play the scenarios on a back end and say which held."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from e2e import skips
from e2e.backends.base import (
    Backend,
    BackendFailed,
    Lasting,
    RunningCluster,
    Unavailable,
    settings_flags,
)
from e2e.backends.embedded import EmbeddedBackend
from e2e.backends.kind import KindBackend
from e2e.backends.kubernetes import KubernetesBackend
from e2e.backends.node import NodeBackend
from e2e.scenario import Scenario, all_scenarios
from e2e.world import Unmet, World

BACKENDS: dict[str, Callable[[], Backend]] = {
    "embedded": EmbeddedBackend,
    "kind": KindBackend,
    "kubernetes": KubernetesBackend,
    "node": NodeBackend,
}
ALONE = ("kind", "node")
"""Of these a machine has one at a time."""
LAST_LINES, LONGEST_LINE = 40, 300
"""So much of a log is shown where a scenario did not hold."""
HELD, FAILED, SKIPPED = "ok", "FAIL", "SKIP"


async def play(backend: Backend, scenario: Scenario) -> str:
    """Play one scenario on a fresh cluster; an empty answer means that it held."""
    with tempfile.TemporaryDirectory(prefix="kube-queue-e2e-") as folder:
        return await _play(backend, scenario, settings_flags(Path(folder), scenario.settings))


async def _play(backend: Backend, scenario: Scenario, flags: tuple[str, ...]) -> str:
    said: list[str] = []

    async def whole() -> None:
        cluster = await backend.start(
            environment=scenario.environment, flags=flags, needs=scenario.needs
        )
        try:
            why = await _why_not(_until_over(scenario, cluster))
            said.extend([why, *_last_words(cluster)] if why else ())
        finally:
            said.append(await _why_not(cluster.stop()))

    said.append(await _why_not(whole()))
    return "\n".join(filter(None, said))


def _last_words(cluster: RunningCluster) -> Iterator[str]:
    """The ends of the logs, for whoever has to find out why a scenario did not hold."""
    for part, lines in cluster.said().items():
        yield f"the last of {part}'s log:"
        for line in lines[-LAST_LINES:]:
            yield f"    {line[:LONGEST_LINE]}"


async def _until_over(scenario: Scenario, cluster: RunningCluster) -> None:
    limit = asyncio.timeout(scenario.within)
    try:
        async with World.on(cluster) as world, limit:
            await scenario.play(world)
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unmet(f"not over within {scenario.within:.0f} s") from None


async def _why_not(step: Coroutine[Any, Any, None]) -> str:
    """Why the step was not carried out, whatever it raised; empty if it was."""
    try:
        await step
    except (Unmet, BackendFailed) as sentence:
        return str(sentence)
    except AssertionError:
        return traceback.format_exc(limit=-2)
    except Exception:  # noqa: BLE001 -- one scenario's fault must not keep others from their verdict
        return traceback.format_exc()
    return ""


async def run(rooms: Sequence[Backend], chosen: list[Scenario]) -> int:
    """Play them, one at a time on each of these back ends, which are of one kind.

    The exit code is 1 when one did not hold or a skip is wrong.
    """
    name, has = rooms[0].name, rooms[0].has
    unlisted = skips.wrong(name, has, all_scenarios())
    for sentence in unlisted:
        print(f"FAIL  {sentence}", flush=True)
    free: asyncio.Queue[Backend] = asyncio.Queue()
    for room in rooms:
        free.put_nowait(room)
    verdicts = await asyncio.gather(*(_judge(free, name, has, one) for one in chosen))
    held, failed, skipped = (verdicts.count(one) for one in (HELD, FAILED, SKIPPED))
    print(f"{held} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or unlisted else 0


async def _judge(
    free: asyncio.Queue[Backend], name: str, has: frozenset[str], scenario: Scenario
) -> str:
    reason = skips.skipped(name, has, scenario)
    if reason:
        print(f"{SKIPPED}  {scenario.number:<5} {reason}", flush=True)
        return SKIPPED
    room = await free.get()
    try:
        began = time.perf_counter()
        why = await play(room, scenario)
        took = time.perf_counter() - began
    finally:
        free.put_nowait(room)
    verdict = FAILED if why else HELD
    print(f"{verdict:<5} {scenario.number:<5} {took:6.1f}s  {scenario.promise}", flush=True)
    if why:
        print("      " + why.replace("\n", "\n      "), flush=True)
    return verdict


async def _run_and_close(rooms: Sequence[Backend], chosen: list[Scenario]) -> int:
    try:
        return await run(rooms, chosen)
    finally:
        for room in rooms:
            if isinstance(room, Lasting):
                await room.close()


def main() -> int:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(prog="python -m e2e", description=__doc__)
    parser.add_argument("--backend", choices=sorted(BACKENDS), default="embedded")
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="play so many at a time (default: 1)"
    )
    parser.add_argument(
        "--late",
        type=int,
        metavar="SEED",
        help="the embedded cluster's answers and watches are late at random",
    )
    parser.add_argument("--list", action="store_true", help="print the scenarios and leave")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER", help="scenarios to play, e.g. Q1")
    options = parser.parse_args()
    scenarios = all_scenarios()
    if options.list:
        for one in scenarios:
            print(f"{one.number:<5} {one.promise}")
        return 0
    unknown = set(options.numbers) - {one.number for one in scenarios}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; see --list")
    if options.late is not None and options.backend != EmbeddedBackend.name:
        parser.error(f"--late is for --backend {EmbeddedBackend.name} only")
    chosen = [one for one in scenarios if not options.numbers or one.number in options.numbers]
    try:
        make: Callable[[], Backend] = BACKENDS[options.backend]
        if options.late is not None:
            make = partial(EmbeddedBackend, late=options.late)
        at_once = 1 if options.backend in ALONE else options.at_once
        return asyncio.run(_run_and_close([make() for _ in range(at_once)], chosen))
    except Unavailable as reason:
        print(f"--backend {options.backend} cannot be had here: {reason}", flush=True)
        return reason.code


if __name__ == "__main__":
    sys.exit(main())
