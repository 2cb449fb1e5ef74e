"""A genuine Kubernetes with real nodes: kubelets, a runtime, real containers in real cgroups.

Containers use the images that are packed here: the cluster has an admission policy of its own that
tells kubelets to look nowhere else, as a site without a way to registries has. The policy also
lifts memory limits that are too small for a process to start; requests, which scheduling and quotas
go by, are left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from e2e.backends.base import BackendFailed, Unavailable
from e2e.backends.kubernetes import KubernetesBackend, KubernetesCluster, prepared
from kube_queue.api.errors import Forbidden, Invalid
from kube_queue.api.types import PODS
from kube_queue.app.kubernetes import GenuineCluster, operator_schemes
from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.app.permissions import apply
from kube_queue.controlplane import debian
from kube_queue.controlplane.cluster import ControlPlane, Shape, binaries_for
from kube_queue.controlplane.node import NodePlane, node_count, node_kit
from kube_queue.kube.client import Client
from kube_queue.kube.connection import connect

CPUS = 4
"""A scenario's largest job has 3 CPUs beside one more: nodes are added until they have as many."""
IN_FORCE_WITHIN = 30.0
POLL_SECONDS = 0.1

_GROUP = "admissionregistration.k8s.io"
_NAME = "images-that-are-here"
_NEVER_PULL = (
    "Object{spec: Object.spec{containers: object.spec.containers.map(c, "
    'Object.spec.containers{name: c.name, imagePullPolicy: "Never"})}}'
)
_POLICY: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ]
            },
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": _NEVER_PULL},
                }
            ],
        },
    },
    {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME},
        "spec": {"policyName": _NAME},
    },
)


class NodeBackend(KubernetesBackend):
    """`--backend node`: as root on Debian; elsewhere it is left out, with a reason."""

    name = "node"
    has = KubernetesBackend.has | {"cgroups"}

    def __init__(self) -> None:
        reason = debian.unfit()
        if reason:
            raise Unavailable(reason, code=0)
        super().__init__()

    async def start(
        self,
        *,
        environment: Mapping[str, str],
        flags: tuple[str, ...],
        needs: frozenset[str] = frozenset(),
    ) -> KubernetesCluster:
        """A fresh cluster serves, and its nodes run what is here. Raises BackendFailed."""
        cluster = await super().start(environment=environment, flags=flags, needs=needs)
        try:
            client = await connect(str(cluster.kubeconfig))
            try:
                await _in_force(client)
            finally:
                await client.close()
        except BaseException:
            await cluster.stop()
            raise
        return cluster

    async def _set_up(self, said: list[str]) -> GenuineCluster:
        """What is installed is kept; no node has taken part, so none is remembered."""
        shape = Shape(operator=operator_schemes(LOCAL_EXTENSIONS))
        binaries = await binaries_for(shape, _say)
        kit = await node_kit(self.directory / "images", _say)
        plane = NodePlane(self.directory, shape, binaries, said.append)
        cluster = await prepared(plane, said, _install_policy)
        plane.kit, plane.nodes = kit, node_count(CPUS)
        (self.directory / "etcd").rename(self.directory / "snapshot")
        return cluster


async def _install_policy(plane: ControlPlane) -> None:
    client = await connect(str(plane.kubeconfig()))
    try:
        await apply(client, _POLICY)
    finally:
        await client.close()


async def _in_force(client: Client) -> None:
    """Pods are told to use the images that are here; API servers take a moment to know."""
    try:
        async with asyncio.timeout(IN_FORCE_WITHIN):
            while not await _never_pulls(client):
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise BackendFailed("the nodes' admission policy has no effect") from None


async def _never_pulls(client: Client) -> bool:
    """Whether a pod would be told so; none is created."""
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }
    try:
        answer = await client.raw(
            "POST", PODS.path("default"), query=[("dryRun", "All")], body=orjson.dumps(probe)
        )
    except (Forbidden, Invalid):
        return False
    (container,) = orjson.loads(answer.body)["spec"]["containers"]
    return bool(container["imagePullPolicy"] == "Never")


def _say(line: str) -> None:
    print(line, flush=True)
