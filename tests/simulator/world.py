"""A cluster in virtual time: the embedded server, the simulator, and what a user would do."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from kube_queue import manifests
from kube_queue.api.errors import NotFound
from kube_queue.api.types import CRDS, JOBS, NODES, PODS, TFJOBS, ResourceType
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.kube.client import Client
from kube_queue.simulator.profile import Profile
from kube_queue.simulator.run import EVERY_PART, run_simulator

Object = dict[str, Any]


@dataclass
class World:
    """One API server; the simulator can be ended and started again."""

    client: Client
    clock: Callable[[], float]
    profile: Profile
    parts: frozenset[str] = EVERY_PART
    seed: int = 1
    _running: asyncio.Task[None] | None = field(default=None)

    def start_simulator(self) -> None:
        self.seed += 1
        rng = random.Random(self.seed)
        self._running = asyncio.create_task(
            run_simulator(self.client, self.profile, clock=self.clock, rng=rng, parts=self.parts)
        )

    async def kill_simulator(self) -> None:
        """It ends wherever it is, as a killed process would."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def get(self, kind: ResourceType, name: str) -> Object:
        return await self.client.get(kind, "default", name)

    async def pods(self, owner: str = "") -> list[Object]:
        """Pods in the order of their names, those of the owner's name if given."""
        pods = await self.client.list(PODS, "default")
        kept = [pod for pod in pods if not owner or owner_name(pod) == owner]
        return sorted(kept, key=lambda pod: pod["metadata"]["name"])

    async def phases(self, owner: str = "") -> dict[str, str]:
        """Phase by pod name; "Terminating" for those being deleted."""
        return {
            pod["metadata"]["name"]: "Terminating"
            if pod["metadata"].get("deletionTimestamp")
            else pod.get("status", {}).get("phase", "Pending")
            for pod in await self.pods(owner)
        }

    async def states(self, name: str, kind: ResourceType = TFJOBS) -> list[str]:
        """Condition types of a Kubeflow job in order, those not True marked with a minus."""
        job = await self.get(kind, name)
        return [
            each["type"] if each["status"] == "True" else f"-{each['type']}"
            for each in job.get("status", {}).get("conditions", [])
        ]

    async def is_gone(self, kind: ResourceType, name: str) -> bool:
        try:
            await self.get(kind, name)
        except NotFound:
            return True
        return False

    async def create_pod(self, name: str, **spec: Any) -> Object:
        return await self.client.create(PODS, a_pod(name, **spec))

    async def suspend_tfjob(self, name: str, held: bool) -> None:
        value = "true" if held else "false"
        patch = {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": value}}}
        await self.client.patch(TFJOBS, "default", name, patch)

    async def suspend_job(self, name: str, held: bool) -> None:
        await self.client.patch(JOBS, "default", name, {"spec": {"suspend": held}})


def owner_name(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("name", ""))


def conditions(obj: Object) -> dict[str, str]:
    return {each["type"]: each["status"] for each in obj.get("status", {}).get("conditions", [])}


def container(command: list[str], cpu: str = "1", memory: str = "1Gi") -> Object:
    resources = {"cpu": cpu, "memory": memory}
    return {
        "name": "tensorflow",
        "image": "busybox",
        "command": command,
        "resources": {"requests": resources, "limits": resources},
    }


def a_pod(
    name: str,
    *,
    command: list[str] | None = None,
    cpu: str = "1",
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations or {}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [container(command or ["sleep", "30"], cpu)],
            **spec,
        },
    }


def template(command: list[str], annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"annotations": annotations or {}},
        "spec": {"containers": [container(command)], **spec},
    }


def a_job(
    name: str,
    *,
    command: list[str] | None = None,
    annotations: dict[str, str] | None = None,
    restart_policy: str = "Never",
    **spec: Any,
) -> Object:
    pod = template(command or ["sleep", "30"], annotations, restartPolicy=restart_policy)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": pod, **spec},
    }


def a_tfjob(
    name: str,
    *,
    held: bool = False,
    ps: str = "30s",
    worker: str = "30s",
    workers: int = 2,
    worker_annotations: dict[str, str] | None = None,
    restart_policy: str = "Never",
    **run_policy: Any,
) -> Object:
    """The job of the ack-kube-queue documentation: a parameter server and two workers."""

    def replicas(count: int, seconds: str, annotations: dict[str, str] | None = None) -> Object:
        script = ["/bin/sh", "-c", "--", f"sleep {seconds}"]
        return {
            "replicas": count,
            "restartPolicy": restart_policy,
            "template": template(script, annotations),
        }

    spec: Object = {
        "tfReplicaSpecs": {
            "PS": replicas(1, ps),
            "Worker": replicas(workers, worker, worker_annotations),
        }
    }
    if run_policy:
        spec["runPolicy"] = run_policy
    marks = {"scheduling.x-k8s.io/suspend": "true"} if held else {}
    metadata = {"name": name, "namespace": "default", "annotations": marks}
    return {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": metadata, "spec": spec}


@contextlib.asynccontextmanager
async def world(
    profile: Profile | None = None, parts: frozenset[str] = EVERY_PART
) -> AsyncIterator[World]:
    """A world whose simulator runs and whose nodes are there."""
    clock = virtual_clock()
    server = ApiServer(clock=clock, rng=random.Random(1))
    client = Client(InProcessTransport(server))
    for crd in manifests.operator_crds():
        await client.create(CRDS, crd)
    made = World(client, clock, profile or Profile(), parts)
    made.start_simulator()
    try:
        await asyncio.sleep(5)
        assert len(await client.list(NODES)) >= (made.profile.nodes if "nodes" in parts else 0)
        yield made
    finally:
        await made.kill_simulator()
        await server.close()


def in_world(
    story: Callable[[World], Coroutine[Any, Any, None]],
    profile: Profile | None = None,
    parts: frozenset[str] = EVERY_PART,
) -> None:
    """The story is played in virtual time."""

    async def play() -> None:
        async with world(profile, parts) as made:
            await story(made)

    run_virtual(play())
