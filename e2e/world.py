"""The world a scenario plays in: its cluster's objects, steps upon them, and waits for events."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any, Self

import yaml

from e2e.backends.base import RunningCluster
from e2e.kinds import JOB_KINDS
from kube_queue.api import types
from kube_queue.api.types import ResourceType
from kube_queue.kube.client import Client
from kube_queue.kube.connection import connect
from kube_queue.kube.informer import Informer

Object = dict[str, Any]
KINDS = {
    **{one.kind: one for one in vars(types).values() if isinstance(one, ResourceType)},
    **JOB_KINDS,
}
BACK_WITHIN = 30.0
SHOWN = 16
"""So many objects are told of where an expectation did not come true."""
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Unmet(Exception):
    """An expectation did not come true; the sentence says which, and what was there instead."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as the watch brought it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    whole: Object

    @classmethod
    def of(cls, whole: Object) -> Self:
        """Keep the whole object."""
        metadata = whole["metadata"]
        return cls(
            metadata.get("namespace", ""),
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            whole,
        )


class World:
    """One cluster, one scenario. Every wait is for an event, never for a time."""

    def __init__(self, client: Client, cluster: RunningCluster) -> None:
        self.client = client
        self.cluster = cluster
        self._informers: dict[ResourceType, Informer[Seen]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        """Set, and replaced by another one, when something was seen."""

    @classmethod
    @asynccontextmanager
    async def on(cls, cluster: RunningCluster) -> AsyncIterator[World]:
        """A world on this cluster; its watches end with the block."""
        client = await connect(kubeconfig=str(cluster.kubeconfig))
        world = cls(client, cluster)
        try:
            yield world
        finally:
            for task in world._tasks:
                task.cancel()
            await asyncio.gather(*world._tasks, return_exceptions=True)
            await client.close()

    # Steps

    async def apply(self, *documents: str | Mapping[str, Any]) -> list[Object]:
        """Create the objects of these YAML texts or manifests; namespace `default` unless named."""
        made = []
        for document in documents:
            loaded = yaml.safe_load_all(document) if isinstance(document, str) else [document]
            for item in loaded:
                for manifest in item["items"] if item["kind"] == "List" else [item]:
                    made.append(await self._create(dict(manifest)))
        return made

    async def delete(self, resource: ResourceType, name: str, namespace: str = "default") -> None:
        """The object is marked for deletion."""
        await self.client.delete(resource, namespace, name, propagation="Background")

    async def patch(
        self,
        resource: ResourceType,
        name: str,
        change: Mapping[str, Any],
        *,
        namespace: str = "default",
        subresource: str = "",
    ) -> None:
        """The merge patch is stored."""
        await self.client.patch(resource, namespace, name, dict(change), subresource=subresource)

    async def kill(self, part: str) -> int:
        """The process of this part was killed with signal 9; its id is returned.

        One that is being restarted is waited for first.
        """
        async with asyncio.timeout(BACK_WITHIN):
            # A process has no watch to wait on: its id is looked up until it is there.
            while (pid := self.cluster.pid(part)) is None:
                await asyncio.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        return pid

    @asynccontextmanager
    async def frozen(self, part: str) -> AsyncIterator[None]:
        """The process of this part does nothing in the block, and goes on after it."""
        pid = self.cluster.pid(part)
        if pid is None:
            raise Unmet(f"{part} does not run")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # Expectations

    async def until(
        self,
        resource: ResourceType,
        holds: Callable[[Sequence[Object]], object],
        saying: str,
        *,
        within: float = 30.0,
    ) -> None:
        """Return once `holds` is true of the objects of this kind; raise Unmet after `within` s."""
        informer = await self._informer(resource)
        try:
            async with asyncio.timeout(within):
                # What was seen together is looked at once: looking may take longer than seeing.
                while not holds([seen.whole for seen in informer.values()]):
                    await self._news.wait()
        except TimeoutError:
            lines = sorted(_brief(seen.whole) for seen in informer.values())
            more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            now = "; ".join([*lines[:SHOWN], *more])
            raise Unmet(f"within {within:.0f} s not seen: {saying}. Seen: {now}") from None

    async def follow(
        self, resource: ResourceType, see: Callable[[Object | None, Object | None], None]
    ) -> None:
        """Every event of this kind from now on is shown to `see` as (old, new), in order."""
        informer = await self._informer(resource)
        informer.add_handler(
            lambda old, new: see(
                None if old is None else old.whole, None if new is None else new.whole
            )
        )

    async def objects(self, resource: ResourceType) -> list[Object]:
        """The objects of this kind now, by a fresh list."""
        return await self.client.list(resource)

    async def printed(self, kind: str) -> list[list[str]]:
        """The cells `kubectl get KIND` prints in namespace default, without header and AGE.

        Columns are told apart by where their names begin, so an empty cell is one.

        Asked of the real kubectl where there is one, else of the server's Table.
        """
        lines = await self._kubectl("get", kind)
        return await self._table(kind) if lines is None else _without_age(lines)

    async def told(
        self, resource: ResourceType, name: str, *reasons: str
    ) -> list[tuple[str, str, str]]:
        """Type, reason and message of the events `kubectl describe` prints of the object, once
        there are some of all these reasons. Raises Unmet.

        Asked of the real kubectl where there is one, else read off the Event objects.
        """
        about = (resource.kind, name)
        await self.until(
            types.EVENTS,
            lambda events: {*reasons} <= {one["reason"] for one in events if _about(one) == about},
            f"{', '.join(reasons)} told of {name}",
        )
        lines = await self._kubectl("describe", resource.kind.lower(), name)
        if lines is not None:
            return _events_in(lines)
        return [
            (event["type"], event["reason"], event["message"])
            for event in await self.objects(types.EVENTS)
            if _about(event) == about
        ]

    async def jsonpath(
        self, resource: ResourceType, name: str, path: str, *, namespace: str = "default"
    ) -> str | None:
        """What `kubectl get -o jsonpath` prints of the object; None where there is no kubectl."""
        of = (resource.kind.lower(), name, "--namespace", namespace)
        lines = await self._kubectl("get", *of, "--output", f"jsonpath={path}")
        return None if lines is None else "\n".join(lines)

    async def _kubectl(self, *words: str) -> list[str] | None:
        """The lines kubectl prints in namespace default; None where there is no kubectl."""
        kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
        if kubectl is None:
            return None
        process = await asyncio.create_subprocess_exec(
            kubectl,
            "--kubeconfig",
            str(self.cluster.kubeconfig),
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        if process.returncode != 0:
            raise Unmet(f"kubectl {' '.join(words)} failed: {error.decode().strip()}")
        return out.decode().splitlines()

    async def _table(self, kind: str) -> list[list[str]]:
        resource = next(one for one in KINDS.values() if one.kind.lower() == kind)
        answer = await self.client.transport.request(
            "GET", resource.path("default", ""), accept=TABLE
        )
        table = json.loads(answer.body)
        shown = [each["name"].upper() != "AGE" for each in table["columnDefinitions"]]
        return [
            ["" if cell is None else str(cell) for cell in compress(row["cells"], shown)]
            for row in table["rows"]
        ]

    async def _create(self, manifest: Object) -> Object:
        resource = KINDS[manifest["kind"]]
        namespace = manifest["metadata"].get("namespace", "default") if resource.namespaced else ""
        return await self.client.create(resource, manifest, namespace)

    async def _informer(self, resource: ResourceType) -> Informer[Seen]:
        informer = self._informers.get(resource)
        if informer is None:
            informer = Informer(self.client, resource, Seen.of, rng=random.Random(0))
            informer.add_handler(lambda _old, _new: self._notify())
            self._informers[resource] = informer
            self._tasks.append(asyncio.create_task(informer.run()))
            await informer.synced.wait()
        return informer

    def _notify(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _about(event: Object) -> tuple[str, str]:
    """Kind and name of what the event tells of."""
    return event["involvedObject"]["kind"], event["involvedObject"]["name"]


def _without_age(lines: Sequence[str]) -> list[list[str]]:
    """The cells of what kubectl printed; two spaces or more part the names of columns."""
    if not lines:
        return []
    names = list(re.finditer(r"\S+(?: \S+)*", lines[0]))
    starts = [each.start() for each in names]
    columns = [
        slice(start, end)
        for name, start, end in zip(names, starts, [*starts[1:], None], strict=True)
        if name[0] != "AGE"
    ]
    return [[line[column].strip() for column in columns] for line in lines[1:]]


def _events_in(lines: Sequence[str]) -> list[tuple[str, str, str]]:
    """Type, reason and message of the events at the end of what `kubectl describe` printed."""
    start = next((n for n, line in enumerate(lines) if line.startswith("Events:")), len(lines))
    # Names of columns and a rule stand above them, age and source beside.
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=4) for line in lines[start + 3 :]]
    return [(row[0], row[1], row[4]) for row in rows if len(row) == 5]


def _brief(whole: Object) -> str:
    status = whole.get("status", {})
    state = status.get("phase") or [one["type"] for one in status.get("conditions", [])][-1:]
    reason = status.get("reason", "")
    return f"{whole['metadata']['name']} {state} {reason}".strip()
