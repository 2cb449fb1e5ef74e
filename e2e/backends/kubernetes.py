"""A genuine Kubernetes: its own programs, Kubeflow's operator, pods played by kwok.

It is set up once a run. Each scenario gets the whole control plane started anew on a copy of what
etcd held then: nothing of the scenario before is left, in the cluster or in anybody's memory, at
the price of some seconds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from e2e.backends.base import CONFIG_FLAG, BackendFailed
from kube_queue.api.errors import KubeQueueError
from kube_queue.app.kubernetes import GenuineCluster, node_manifests, operator_schemes
from kube_queue.app.local import LOCAL_EXTENSIONS, LocalOptions
from kube_queue.app.permissions import ACCOUNTS
from kube_queue.app.supervisor import ChildFailed
from kube_queue.controlplane.cluster import ControlPlane, Shape, binaries_for
from kube_queue.controlplane.errors import ControlPlaneError
from kube_queue.controlplane.together import together
from kube_queue.simulator.profile import profile_named

NODES = 3
# Whoever plays a part: here the kubelets are kwok's.
PLAYED_BY = {"simulator": "kwok"}
OURS = ("controller", "job-extensions", "scheduler")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {
            "level": "Metadata",
            "users": [f"system:serviceaccount:kube-queue:{account}" for account in ACCOUNTS],
        },
        {"level": "None"},
    ],
}
OWN_POD_GROUPS = "own-pod-groups"
"""An ability: it serves Kubernetes' own PodGroup, which no cluster does unless it is told to."""
_GATES = {OWN_POD_GROUPS: ("GenericWorkload", "TopologyAwareWorkloadScheduling")}
_APIS = {OWN_POD_GROUPS: ("scheduling.k8s.io/v1alpha2",)}
_EXTENSIONS_FLAG = "--enabled-extensions"


class KubernetesCluster:
    """The cluster of one scenario."""

    def __init__(self, cluster: GenuineCluster, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._cluster = cluster

    def pid(self, part: str) -> int | None:
        """The process id of this part; kwok's for `simulator`."""
        pid = self._cluster.pids().get(PLAYED_BY.get(part, part))
        return pid if pid is not None and _runs(pid) else None

    def said(self) -> dict[str, list[str]]:
        """What our processes wrote to their logs so far, by part."""
        logs = {part: self._cluster.plane.log(part) for part in OURS}
        return {
            part: log.read_text(encoding="utf-8", errors="replace").splitlines()
            for part, log in logs.items()
            if log.exists()
        }

    async def stop(self) -> None:
        """Everything of the cluster is gone; its objects are not kept."""
        await self._cluster.stop(kill=True)


class KubernetesBackend:
    """`--backend kubernetes`: built from Go modules, without Docker."""

    name = "kubernetes"
    has = frozenset({"rbac", "real-operator", "mutating-admission", OWN_POD_GROUPS})

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kube-queue-e2e-")
        self._cluster: GenuineCluster | None = None

    @property
    def directory(self) -> Path:
        """Everything of its cluster is in here; it goes with the back end."""
        return Path(self._folder.name)

    @property
    def audit_log(self) -> Path:
        """What our two accounts asked of the API server, over all scenarios."""
        return self.directory / "logs" / "audit.log"

    async def start(
        self,
        *,
        environment: Mapping[str, str],
        flags: tuple[str, ...],
        needs: frozenset[str] = frozenset(),
    ) -> KubernetesCluster:
        """A fresh cluster serves. Raises BackendFailed with what was said."""
        said: list[str] = []
        try:
            if self._cluster is None:
                self._cluster = await self._set_up(said)
            cluster = self._cluster
            cluster.plane.shape = with_more(cluster.plane.shape, needs)
            options = local_options(self.directory / "kubeconfig", environment, flags)
            shutil.rmtree(self.directory / "etcd", ignore_errors=True)
            shutil.copytree(self.directory / "snapshot", self.directory / "etcd")
            try:
                await cluster.serve()
                await together(cluster.populate(), cluster.start_controllers(options))
                await cluster.settle()
            except BaseException:
                await cluster.stop(kill=True)
                raise
            cluster.facts(options)
        except (ControlPlaneError, ChildFailed, KubeQueueError, TimeoutError) as failed:
            why = " / ".join([*said[-3:], str(failed)])
            raise BackendFailed(f"the Kubernetes cluster did not start: {why}") from failed
        return KubernetesCluster(cluster, options.kubeconfig)

    async def close(self) -> None:
        """Nothing of it is left on disk; its clusters have been stopped."""
        self._folder.cleanup()

    async def _set_up(self, said: list[str]) -> GenuineCluster:
        """A cluster with everything installed was there, and what etcd held is kept."""
        nodes = node_manifests(profile_named("default", nodes=NODES))
        operator = operator_schemes(LOCAL_EXTENSIONS)
        shape = Shape(nodes=nodes, operator=operator, audit=AUDIT_POLICY)
        binaries = await binaries_for(shape, lambda line: print(line, flush=True))
        plane = ControlPlane(self.directory, shape, binaries, said.append)
        cluster = await prepared(plane, said)
        (self.directory / "etcd").rename(self.directory / "snapshot")
        return cluster


def with_more(shape: Shape, needs: frozenset[str]) -> Shape:
    """The shape whose programs are told of what only these abilities ask for."""
    gates = tuple(gate for need in sorted(needs) for gate in _GATES.get(need, ()))
    apis = tuple(api for need in sorted(needs) for api in _APIS.get(need, ()))
    return replace(shape, gates=gates, apis=apis)


async def prepared(
    plane: ControlPlane, said: list[str], *more: Callable[[ControlPlane], Coroutine[Any, Any, None]]
) -> GenuineCluster:
    """A cluster with everything installed was there, and has stopped; it can be started again.

    `more` is what a back end installs besides. Raises ControlPlaneError, KubeQueueError.
    """
    cluster = GenuineCluster(plane, said.append)
    try:
        await cluster.serve()
        await together(cluster.populate(), cluster.install(), *(each(plane) for each in more))
    finally:
        await cluster.stop()
    return cluster


def local_options(
    kubeconfig: Path, environment: Mapping[str, str], flags: tuple[str, ...]
) -> LocalOptions:
    """What `local up` makes of these flags."""
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    extensions = given.pop(_EXTENSIONS_FLAG, LOCAL_EXTENSIONS)
    config = given.pop(CONFIG_FLAG, None)
    return LocalOptions(
        kubeconfig,
        controller_flags=tuple(word for pair in given.items() for word in pair),
        environment=environment,
        enabled_extensions=extensions,
        config=None if config is None else Path(config),
    )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
