"""`python -m e2e.durability`: kill -9 of an API server with `--data-dir` under 16 writers.

After every restart each acknowledged write is there and nothing acknowledged as deleted is back;
whatever a watch has shown is there; versions have not gone back. Only the one request that a writer
had in flight may have happened or not. The seed decides the writes and the moments; some kills hit
a server that is still starting.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

WRITERS = 16
OBJECTS = 8
"""Names that each writer creates, changes and deletes."""
EARLY = 0.2
"""How often a server is killed before it serves."""
READY_WITHIN = 60.0
MERGE = {"Content-Type": "application/merge-patch+json"}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "marks.durability.kube-queue"},
    "spec": {
        "group": "durability.kube-queue",
        "scope": "Namespaced",
        "names": {"plural": "marks", "kind": "Mark"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "data": {
                                "type": "object",
                                "properties": {"value": {"type": "string"}},
                            }
                        },
                    }
                },
            }
        ],
    },
}
PLACES = (
    ("/api/v1/namespaces/default/configmaps", "v1", "ConfigMap"),
    ("/apis/durability.kube-queue/v1/namespaces/default/marks", "durability.kube-queue/v1", "Mark"),
)
Gone = (aiohttp.ClientError, ConnectionError, TimeoutError)


class Broken(Exception):
    """A promise was not kept: one sentence."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of one object, as the server told it."""

    value: str
    uid: str
    created: str
    version: int

    @classmethod
    def of(cls, whole: dict[str, Any]) -> Seen:
        metadata = whole["metadata"]
        return cls(
            whole.get("data", {}).get("value", ""),
            metadata["uid"],
            metadata["creationTimestamp"],
            int(metadata["resourceVersion"]),
        )


@dataclass(slots=True)
class Writer:
    """Writes one thing after another, and remembers what was acknowledged."""

    number: int
    chance: random.Random
    known: dict[str, Seen] = field(default_factory=dict)
    flying: tuple[str, str | None] | None = None
    """Name and value of the request without an answer; None: a deletion."""
    acknowledged: int = 0

    async def write(self, session: aiohttp.ClientSession) -> None:
        """Go on until the server is gone."""
        with contextlib.suppress(*Gone):
            while True:
                await self._once(session)

    async def _once(self, session: aiohttp.ClientSession) -> None:
        path, api_version, kind = PLACES[self.number % len(PLACES)]
        name = f"w{self.number}-{self.chance.randrange(OBJECTS)}"
        value = f"{self.chance.getrandbits(64):x}" * self.chance.randint(1, 40)
        if name not in self.known:
            whole = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
            self.flying = (name, value)
            asked = session.post(path, json={**whole, "data": {"value": value}})
        elif self.chance.random() < 0.3:
            self.flying = (name, None)
            asked = session.delete(f"{path}/{name}")
        else:
            self.flying = (name, value)
            change = json.dumps({"data": {"value": value}})
            asked = session.patch(f"{path}/{name}", data=change, headers=MERGE)
        async with asked as answer:
            body = await answer.json()
        if answer.status >= 300:
            raise Broken(f"{name} was refused with {answer.status}: {body.get('message')}")
        if self.flying[1] is None:
            del self.known[name]
        else:
            self.known[name] = Seen.of(body)
        self.flying = None
        self.acknowledged += 1

    def check(self, found: dict[str, Seen], shown: dict[str, tuple[str | None, int]]) -> None:
        """What the server holds now is what this writer was told; Broken says what is not."""
        mine = {name: one for name, one in found.items() if name.startswith(f"w{self.number}-")}
        if self.flying is not None:
            name, value = self.flying
            before, now = self.known.get(name), mine.get(name)
            told, version = shown.get(name, ("", 0))
            seen = told == value and (before is None or version > before.version)
            happened = now is None if value is None else now is not None and now.value == value
            if seen and not happened:
                raise Broken(f"a watch has shown {name}, and it is lost")
            if happened:
                self.known.pop(name, None)
                if now is not None:
                    if before is not None and before.uid != now.uid:
                        raise Broken(f"{name} has another uid")
                    self.known[name] = now
            self.flying = None
        for name in self.known.keys() | mine.keys():
            if self.known.get(name) != mine.get(name):
                raise Broken(f"{name} was {self.known.get(name)}, and is {mine.get(name)}")


@dataclass(slots=True)
class Server:
    """One life of the API server."""

    process: asyncio.subprocess.Process
    url: str

    @classmethod
    async def start(cls, folder: Path, kill_after: float | None) -> Server | None:
        """A server that serves, or None when it was killed first. Raises Broken."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "kube_queue.apiserver", "--data-dir", str(folder)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        line = b""
        try:
            async with asyncio.timeout(kill_after or READY_WITHIN):
                line = await process.stdout.readline()
        except TimeoutError:
            if kill_after is not None:
                process.kill()
                await process.wait()
                return None
        if not line:
            said = (await process.stderr.read()).decode().strip().splitlines()
            raise Broken(f"the server does not start: {said[-1] if said else 'it says nothing'}")
        return cls(process, line.decode().strip())

    async def kill(self) -> None:
        """It is gone as by kill -9."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Torment:
    """Writers, their memory, and the server that is killed under them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.writers = [Writer(n, random.Random(f"{seed}/{n}")) for n in range(WRITERS)]
        self.shown: dict[str, tuple[str | None, int]] = {}
        """What watches have shown last: value (None: deleted) and version."""
        self.highest = 0
        self.defined = False

    async def life(self) -> None:
        """One start, a check, some writes, and the kill. Raises Broken."""
        early = self.chance.uniform(0.05, 1.0) if self.chance.random() < EARLY else None
        server = await Server.start(self.folder, early)
        if server is None:
            return
        try:
            async with aiohttp.ClientSession(server.url) as session:
                versions = await self.check(session)
                tasks = [asyncio.create_task(one.write(session)) for one in self.writers]
                tasks += [
                    asyncio.create_task(self._watch(session, place[0], version))
                    for place, version in zip(PLACES, versions, strict=True)
                ]
                await asyncio.sleep(self.chance.uniform(0.02, 1.0))
                await server.kill()
                await asyncio.gather(*tasks)
        finally:
            await server.kill()

    async def check(self, session: aiohttp.ClientSession) -> list[int]:
        """Everything is as promised; the versions of the lists."""
        async with session.post(DEFINITIONS, json=DEFINITION) as answer:
            if answer.status != (409 if self.defined else 201):
                raise Broken(f"the definition: {answer.status} {await answer.text()}")
        self.defined = True
        found: dict[str, Seen] = {}
        versions = []
        for path, _, _ in PLACES:
            async with session.get(path) as answer:
                listed = await answer.json()
            versions.append(int(listed["metadata"]["resourceVersion"]))
            found |= {one["metadata"]["name"]: Seen.of(one) for one in listed["items"]}
        for writer in self.writers:
            writer.check(found, self.shown)
        known = [one.version for writer in self.writers for one in writer.known.values()]
        self.highest = max([self.highest, *known])
        if versions[0] < self.highest:
            raise Broken(f"version {self.highest} was told, and now it is {versions[0]}")
        return versions

    async def _watch(self, session: aiohttp.ClientSession, path: str, version: int) -> None:
        query = {"watch": "true", "resourceVersion": str(version)}
        with contextlib.suppress(*Gone):
            async for event in _events(session, path, query):
                seen = Seen.of(event["object"])
                value = None if event["type"] == "DELETED" else seen.value
                self.shown[event["object"]["metadata"]["name"]] = (value, seen.version)
                self.highest = max(self.highest, seen.version)


async def _events(
    session: aiohttp.ClientSession, path: str, query: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    async with session.get(path, params=query) as answer:
        async for line in answer.content:
            yield json.loads(line)


async def run(kills: int, seed: int) -> int:
    """The kills on a fresh folder; the exit code is 1 when a promise was broken."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kube-queue-durability-") as folder:
        torment = Torment(Path(folder), seed)
        try:
            for _ in range(kills):
                await torment.life()
            server = await Server.start(torment.folder, None)
            assert server is not None
            async with aiohttp.ClientSession(server.url) as session:
                await torment.check(session)
            await server.kill()
        except Broken as why:
            print(f"seed {seed}: {why}")
            return 1
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    acknowledged = sum(writer.acknowledged for writer in torment.writers)
    print(
        f"seed {seed}: {kills} kills under {WRITERS} writers, {acknowledged} acknowledged writes "
        f"in {time.perf_counter() - began:.0f} s, {size >> 10} KiB on disk: nothing was lost"
    )
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m e2e.durability", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(run(options.kills, options.seed))


if __name__ == "__main__":
    sys.exit(main())
