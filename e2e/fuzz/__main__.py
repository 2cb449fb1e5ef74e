"""`python -m e2e.fuzz --requests N --seed S`: hostile callers against the embedded API server.

Each request is decided by the seed and its own number. The server must answer each with something
below 500 (501, 507 and the 504 for a version of the future are documented), in time; log nothing;
stay under the memory bound; and go on serving a well-behaved client beside it within `--patience`.
The first request that breaks a promise is printed with its number; `--start N --requests 1` sends
it alone, to a fresh server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from e2e.fuzz.broken import Broken, Lingerers, broken
from e2e.fuzz.connection import Connection, talk
from e2e.fuzz.idle import IdleWatches
from e2e.fuzz.neighbour import Neighbour
from e2e.fuzz.patience import Patience, starved
from e2e.fuzz.requests import Kinds, Request, an_object, request
from e2e.fuzz.server import TOKEN, Server, Unwell
from e2e.fuzz.values import encoded
from e2e.fuzz.watchdog import Watchdog

MEMORY_MB = 1024
PATIENCE = 10.0
WAITS = 60
"""How many times the patience anything may take, by the clock, before the run has hung."""
CALLERS = 12
TRIES = 25
TOLD = 20_000
"""A line says how far it is after so many requests."""
DEFINITIONS = Path(__file__).parents[2] / "crds"
_JSON = (("Content-Type", "application/json"),)
DOCUMENTED = (501, 504, 507)


@dataclass(frozen=True, slots=True)
class Options:
    """What to send and what to hold the server to."""

    requests: int
    seed: int
    start: int
    patience: float
    memory: int
    go_on: bool = False
    watches: int = 0


@dataclass(slots=True)
class Fuzz:
    """One run against one server."""

    server: Server
    kinds: Kinds
    asked: Options
    dog: Watchdog
    statuses: Counter[int] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=3 * CALLERS))
    slowest: tuple[float, str] = (0.0, "")
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Everything is sent. Raises Unwell."""
        self.patience = Patience(self.asked.patience, self._starved)
        self.numbers = itertools.count(self.asked.start)
        with self.dog.over("an object or two of every kind"):
            await self._furnish()
        idle = IdleWatches(self.server.port, self.patience)
        await idle.begin(self.asked.watches)
        lingerers = Lingerers(self.server.port, TOKEN)
        neighbour = Neighbour(self.server.port, TOKEN, self.patience)
        tasks = [asyncio.create_task(self._caller(lingerers)) for _ in range(CALLERS)]
        beside = [asyncio.create_task(self._watch_over()), asyncio.create_task(neighbour.run())]
        done = asyncio.gather(*tasks)
        try:
            ends: list[asyncio.Future[Any]] = [done, *beside]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                if end.done():
                    end.result()
            if self.broken:
                print(f"{self.broken} broken; its log:\n{self.server.said()}")
                raise Unwell(f"{self.broken} promises were broken, see above")
            self.watches = await idle.end()
            self.server.check(self.asked.memory)
        finally:
            for task in (*tasks, *beside):
                task.cancel()
            await asyncio.gather(done, *beside, return_exceptions=True)
            lingerers.close()
            idle.close()
        self.neighbour = neighbour.shown()

    patience: Patience = field(default_factory=lambda: Patience(PATIENCE))
    neighbour: str = ""
    broken: int = 0
    watches: int = 0
    """Idle watches that lived to the end."""

    def _starved(self) -> float:
        """Seconds in which the server or we ourselves waited for a processor."""
        return starved(self.server.process.pid) + starved(os.getpid())

    def _complain(self, why: str) -> None:
        if not self.asked.go_on:
            raise Unwell(why)
        self.broken += 1
        print(why[:1500], flush=True)

    async def _furnish(self) -> None:
        """There is an object or two of every kind, for what follows to meet."""
        connection = Connection(self.server.port)
        for served in self.kinds.served:
            rng = random.Random(f"{self.asked.seed}/{served.plural}")
            place = f"{served.root}/namespaces/default" if served.namespaced else served.root
            for _ in range(TRIES):
                body = encoded(an_object(rng, self.kinds, served))
                one = Request("POST", f"{place}/{served.plural}", _JSON, body)
                await connection.ask(one.encode(TOKEN), "POST")
        connection.close()

    async def _watch_over(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            try:
                self.server.check(self.asked.memory)
            except Unwell as why:
                if not self.asked.go_on or self.server.process.returncode is not None:
                    raise Unwell(f"{why}\nafter one of:\n" + "\n".join(self.recent)) from None

    async def _caller(self, lingerers: Lingerers) -> None:
        connection = Connection(self.server.port)
        end = self.asked.start + self.asked.requests
        try:
            while (number := next(self.numbers)) < end:
                if number % TOLD == 0 and number > self.asked.start:
                    print(f"request {number}, {self.server.memory()} MB so far", flush=True)
                with self.dog.over(f"request {number}"):
                    await self._one(number, lingerers, connection)
        finally:
            connection.close()

    async def _one(self, number: int, lingerers: Lingerers, connection: Connection) -> None:
        rng = random.Random(f"{self.asked.seed}/{number}")
        how = rng.random()
        if how < 0.01:
            await self._add(number, lingerers, rng)
        elif how < 0.1:
            await self._send_broken(number, broken(rng, TOKEN))
        else:
            await self._send(number, request(rng, self.kinds), connection)

    async def _add(self, number: int, lingerers: Lingerers, rng: random.Random) -> None:
        self.recent.append(f"request {number}: one that lingers")
        try:
            async with self.patience.limit():
                await lingerers.add(rng)
        except (TimeoutError, OSError) as why:
            self._complain(f"request {number}, one that lingers, was not let in: {why!r}")

    async def _send(self, number: int, one: Request, connection: Connection) -> None:
        shown = f"request {number}: {one.shown()}"
        self.recent.append(shown)
        began, cpu = time.perf_counter(), self.server.cpu()
        try:
            async with self.patience.limit():
                status, body = await connection.ask(one.encode(TOKEN), one.method)
        except TimeoutError:
            used = self.server.cpu() - cpu
            told = f"no answer within {self.asked.patience:g} s ({used:.1f} CPU s) to {shown}"
            if used > self.asked.patience / 4:
                recent = "\n".join(self.recent)
                raise Unwell(
                    f"{told}\nit was at: {await self.server.where()}\nafter {recent}"
                ) from None
            self._complain(told)
            return
        except (OSError, asyncio.IncompleteReadError, ValueError) as why:
            self._complain(f"{type(why).__name__} ({why}) instead of an answer to {shown}")
            return
        took = time.perf_counter() - began
        if took > self.slowest[0]:
            self.slowest = took, shown
        self.statuses[status] += 1
        if status >= 500 and status not in DOCUMENTED:
            self._complain(f"{status} {body[:500]!r} was the answer to {shown}")
        if status >= 400 and one.method != "HEAD" and not _is_status(body, status):
            self._complain(f"{status} {body[:500]!r}, no Status, was the answer to {shown}")

    async def _send_broken(self, number: int, one: Broken) -> None:
        self.recent.append(f"request {number}: {one.shown()}")
        try:
            async with self.patience.limit():
                answer = await talk(self.server.port, one)
        except TimeoutError:
            # It may wait for the rest; whether it waits too long is not seen here.
            answer = b""
        except OSError:
            self.statuses[0] += 1
            return
        for status in _status_lines(answer):
            self.statuses[status] += 1
            if status >= 500 and status not in (*DOCUMENTED, 505):
                self._complain(f"{status} was the answer to request {number}: {one.shown()}")


def _is_status(body: bytes, code: int) -> bool:
    if code == 400 and body and body[:1] != b"{":
        return True  # What is no HTTP is refused before it is a request.
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return bool(told.get("kind") == "Status" and told.get("code") == code)


def _status_lines(answer: bytes) -> list[int]:
    # An answer may quote the request it complains of, so what only looks like a status is none.
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


async def define(server: Server) -> None:
    """The custom kinds of this project are served as well."""
    connection = Connection(server.port)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for file in sorted(DEFINITIONS.glob("*.yaml")):
        for one in yaml.safe_load_all(file.read_text()):
            asked = Request("POST", path, _JSON, encoded(one))
            status, body = await connection.ask(asked.encode(TOKEN), "POST")
            if status != 201:
                raise Unwell(f"{file.name} was refused: {body!r}")
    connection.close()


async def fuzz(asked: Options) -> int:
    """One run on a fresh server; the exit code is 1 when a promise was broken."""
    began = time.perf_counter()
    task = asyncio.current_task()
    assert task is not None
    # Ended from outside, too, it takes its server with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="kube-queue-fuzz-") as folder:
        server = await Server.start(Path(folder))
        dog = Watchdog(WAITS * asked.patience, lambda told: _end(server, told))
        try:
            with dog.over("the custom kinds"):
                await define(server)
            run = Fuzz(server, Kinds.read(server.get), asked, dog)
            await run.run()
        except Unwell as why:
            print(f"seed {asked.seed}: {why}", flush=True)
            return 1
        finally:
            dog.call_off()
            await server.stop()
    took = time.perf_counter() - began
    answers = ", ".join(
        f"{status or 'cut'} {count}" for status, count in sorted(run.statuses.items())
    )
    print(
        f"seed {asked.seed}: {asked.requests} requests in {took:.0f} s, at most {server.peak} MB: "
        "all held\n"
        f"answers: {answers}\nidle watches to the end: {run.watches}\n"
        f"the neighbour: {run.neighbour}\n"
        f"the slowest took {run.slowest[0]:.2f} s: {run.slowest[1][:300]}"
    )
    return 0


def _end(server: Server, told: str) -> None:
    print(f"{told}\nthe server: {server.ended()}", flush=True)
    os._exit(1)  # The event loop may be what stands still.


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first request")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds it may take to answer"
    )
    parser.add_argument("--memory", type=int, default=MEMORY_MB, help="bound of its memory, in MB")
    parser.add_argument("--watches", type=int, default=0, help="idle watches beside the requests")
    parser.add_argument("--go-on", action="store_true", help="print every breach, do not stop")
    given = parser.parse_args()
    asked = Options(
        given.requests,
        given.seed,
        given.start,
        given.patience,
        given.memory,
        given.go_on,
        given.watches,
    )
    try:
        return asyncio.run(fuzz(asked))
    except asyncio.CancelledError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
