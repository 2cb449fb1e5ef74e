"""A cluster in virtual time for the job side: embedded server, simulated operators, and a stand-in
for the queue side that admits in order of submission as long as the cpu lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kube_queue.api.errors import AlreadyExists, Conflict, NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import JOBS, QUEUE_UNITS, TFJOBS, ResourceType
from kube_queue.api.units import Unit, order_key, project_unit
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.install import install
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.config import Settings
from kube_queue.controller.jobs import JobSide
from kube_queue.controller.jobs.job_side import JobSideOptions
from kube_queue.jobframework import JobExtension
from kube_queue.jobframework.ownership import Claims
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.transport import Query, Response
from kube_queue.kube.writes import WriteScheduler
from kube_queue.simulator.profile import profile_named
from kube_queue.simulator.run import run_simulator
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.tfjob import TFJobExtension
from tests.jobframework.builders import a_job, a_tfjob

Manifest = dict[str, Any]
EVERY_JOB = Claims()
_POD = {"spec": {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Never"}}
_LABELS = {"made-by": "nobody"}
_KEPT = {
    "selector": {"matchLabels": _LABELS},
    "template": {
        "metadata": {"labels": _LABELS},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]},
    },
}
_MAKERS: dict[str, tuple[ResourceType, Manifest]] = {
    "CronJob": (
        ResourceType("batch", "v1", "cronjobs", "CronJob"),
        {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": _POD}}},
    ),
    "DaemonSet": (ResourceType("apps", "v1", "daemonsets", "DaemonSet"), _KEPT),
    "ReplicaSet": (
        ResourceType("apps", "v1", "replicasets", "ReplicaSet"),
        {**_KEPT, "replicas": 0},
    ),
    "StatefulSet": (
        ResourceType("apps", "v1", "statefulsets", "StatefulSet"),
        {**_KEPT, "serviceName": "none"},
    ),
}
"""Kinds that make pods or jobs, as no controller here acts upon them."""
LONG_ENOUGH = 60.0
"""Seconds; a pod that is deleted may take its grace period of 30."""


class Wire(InProcessTransport):
    """A way to the server that goes dead when the server has taken the n-th write."""

    def __init__(self, server: ApiServer, *, cut_at: int | None = None) -> None:
        super().__init__(server)
        self.writes: list[tuple[str, str]] = []
        self.cut = asyncio.Event()
        self._cut_at = cut_at

    async def request(
        self, method: str, path: str, *, query: Query = (), **options: Any
    ) -> Response:
        if method == "GET" and not self.cut.is_set():
            return await super().request(method, path, query=query, **options)
        if not self.cut.is_set():
            self.writes.append((method, path))
            last = len(self.writes) == self._cut_at
            answer = await super().request(method, path, query=query, **options)
            if not last:
                return answer
            self.cut.set()
        # Whoever asked will never hear of it.
        await asyncio.Event().wait()
        raise AssertionError("a dead connection does not answer")


class Cluster:
    """The server and what runs on it."""

    def __init__(self, server: ApiServer, client: Client, clock: Callable[[], float]) -> None:
        self.server = server
        self.client = client
        self.clock = clock
        self.tasks: list[asyncio.Task[None]] = []
        self.writes: WriteScheduler | None = None
        self.wire = Wire(server)

    def start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    def start_jobs(
        self, *extensions: JobExtension, wire: Wire | None = None, claims: Claims = EVERY_JOB
    ) -> asyncio.Task[None]:
        """The job side as a process of its own."""
        self.wire = wire or Wire(self.server)
        options = JobSideOptions(claims=claims)

        async def process() -> None:
            client = Client(self.wire)
            self.writes = WriteScheduler(client, rng=random.Random(3))
            kinds = extensions or (TFJobExtension(), BatchJob())
            side = JobSide(
                client,
                kinds,
                self.writes,
                clock=self.clock,
                rng=random.Random(4),
                options=options,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(self.writes.run())
                group.create_task(side.run())

        return self.start(process())

    async def kill(self, process: asyncio.Task[None]) -> None:
        """It is gone; its connection went dead before, so nothing it still tries gets through."""
        assert self.wire.cut.is_set()
        self.tasks.remove(process)
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)

    def start_simulator(self) -> asyncio.Task[None]:
        return self.start(
            run_simulator(
                self.client, profile_named("default"), clock=self.clock, rng=random.Random(5)
            )
        )

    def start_controller(self) -> asyncio.Task[None]:
        """The queue side as a process of its own."""
        settings = Settings().replaced(leader={"enabled": False}, serving={"enabled": False})
        wire = Wire(self.server)
        return self.start(
            run_controller(Client(wire), settings, clock=self.clock, rng=random.Random(11))
        )

    def start_admitter(self, cpu_milli: int) -> asyncio.Task[None]:
        return self.start(self._admit_forever(cpu_milli))

    async def _admit_forever(self, cpu_milli: int) -> None:
        while True:
            units = await self.units()
            used = sum(unit.held["cpu"] for unit in units)
            waiting = [unit for unit in units if unit.phase is Phase.ENQUEUED and not unit.invalid]
            for unit in sorted(waiting, key=order_key):
                if used + unit.request["cpu"] <= cpu_milli:
                    used += unit.request["cpu"]
                    with contextlib.suppress(Conflict, NotFound):
                        await self.unit_status(unit, phase="Dequeued", reason="Admitted")
            await asyncio.sleep(0.2)

    # What a person or the queue side does.

    async def create(self, resource: ResourceType, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        for name in ("uid", "resourceVersion", "creationTimestamp"):
            metadata.pop(name, None)
        for spec in _pod_specs(manifest):
            _complete(spec)
        return await self.client.create(resource, manifest, metadata["namespace"])

    async def makers_exist(self, metadata: Manifest) -> None:
        """What controls the object exists, where its kind is served: else it would be garbage."""
        for owner in metadata.get("ownerReferences", []):
            if owner["kind"] not in _MAKERS:
                continue
            resource, spec = _MAKERS[owner["kind"]]
            maker = {"metadata": {"name": owner["name"]}, "spec": spec}
            try:
                made = await self.client.create(resource, maker, "default")
            except AlreadyExists:
                made = await self.client.get(resource, "default", owner["name"])
            owner["uid"] = made["metadata"]["uid"]

    async def tfjob(self, name: str = "job1", **options: Any) -> Manifest:
        return await self.create(TFJOBS, a_tfjob(name, **options))

    async def job(self, name: str = "pi", **options: Any) -> Manifest:
        return await self.create(JOBS, a_job(name, **options))

    async def patch(
        self, resource: ResourceType, name: str, patch: Manifest, subresource: str = ""
    ) -> Manifest:
        return await self.client.patch(resource, "default", name, patch, subresource=subresource)

    async def unit_status(self, unit: Unit, **status: Any) -> None:
        patch = merge_patch(unit.uid, unit.resource_version, {"status": status})
        await self.client.patch(QUEUE_UNITS, unit.namespace, unit.name, patch, subresource="status")

    async def admit(self, name: str) -> None:
        await self.unit_status(await self.unit(name), phase="Dequeued", reason="Admitted")

    async def evict(self, name: str) -> None:
        obj = await self.client.get(QUEUE_UNITS, "default", name)
        evicted = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "room"}
        conditions = [*obj.get("status", {}).get("conditions", []), evicted]
        await self.unit_status(project_unit(obj), conditions=conditions)

    # What is.

    async def units(self) -> list[Unit]:
        return [project_unit(obj) for obj in await self.client.list(QUEUE_UNITS)]

    async def unit(self, name: str) -> Unit:
        return project_unit(await self.client.get(QUEUE_UNITS, "default", name))

    async def state(self, name: str) -> str:
        """What `kubectl get tfjob` prints."""
        conditions = (await self.client.get(TFJOBS, "default", name)).get("status", {})
        last = conditions.get("conditions") or [{"type": ""}]
        return str(last[-1]["type"])

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """It holds before long."""
        for _ in range(int(LONG_ENOUGH * 20)):
            if await holds():
                return
            await asyncio.sleep(0.05)
        found = [(unit.name, unit.phase.value, unit.reason) for unit in await self.units()]
        raise AssertionError(f"it never came to this: {what}; the units are {found}")

    async def until_phase(self, name: str, phase: Phase) -> Unit:
        async def reached() -> bool:
            with contextlib.suppress(NotFound):
                return (await self.unit(name)).phase is phase
            return False

        await self.until(reached, f"{name} is {phase.value}")
        return await self.unit(name)

    async def settle(self, seconds: float = 1.0) -> None:
        await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def a_cluster(*, simulated: bool = True) -> AsyncIterator[Cluster]:
    clock = virtual_clock()
    server = ApiServer(clock=clock, rng=random.Random(1))
    client = Client(InProcessTransport(server))
    await install(client, operators=True)
    cluster = Cluster(server, client, clock)
    if simulated:
        cluster.start_simulator()
    try:
        yield cluster
    finally:
        ended = [task for task in cluster.tasks if task.done() and not task.cancelled()]
        for task in cluster.tasks:
            task.cancel()
        await asyncio.gather(*cluster.tasks, return_exceptions=True)
        await server.close()
        for task in ended:
            task.result()


def play(story: Callable[[Cluster], Awaitable[None]], *, simulated: bool = True) -> None:
    """Play the story in a fresh cluster, in virtual time."""

    async def main() -> None:
        async with a_cluster(simulated=simulated) as cluster:
            await story(cluster)

    run_virtual(main())


def _complete(pod_spec: Manifest, seconds: int = 3) -> None:
    """Whatever it lacks for a server to take it; its containers sleep that long."""
    pod_spec.setdefault("restartPolicy", "Never")
    for container in pod_spec.get("containers", ()):
        container.setdefault("image", "busybox")
        container.setdefault("command", ["sleep", f"{seconds}s"])


def _pod_specs(manifest: Manifest) -> list[Manifest]:
    spec = manifest["spec"]
    holders = spec["tfReplicaSpecs"].values() if "tfReplicaSpecs" in spec else [spec]
    return [holder["template"]["spec"] for holder in holders]
