"""`kube-queue local up --control-plane kubernetes`: the whole system on a genuine Kubernetes.

Nodes and their pods are played by kwok, TFJobs and their siblings by Kubeflow's own operator; only
kinds that have no operator here are followed by those of our simulator. Our two processes run as in
production, each under an account of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kube_queue.api.errors import KubeQueueError
from kube_queue.api.names import (
    CONTROLLER_COMPONENT,
    JOB_EXTENSIONS_COMPONENT,
    SCHEDULER_COMPONENT,
)
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.local import LocalCluster, LocalOptions, scheduler_words
from kube_queue.app.permissions import (
    ACCOUNTS,
    NO_POLICIES,
    install_accounts,
    install_policy,
    policy_in_force,
    token_of,
)
from kube_queue.app.supervisor import Child, ChildFailed, Supervisor
from kube_queue.controlplane.cluster import ControlPlane, Shape, binaries_for
from kube_queue.controlplane.errors import ControlPlaneError
from kube_queue.controlplane.operator import SCHEMES
from kube_queue.controlplane.ports import HeldPorts
from kube_queue.controlplane.sweep import claimed
from kube_queue.controlplane.together import together
from kube_queue.kube.connection import connect
from kube_queue.simulator.profile import Profile, profile_named

Say = Callable[[str], None]
DIRECTORY_PREFIX: Final = "kube-queue-kubernetes-"
_KUBEFLOW_DEFINITIONS: Final = tuple(f"{scheme}s.kubeflow.org" for scheme in SCHEMES)
"""Brought by Kubeflow's operator where it is wanted."""


async def run_kubernetes(
    options: LocalOptions, *, say: Say, up: Callable[[LocalCluster], None]
) -> None:
    """Run the cluster until cancelled; `up` is called once when everything serves.

    Raises ChildFailed, with one sentence, when a program cannot be had, a part does not start, or
    etcd or the API server ends. Everything of the cluster lies in a directory of its own that goes
    with it, except when it failed: then the logs stay.
    """
    shape = Shape(
        port=options.port,
        nodes=node_manifests(profile_named(options.profile, nodes=options.nodes)),
        operator=operator_schemes(options.enabled_extensions),
    )
    try:
        binaries = await binaries_for(shape, say)
    except ControlPlaneError as failed:
        raise ChildFailed(str(failed)) from failed
    directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX))
    try:
        with claimed(directory, DIRECTORY_PREFIX):
            plane = ControlPlane(directory, shape, binaries, say)
            await _run(options, GenuineCluster(plane, say), up)
    except (ControlPlaneError, ChildFailed, KubeQueueError) as failed:
        shutil.rmtree(directory / "etcd", ignore_errors=True)
        raise ChildFailed(str(failed)) from failed
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


async def _run(
    options: LocalOptions, cluster: GenuineCluster, up: Callable[[LocalCluster], None]
) -> None:
    try:
        await cluster.serve()
        # The operator takes longest to start, and nothing of ours waits for it.
        await together(cluster.populate(), _install_and_start(cluster, options))
        await cluster.settle()
        up(cluster.facts(options))
        # Jobs of these kinds are held at first, so nobody has to wait for their operators.
        await cluster.start_operators()
        await cluster.wait()
    finally:
        await cluster.stop()


async def _install_and_start(cluster: GenuineCluster, options: LocalOptions) -> None:
    await cluster.install()
    await cluster.start_controllers(options, operators=False)


@dataclass(slots=True)
class GenuineCluster:
    """A control plane, what kube-queue needs in it, and kube-queue's processes.

    It may be started again on a copy of its etcd directory: nothing is installed anew then.
    """

    plane: ControlPlane
    say: Say
    visibility: str = ""
    scheduler: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)
    _supervisor: Supervisor | None = None
    _policy: bool = False

    async def serve(self) -> None:
        """The API server serves. Raises ControlPlaneError."""
        await self.plane.serve()

    async def populate(self) -> None:
        """Controllers, ready nodes and the operator run. Raises ControlPlaneError."""
        await self.plane.populate()

    async def install(self) -> None:
        """Our kinds, accounts and policy are there, and the accounts' tokens are known.

        Raises ApiError, ConnectionLost, ChildFailed when our kinds are not served in time.
        """
        client = await connect(str(self.plane.kubeconfig()))
        try:
            try:
                await install(client, operators=True, others=_KUBEFLOW_DEFINITIONS)
            except TimeoutError:
                raise ChildFailed("kube-apiserver does not serve our kinds in time") from None
            await install_accounts(client)
            for account in ACCOUNTS:
                self._tokens[account] = await token_of(client, account)
            self._policy = await install_policy(client)
            if not self._policy:
                self.say(NO_POLICIES)
        finally:
            await client.close()

    async def settle(self) -> None:
        """What was installed has taken effect. Raises ApiError, ConnectionLost."""
        client = await connect(str(self.plane.kubeconfig()))
        try:
            if self._policy:
                await policy_in_force(client)
        finally:
            await client.close()

    async def start_controllers(self, options: LocalOptions, *, operators: bool = True) -> None:
        """Both processes serve, as separate accounts; with `operators` those of kinds without one.

        Raises ChildFailed; `install` comes first.
        """
        configs = {account: self.plane.kubeconfig(account) for account in ACCOUNTS}
        for account, path in configs.items():
            write_kubeconfig(
                path,
                server=self.plane.server,
                token=self._tokens[account],
                authority=self.plane.authority,
            )
        supervisor = self._supervisor = Supervisor(self.plane.directory / "logs", self.say)
        children = _children(options, configs, supervisor.ports)
        if operators:
            children.append(_operators(self.plane.kubeconfig()))
        facts = await asyncio.gather(*(supervisor.start(child) for child in children))
        self.visibility = facts[0].get("visibility", "")
        self.scheduler = next((one["scheduler"] for one in facts if "scheduler" in one), "")

    async def start_operators(self) -> None:
        """The operators of kinds without one play. Raises ChildFailed; ours come first."""
        assert self._supervisor is not None
        await self._supervisor.start(_operators(self.plane.kubeconfig()))

    def facts(self, options: LocalOptions) -> LocalCluster:
        """What a person needs to know of it; the kubeconfig that they asked for is written."""
        write_kubeconfig(
            options.kubeconfig,
            server=self.plane.server,
            token=self.plane.token,
            authority=self.plane.authority,
            visibility=self.visibility,
            scheduler=self.scheduler,
        )
        logs = self.plane.directory / "logs"
        return LocalCluster(
            options.kubeconfig, self.plane.server, self.visibility, logs, self.pids()
        )

    def pids(self) -> Mapping[str, int]:
        """Process ids by program, ours included."""
        ours = self._supervisor.pids() if self._supervisor is not None else {}
        return {**self.plane.pids(), **ours}

    async def wait(self) -> None:
        """Never return; raise DaemonEnded or ChildFailed when something vital has ended."""
        assert self._supervisor is not None
        waits = [
            asyncio.ensure_future(self.plane.wait()),
            asyncio.ensure_future(self._supervisor.wait()),
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop(self, *, kill: bool = False) -> None:
        """Nothing of it runs; with `kill`, the control plane is not asked to finish first."""
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        await self.plane.stop(kill=kill)


def operator_schemes(enabled_extensions: str) -> tuple[str, ...]:
    """The kinds of Kubeflow's operator among the job types to queue."""
    names = {name.strip().lower() for name in enabled_extensions.split(",")}
    names |= {"mpijob"} if "mpiv1" in names else set()
    return tuple(scheme for scheme in SCHEMES if scheme in names)


def node_manifests(profile: Profile) -> list[dict[str, Any]]:
    """The Nodes of a profile, as a kubelet registers them; who keeps them alive is not said."""
    return [_node(profile, index, name) for index, name in enumerate(profile.node_names())]


def _node(profile: Profile, index: int, name: str) -> dict[str, Any]:
    capacity = profile.capacity()
    address = f"10.{64 + (index >> 16)}.{(index >> 8) & 255}.{index & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": profile.labels(name)},
        "spec": {"providerID": f"kwok://{name}"},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": _NODE_FACTS,
        },
    }


_NODE_FACTS: Final = {
    "architecture": "amd64",
    "bootID": "",
    "containerRuntimeVersion": "kwok://",
    "kernelVersion": "",
    "kubeProxyVersion": "",
    "kubeletVersion": "v1.36.3",
    "machineID": "",
    "operatingSystem": "linux",
    "osImage": "kwok",
    "systemUUID": "",
}


def _operators(kubeconfig: Path) -> Child:
    """The operators of kinds whose definition is ours, as an administrator."""
    words = ("local", "simulator", "--kubeconfig", str(kubeconfig), "--operators-only", "--child")
    return Child("operators", (sys.executable, "-m", "kube_queue", *words))


def _children(options: LocalOptions, configs: Mapping[str, Path], ports: HeldPorts) -> list[Child]:
    """Our processes, as in production: apart, each under its own account."""
    # A port chosen once: a restarted controller answers where the kubeconfig says.
    queue: tuple[str, ...] = ("controller", "--kubeconfig", str(configs[CONTROLLER_COMPONENT]))
    queue += ("--port", str(ports.any()), "--leader-elect-identity", "local-controller")
    queue += options.common_flags + options.controller_flags
    jobs: tuple[str, ...] = (
        "job-extensions",
        "--kubeconfig",
        str(configs[JOB_EXTENSIONS_COMPONENT]),
    )
    jobs += ("--port", "0", "--leader-elect-identity", "local-job-extensions")
    jobs += ("--enabled-extensions", options.enabled_extensions, *options.common_flags)
    commands = [queue, jobs]
    if options.scheduler:
        common = ("--kubeconfig", str(configs[SCHEDULER_COMPONENT]))
        commands.append(scheduler_words(options, common, ports))
    return [
        Child(
            words[0],
            (sys.executable, "-m", "kube_queue", *words, "--child"),
            options.environment,
        )
        for words in commands
    ]
