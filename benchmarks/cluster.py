"""A cluster to measure on: the embedded server, or a genuine etcd and kube-apiserver.

Only what keeps objects runs: no kubelet, no scheduler, no controller of Kubernetes' own. Everything
speaks as an administrator, whom neither server holds back.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_queue.api.types import ELASTIC_QUOTA_TREES, NAMESPACES
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.supervisor import Child, Supervisor
from kube_queue.controlplane.build import obtain_all
from kube_queue.controlplane.cluster import Binaries, ControlPlane, Shape
from kube_queue.controlplane.programs import program
from kube_queue.kube.client import Client
from kube_queue.kube.connection import connect

EMBEDDED = "embedded"
KUBERNETES = "kubernetes"
DESCRIBED = {
    EMBEDDED: "the embedded server",
    KUBERNETES: "etcd and kube-apiserver",
}
PYTHON = (sys.executable, "-m")

_BARE = Shape(scheduler=False)
_SERVERS = ("etcd", "kube-apiserver")


@dataclass(frozen=True, slots=True)
class Cluster:
    """One that serves, with kube-queue's kinds installed and nothing in it."""

    directory: Path
    kubeconfig: Path
    client: Client
    children: Supervisor
    """The processes that are ours, the embedded server among them."""
    plane: ControlPlane | None

    def pids(self) -> dict[str, int]:
        """Process ids by program."""
        theirs = self.plane.pids() if self.plane is not None else {}
        return {**theirs, **self.children.pids()}

    async def controller(self, environment: Mapping[str, str], flags: Sequence[str] = ()) -> str:
        """The queue controller leads or soon will; the address of its metrics. Raises ChildFailed.

        `environment` is added to this process's own.
        """
        words = ("kube_queue", "controller", "--kubeconfig", str(self.kubeconfig))
        command = (*PYTHON, *words, "--child", "--port", "0", *flags)
        facts = await self.children.start(Child("controller", command, environment))
        return facts["visibility"].partition("/visibility")[0].rstrip("/") + "/metrics"

    async def prepare(self, namespaces: Iterable[str], tree: Mapping[str, Any]) -> None:
        """The namespaces and the quota tree are there. Raises ApiError, ConnectionLost."""
        for name in namespaces:
            manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await self.client.create(NAMESPACES, manifest)
        await self.client.create(ELASTIC_QUOTA_TREES, tree, "kube-system")


def control_plane_option(parser: argparse.ArgumentParser) -> None:
    """The parser knows --control-plane."""
    parser.add_argument(
        "--control-plane",
        choices=(EMBEDDED, KUBERNETES),
        default=EMBEDDED,
        help="the server to measure on (default: %(default)s); kubernetes is built if need be",
    )


@asynccontextmanager
async def started(control_plane: str) -> AsyncIterator[Cluster]:
    """A fresh cluster for the block; it and every process of it are gone afterwards.

    Raises ChildFailed or ControlPlaneError when it does not start.
    """
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="kube-queue-bench-"))
        )
        children, plane = Supervisor(directory, _say), None
        if control_plane == KUBERNETES:
            plane = await _genuine(directory, stack)
        stack.push_async_callback(children.stop)
        kubeconfig = plane.kubeconfig() if plane else await _embedded(directory, children)
        client = await connect(kubeconfig=str(kubeconfig))
        stack.push_async_callback(client.close)
        await install(client, operators=False)
        yield Cluster(directory, kubeconfig, client, children, plane)


async def _genuine(directory: Path, stack: AsyncExitStack) -> ControlPlane:
    found = await obtain_all([program(name) for name in _SERVERS], _say)
    plane = ControlPlane(directory, _BARE, Binaries(found), _say)
    stack.push_async_callback(plane.stop, kill=True)
    await plane.serve()
    return plane


async def _embedded(directory: Path, children: Supervisor) -> Path:
    token, kubeconfig = directory / "token", directory / "kubeconfig"
    token.write_text(secrets.token_urlsafe(16), encoding="utf-8")
    command = (*PYTHON, "kube_queue", "local", "api-server", "--token-file", str(token))
    facts = await children.start(Child("api-server", command, vital=True))
    write_kubeconfig(kubeconfig, server=facts["plain"], token=token.read_text(encoding="utf-8"))
    return kubeconfig


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
