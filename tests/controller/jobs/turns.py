"""One job of a Kubeflow kind or of Job, and what users, owners and operators do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import (
    ResourceType,
)
from kube_queue.jobframework.extension import Hold, JobExtension
from kube_queue.jobframework.ownership import read_claims
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.pytorchjob import PyTorchJobExtension
from kube_queue_extensions.workflow import WorkflowExtension
from tests.controller.jobs.cluster import Cluster, play
from tests.jobframework.builders import a_template, conditions

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How one kind of three pods, a cpu each, is written and what is said of it."""

    extension: JobExtension
    spec: Callable[[int], Manifest]
    """Of a held job with so many pods."""
    hold: Manifest
    """The patch of a user who suspends it."""
    free: Manifest
    """The patch of a user who releases it."""
    runs: Manifest
    stopped: Manifest
    one_done: Manifest
    """Its status when one of its pods succeeded."""
    all_done: Manifest
    managed: Manifest
    """The spec that hands it to somebody else."""

    @property
    def resource(self) -> ResourceType:
        return self.extension.resource

    def unit(self, name: str = "it") -> str:
        return f"{name}-{self.extension.suffix}-qu"

    def manifest(self, name: str = "it", pods: int = 3, **metadata: Any) -> Manifest:
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": self.spec(pods),
        }


def a_pod() -> Manifest:
    template = a_template("1")
    template["spec"]["restartPolicy"] = "Never"
    template["spec"]["containers"][0]["image"] = "busybox"
    return template


PYTORCHJOB = Kind(
    PyTorchJobExtension(),
    lambda pods: {
        "runPolicy": {"suspend": True},
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "template": a_pod()},
            "Worker": {"replicas": pods - 1, "template": a_pod()},
        },
    },
    hold={"spec": {"runPolicy": {"suspend": True}}},
    free={"spec": {"runPolicy": {"suspend": False}}},
    runs={"conditions": conditions("Created", "Running")},
    stopped={"conditions": [*conditions("Running", status="False"), *conditions("Suspended")]},
    one_done={
        "conditions": conditions("Created", "Running"),
        "replicaStatuses": {"Master": {"active": 1}, "Worker": {"active": 1, "succeeded": 1}},
    },
    all_done={"conditions": conditions("Succeeded")},
    managed={"runPolicy": {"managedBy": "kueue.x-k8s.io/multikueue"}},
)
JOB = Kind(
    BatchJob(),
    lambda pods: {
        "suspend": True,
        "parallelism": pods,
        "completions": 3,
        "completionMode": "Indexed",
        "template": a_pod(),
    },
    hold={"spec": {"suspend": True}},
    free={"spec": {"suspend": False}},
    runs={"active": 3, "ready": 3},
    stopped={"active": 0, "ready": 0, "conditions": conditions("Suspended")},
    one_done={"active": 2, "ready": 2, "succeeded": 1},
    all_done={
        "active": 0,
        "ready": 0,
        "succeeded": 3,
        "conditions": conditions("SuccessCriteriaMet", "Complete"),
    },
    managed={"managedBy": "kueue.x-k8s.io/multikueue"},
)
on_both = pytest.mark.parametrize("kind", [PYTORCHJOB, JOB], ids=["PyTorchJob", "Job"])


class It:
    """One job of the kind, by name `it` unless said otherwise, in one cluster."""

    def __init__(self, cluster: Cluster, kind: Kind) -> None:
        self.cluster = cluster
        self.kind = kind

    async def create(self, manifest: Manifest | None = None) -> Manifest:
        manifest = manifest or self.kind.manifest()
        await self.cluster.makers_exist(manifest["metadata"])
        return await self.cluster.client.create(
            self.kind.resource, manifest, manifest["metadata"]["namespace"]
        )

    async def waits(self, name: str = "it") -> None:
        await self.cluster.until_phase(self.kind.unit(name), Phase.ENQUEUED)

    async def says(self, status: Manifest, name: str = "it") -> None:
        await self.cluster.patch(self.kind.resource, name, {"status": status}, "status")

    async def change(self, patch: Manifest, name: str = "it") -> None:
        await self.cluster.patch(self.kind.resource, name, patch)

    async def released(self, name: str = "it") -> None:
        async def free() -> bool:
            job = await self.cluster.client.get(self.kind.resource, "default", name)
            return self.kind.extension.state(job).hold is Hold.NONE

        await self.cluster.until(free, f"{name} is released")

    async def runs(self, name: str = "it") -> None:
        """Admitted by the stand-in of the queue side, released, running."""
        await self.waits(name)
        await self.cluster.admit(self.kind.unit(name))
        await self.released(name)
        await self.says(self.kind.runs, name)
        await self.cluster.until_phase(self.kind.unit(name), Phase.RUNNING)

    async def until_held(self, cpu: int, name: str = "it") -> None:
        async def holds() -> bool:
            return (await self.cluster.unit(self.kind.unit(name))).held["cpu"] == cpu * 1000

        await self.cluster.until(holds, f"{name} holds {cpu} cpus")

    async def until_gone(self, name: str = "it") -> None:
        async def gone() -> bool:
            return self.kind.unit(name) not in {each.name for each in await self.cluster.units()}

        await self.cluster.until(gone, f"the unit of {name} is gone")

    async def stays_without_a_unit(self, seconds: float = 5) -> bool:
        await self.cluster.settle(seconds)
        return not await self.cluster.units()


def lives(kind: Kind, story: Callable[[It], Any], owned_by: str = "", **selectors: str) -> None:
    """The story of the job, played on the job side alone."""
    claims = read_claims(owned_by, selectors.get("jobs", ""), selectors.get("namespaces", ""))

    async def whole(cluster: Cluster) -> None:
        cluster.start_jobs(PyTorchJobExtension(), BatchJob(), WorkflowExtension(), claims=claims)
        await story(It(cluster, kind))

    play(whole, simulated=False)


def owned(kind: str, api_version: str, uid: str = "u-1", name: str = "boss") -> Manifest:
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}
