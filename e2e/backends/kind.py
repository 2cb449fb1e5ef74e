"""kind: Kubernetes in Docker, a cluster of its own for each run.

The control plane is kind's. What scenarios count on beside it is the same as on the genuine
Kubernetes without Docker: nodes and pods that kwok plays, and Kubeflow's operator; kind's own node
takes no pods. Between scenarios everything that one of them made is deleted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from e2e.backends.base import BackendFailed, Unavailable
from e2e.backends.kubernetes import KubernetesCluster, local_options, prepared
from e2e.kinds import JOB_KINDS
from kube_queue.api.errors import KubeQueueError, NotFound
from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    QUEUE_UNITS,
    QUEUES,
    RESOURCE_QUOTAS,
    ResourceType,
)
from kube_queue.app.kubernetes import GenuineCluster, node_manifests, operator_schemes
from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.app.permissions import apply, token_of
from kube_queue.app.supervisor import ChildFailed
from kube_queue.controlplane.api import Api
from kube_queue.controlplane.cluster import ADMIN, ControlPlane, Shape, binaries_for
from kube_queue.controlplane.commands import run_command
from kube_queue.controlplane.daemons import Daemon
from kube_queue.controlplane.errors import ControlPlaneError, NotReady
from kube_queue.controlplane.files import kubeconfig
from kube_queue.controlplane.together import together
from kube_queue.kube.client import Client
from kube_queue.kube.connection import connect
from kube_queue.simulator.profile import profile_named

IMAGE = "KUBE_QUEUE_KIND_IMAGE"
"""Environment variable: the node image to use instead of kind's default."""
PLAYED_NODES = 3
DOCKER_WITHIN = 20.0
WIPED_WITHIN = 60.0
POLL_SECONDS = 0.2

_PLAYED = {"kwok.x-k8s.io/node": "fake"}
_KEPT_NAMESPACES = frozenset({"default", "kubeflow", "local-path-storage"})
# Jobs first: what they own goes with them.
_WIPED = (
    *JOB_KINDS.values(),
    QUEUE_UNITS,
    ELASTIC_QUOTA_TREES,
    QUEUES,
    RESOURCE_QUOTAS,
    PODS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    EVENTS,
)


def check_machine() -> None:
    """Raise Unavailable, saying what is missing, unless kind can make clusters here."""
    for program in ("docker", "kind"):
        if shutil.which(program) is None:
            raise Unavailable(f"there is no `{program}` on PATH; kind needs Docker", code=2)
    try:
        answer = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            check=False,
            capture_output=True,
            timeout=DOCKER_WITHIN,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("no Docker engine answers in time; start it anew", code=2) from None
    if answer.returncode != 0:
        raise Unavailable("no Docker engine answers; start it and try again", code=2)


class KindPlane(ControlPlane):
    """kind's cluster, made at the first `serve`; what runs beside it is started each time."""

    created: bool = False

    @property
    def cluster_name(self) -> str:
        """What kind calls it."""
        return self.directory.name

    async def serve(self) -> None:
        """The cluster serves, and tokens for what runs beside it are there."""
        if not self.created:
            await self._create()
        self._api = Api(self.server, self.token, self.authority)

    async def delete(self) -> None:
        """kind has removed the cluster."""
        if self.created:
            await run_command(["kind", "delete", "cluster", "--name", self.cluster_name])
            self.created = False

    async def _create(self) -> None:
        given = self.directory / "kind.kubeconfig"
        command = ["kind", "create", "cluster", "--name", self.cluster_name]
        command += ["--kubeconfig", str(given), "--wait", "120s"]
        image = os.environ.get(IMAGE)
        outcome = await run_command(command + (["--image", image] if image else []))
        # A cluster that was made in part is kind's as well, and deleted with the back end.
        self.created = True
        if outcome.code != 0:
            raise NotReady(f"kind could not create a cluster: {outcome.complaint}")
        self.server, self.authority = _where(given)
        client = await connect(str(given))
        try:
            await _take_no_pods(client)
            self.token = await _administrator(client)
        finally:
            await client.close()
        for user in (ADMIN, "kwok", "training-operator"):
            path = self.kubeconfig(user)
            kubeconfig(path, server=self.server, authority=self.authority, token=self.token)

    async def _start_controllers(self, api: Api) -> None:
        """Only kwok: the others run in kind's node."""
        await self._daemons.start(self._kwok())
        for node in self.shape.nodes:
            await api.create("/api/v1/nodes", node)
        await self._until(self._nodes_played, "ready nodes", "kwok")

    def _kwok(self) -> Daemon:
        """It leaves kind's own node alone."""
        daemon = super()._kwok()
        (annotation,) = (f"{name}={value}" for name, value in _PLAYED.items())
        words = [str(one) for one in daemon.command if one != "--manage-all-nodes"]
        words.append(f"--manage-nodes-with-annotation-selector={annotation}")
        return replace(daemon, command=tuple(words))

    async def _nodes_played(self) -> bool:
        assert self._api is not None
        nodes = ((await self._api.get("/api/v1/nodes")) or {}).get("items", [])
        played = [one for one in nodes if _PLAYED.items() <= _annotations(one).items()]
        return len(played) >= len(self.shape.nodes) and all(
            any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in one["status"].get("conditions", ())
            )
            and not one["spec"].get("taints")
            for one in played
        )


class KindClusterOfScenario(KubernetesCluster):
    """The run's cluster while one scenario plays on it."""

    def __init__(self, backend: KindBackend, cluster: GenuineCluster, path: Path) -> None:
        super().__init__(cluster, path)
        self._backend = backend

    async def stop(self) -> None:
        """Nothing of ours runs, and what the scenario made is gone."""
        await self._backend.wipe()
        await super().stop()


class KindBackend:
    """`--backend kind`."""

    name = "kind"
    has = frozenset({"rbac", "real-operator", "mutating-admission"})

    def __init__(self) -> None:
        check_machine()
        self._folder = tempfile.TemporaryDirectory(prefix="kube-queue-kind-")
        self._cluster: GenuineCluster | None = None
        self._plane: KindPlane | None = None

    async def start(
        self,
        *,
        environment: Mapping[str, str],
        flags: tuple[str, ...],
        needs: frozenset[str] = frozenset(),
    ) -> KindClusterOfScenario:
        """The run's cluster, as empty as at first, with our processes. Raises BackendFailed."""
        said: list[str] = []
        directory = Path(self._folder.name)
        options = local_options(directory / "kubeconfig", environment, flags)
        try:
            cluster = self._cluster or await self._set_up(said)
            try:
                await cluster.serve()
                await self._free_nodes()
                await together(cluster.populate(), cluster.start_controllers(options))
                await cluster.settle()
            except BaseException:
                await cluster.stop(kill=True)
                raise
            cluster.facts(options)
        except (ControlPlaneError, ChildFailed, KubeQueueError, TimeoutError) as failed:
            why = " / ".join([*said[-3:], str(failed)])
            raise BackendFailed(f"the cluster of kind did not start: {why}") from failed
        return KindClusterOfScenario(self, cluster, options.kubeconfig)

    async def wipe(self) -> None:
        """What scenarios make is gone, whoever made it. Raises BackendFailed."""
        assert self._plane is not None
        client = await connect(str(self._plane.kubeconfig()))
        try:
            async with asyncio.timeout(WIPED_WITHIN):
                while await _something_left(client):
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise BackendFailed("what the last scenario made could not be deleted") from None
        finally:
            await client.close()

    async def _free_nodes(self) -> None:
        """The last kwok holds no node any more; the next would wait until its leases run out."""
        assert self._plane is not None
        client = await connect(str(self._plane.kubeconfig()))
        try:
            for node in self._plane.shape.nodes:
                with contextlib.suppress(NotFound):
                    await client.delete(LEASES, "kube-node-lease", node["metadata"]["name"])
        finally:
            await client.close()

    async def close(self) -> None:
        """The cluster is deleted."""
        if self._plane is not None:
            await self._plane.delete()
        self._folder.cleanup()

    async def _set_up(self, said: list[str]) -> GenuineCluster:
        nodes = node_manifests(profile_named("default", nodes=PLAYED_NODES))
        for node in nodes:
            node["metadata"]["annotations"] = dict(_PLAYED)
        beside = Shape(nodes=nodes, operator=operator_schemes(LOCAL_EXTENSIONS))
        binaries = await binaries_for(beside, lambda line: print(line, flush=True))
        plane = self._plane = KindPlane(Path(self._folder.name), beside, binaries, said.append)
        self._cluster = await prepared(plane, said)
        return self._cluster


async def _something_left(client: Client) -> bool:
    """Whether anything of a scenario was there; it has been asked to go."""
    left = False
    for resource in _WIPED:
        for one in await client.list(resource):
            left |= await _delete(client, resource, one)
    for one in await client.list(NAMESPACES):
        name = one["metadata"]["name"]
        if name not in _KEPT_NAMESPACES and not name.startswith("kube-"):
            left |= await _delete(client, NAMESPACES, one)
    return left


async def _delete(client: Client, resource: ResourceType, one: Mapping[str, Any]) -> bool:
    """Whether it was asked to go: pods of kind's own and what is said of them stay."""
    metadata = one["metadata"]
    namespace = metadata.get("namespace", "")
    of_the_system = namespace.startswith("kube-") or namespace in _KEPT_NAMESPACES - {"default"}
    if resource in (PODS, EVENTS) and of_the_system:
        return False
    if resource == EVENTS and one.get("involvedObject", {}).get("kind") == "Node":
        return False
    with contextlib.suppress(NotFound):
        await client.delete(resource, namespace, metadata["name"], propagation="Background")
    return True


async def _take_no_pods(client: Client) -> None:
    for node in await client.list(NODES):
        await client.patch(NODES, "", node["metadata"]["name"], {"spec": {"unschedulable": True}})


async def _administrator(client: Client) -> str:
    """A token of an account that may do anything: our programs take tokens, kind gives none."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ADMIN, "namespace": TREE_NAMESPACE},
    }
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ADMIN},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ADMIN, "namespace": TREE_NAMESPACE}],
    }
    await apply(client, (account, binding))
    return await token_of(client, ADMIN, TREE_NAMESPACE)


def _where(path: Path) -> tuple[str, str]:
    """The server and the certificate (PEM) it is trusted by."""
    (cluster,) = yaml.safe_load(path.read_text(encoding="utf-8"))["clusters"]
    facts = cluster["cluster"]
    return facts["server"], base64.b64decode(facts["certificate-authority-data"]).decode()


def _annotations(node: Mapping[str, Any]) -> dict[str, str]:
    return dict(node["metadata"].get("annotations") or {})
