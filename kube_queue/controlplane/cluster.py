"""A genuine Kubernetes on this machine: etcd, API server, controller manager, and more if asked.

Everything of one cluster lies in one directory; started again on it, the cluster has the objects,
tokens and certificates it had. It listens on the loopback interface only; etcd on a socket in the
directory.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from kube_queue.controlplane import operator
from kube_queue.controlplane.api import Api
from kube_queue.controlplane.build import Progress, data_folder, obtain_all
from kube_queue.controlplane.daemons import Daemon, Daemons
from kube_queue.controlplane.errors import NotReady
from kube_queue.controlplane.files import (
    kubeconfig,
    signing_key,
    tokens,
    write_private,
)
from kube_queue.controlplane.ports import HeldPorts
from kube_queue.controlplane.programs import program
from kube_queue.controlplane.together import together

ADMIN = "kube-queue-admin"
STAGES = Path(__file__).with_name("stages.yaml")

_READY_WITHIN = 90.0
_POLL_SECONDS = 0.1
# A path longer than this does not fit into a socket's address.
_LONGEST_SOCKET = 100
# Each kwok has a name of its own and waits for the leases of the one before it to run out.
_NODE_LEASE_SECONDS = 8
_NODES = "/api/v1/nodes"
_DEFAULT_ACCOUNT = "/api/v1/namespaces/default/serviceaccounts/default"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a cluster is made of, besides etcd, kube-apiserver and kube-controller-manager.

    `port` is the API server's, 0 for any free one. `nodes` are manifests of Nodes, with a capacity
    in their status: kwok keeps them alive and plays their pods. `operator` names the kinds that
    Kubeflow's training operator serves, of operator.SCHEMES; each costs a second at the start and
    memory. `audit` is an audit policy: what it asks for goes to the log named audit. `controllers`
    names those that run of kube-controller-manager's; without any nobody taints nodes that have no
    kubelet, and namespaces get no service account. `gates` are feature gates that Kubernetes' own
    programs have on besides those that are on by default, `apis` versions of API groups served
    besides those, such as `scheduling.k8s.io/v1alpha2`.
    """

    port: int = 0
    scheduler: bool = True
    controllers: tuple[str, ...] = ("*",)
    nodes: Sequence[Mapping[str, Any]] = ()
    operator: tuple[str, ...] = ()
    audit: Mapping[str, Any] | None = None
    gates: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()

    def programs(self) -> list[str]:
        """The names of the programs it needs."""
        names = ["etcd", "kube-apiserver"]
        names += ["kube-controller-manager"] if self.controllers else []
        names += ["kube-scheduler"] if self.scheduler else []
        names += ["kwok"] if self.nodes else []
        return names + (["training-operator"] if self.operator else [])


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the programs of a cluster are, and the folder of the operator's definitions."""

    programs: Mapping[str, Path]
    definitions: Path | None = None


async def binaries_for(shape: Shape, progress: Progress) -> Binaries:
    """Everything a cluster of this shape runs, built if need be. Raises GoMissing, BuildFailed."""
    rows = [program(name) for name in shape.programs()]
    found = await obtain_all(rows, progress)
    definitions = await data_folder(program("training-operator")) if shape.operator else None
    return Binaries(found, definitions)


@dataclass(slots=True)
class ControlPlane:
    """One cluster. `server`, `authority` (PEM) and `token` (of an administrator) once started."""

    directory: Path
    shape: Shape
    binaries: Binaries
    say: Callable[[str], None]
    server: str = ""
    authority: str = ""
    token: str = ""
    _daemons: Daemons = field(init=False)
    _ports: HeldPorts = field(default_factory=HeldPorts, init=False)
    _api: Api | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """The directory is there."""
        for name in ("logs", "pki", "kubeconfigs"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._daemons = Daemons(self.directory / "logs", self.say)

    async def serve(self) -> None:
        """The API server serves, and nothing else runs yet. Raises ControlPlaneError."""
        users = (ADMIN, *self.shape.programs()[2:])
        known = tokens(self.directory / "tokens.csv", users)
        self.token = known[ADMIN]
        port = self.shape.port or self._ports.any()
        self.server = f"https://127.0.0.1:{port}"
        await self._daemons.start(self._etcd())
        await self._daemons.start(self._api_server(port))
        await self._until(self._ready(f"{self.server}/readyz"), "ready answer", "kube-apiserver")
        # It made its certificate at its first start, signed by nobody but itself.
        self.authority = (self.directory / "pki" / "apiserver.crt").read_text(encoding="utf-8")
        self._api = Api(self.server, self.token, self.authority)
        for user, token in known.items():
            path = self.kubeconfig(user)
            kubeconfig(path, server=self.server, authority=self.authority, token=token)

    async def populate(self) -> None:
        """What makes it a cluster runs: controllers, scheduler, ready nodes, the operator.

        Call `serve` first. Raises ControlPlaneError.
        """
        assert self._api is not None
        # The operator takes longest, so it goes first and the others beside it.
        extra = [self._start_operator(self._api)] if self.shape.operator else []
        await together(*extra, self._start_controllers(self._api))

    async def wait(self) -> None:
        """Never return; raise DaemonEnded when etcd or the API server has ended."""
        await self._daemons.ended()

    async def stop(self, *, kill: bool = False) -> None:
        """Nothing of it runs. With `kill` nobody is asked first, for when the objects may go."""
        if self._api is not None:
            await self._api.close()
            self._api = None
        await self._daemons.stop(kill=kill)
        self._ports.close()

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """The kubeconfig of the administrator or of one of the programs."""
        return self.directory / "kubeconfigs" / user

    def pids(self) -> dict[str, int]:
        """Process ids by program."""
        return self._daemons.pids()

    def log(self, name: str) -> Path:
        """The log of a program, or `audit`."""
        return self._daemons.log(name)

    async def _start_controllers(self, api: Api) -> None:
        if self.shape.controllers:
            await self._daemons.start(self._controller_manager())
        if self.shape.scheduler:
            await self._daemons.start(self._scheduler())
        if self.shape.nodes:
            await self._daemons.start(self._kwok())
            for node in self.shape.nodes:
                await api.create(_NODES, node)
        if self.shape.controllers:
            account = self._exists(_DEFAULT_ACCOUNT)
            await self._until(account, "a service account", "kube-controller-manager")
        if self.shape.nodes:
            await self._until(self._nodes_ready, "ready nodes", "kwok")

    async def _start_operator(self, api: Api) -> None:
        assert self.binaries.definitions is not None
        await operator.install_definitions(api, self.binaries.definitions, self.shape.operator)
        await operator.prepare(api)
        health = self._ports.any()
        name = "training-operator"
        config = self.kubeconfig(name)
        binary = self.binaries.programs[name]
        ports = operator.Ports(health=health, webhooks=self._ports.any())
        await self._daemons.start(operator.daemon(binary, config, self.shape.operator, ports))
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await operator.mount_certificates(api)
        except TimeoutError:
            raise self._not_ready("certificates", name) from None
        await self._until(self._ready(f"http://127.0.0.1:{health}/readyz"), "ready answer", name)

    def _etcd(self) -> Daemon:
        socket, peers = self._socket("etcd"), self._socket("peers")
        return Daemon(
            "etcd",
            (
                self.binaries.programs["etcd"],
                f"--data-dir={self.directory / 'etcd'}",
                # What a power cut may take is not worth waiting for the disk at each write.
                "--unsafe-no-fsync",
                f"--listen-client-urls={socket}",
                f"--advertise-client-urls={socket}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--log-level=warn",
            ),
            vital=True,
        )

    def _api_server(self, port: int) -> Daemon:
        pki = self.directory / "pki"
        key = signing_key(pki / "service-account.key")
        return Daemon(
            "kube-apiserver",
            (
                self.binaries.programs["kube-apiserver"],
                f"--etcd-servers={self._socket('etcd')}",
                f"--cert-dir={pki}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={port}",
                # No pod of ours looks for the API server, and loopback is no endpoint for one.
                "--endpoint-reconciler-type=none",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--token-auth-file={self.directory / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--profiling=false",
                *self._gates(),
                *self._apis(),
                *self._audit(),
            ),
            vital=True,
        )

    def _gates(self) -> tuple[str, ...]:
        gates = ",".join(f"{gate}=true" for gate in self.shape.gates)
        return (f"--feature-gates={gates}",) if gates else ()

    def _apis(self) -> tuple[str, ...]:
        apis = ",".join(f"{api}=true" for api in self.shape.apis)
        return (f"--runtime-config={apis}",) if apis else ()

    def _audit(self) -> tuple[str, ...]:
        if self.shape.audit is None:
            return ()
        policy = self.directory / "audit-policy.json"
        write_private(policy, json.dumps(self.shape.audit))
        return (f"--audit-policy-file={policy}", f"--audit-log-path={self.log('audit')}")

    def _controller_manager(self) -> Daemon:
        name = "kube-controller-manager"
        key = self.directory / "pki" / "service-account.key"
        return Daemon(
            name,
            (
                self.binaries.programs[name],
                f"--kubeconfig={self.kubeconfig(name)}",
                f"--service-account-private-key-file={key}",
                "--leader-elect=false",
                "--secure-port=0",
                "--profiling=false",
                f"--controllers={','.join(self.shape.controllers)}",
                *self._gates(),
            ),
        )

    def _scheduler(self) -> Daemon:
        name = "kube-scheduler"
        return Daemon(
            name,
            (
                self.binaries.programs[name],
                f"--kubeconfig={self.kubeconfig(name)}",
                "--leader-elect=false",
                "--secure-port=0",
                *self._gates(),
            ),
        )

    def _kwok(self) -> Daemon:
        return Daemon(
            "kwok",
            (
                self.binaries.programs["kwok"],
                f"--kubeconfig={self.kubeconfig('kwok')}",
                f"--config={STAGES}",
                "--manage-all-nodes",
                f"--node-lease-duration-seconds={_NODE_LEASE_SECONDS}",
            ),
        )

    def _socket(self, name: str) -> str:
        path = self.directory / f"{name}.sock"
        if len(str(path)) > _LONGEST_SOCKET:
            raise NotReady(f"the path of {path} is too long for a socket: choose a shorter one")
        return f"unix://{path}"

    def _exists(self, path: str) -> Callable[[], Awaitable[bool]]:
        async def asked() -> bool:
            assert self._api is not None
            return await self._api.get(path) is not None

        return asked

    def _ready(self, url: str) -> Callable[[], Awaitable[bool]]:
        async def asked() -> bool:
            # Health is open to all; what is asked is whether it answers, so trust does not matter.
            try:
                async with aiohttp.request("GET", url, ssl=False) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        return asked

    async def _nodes_ready(self) -> bool:
        assert self._api is not None
        nodes = ((await self._api.get(_NODES)) or {}).get("items", [])
        return len(nodes) >= len(self.shape.nodes) and all(map(_is_ready, nodes))

    async def _until(
        self,
        asked: Callable[[], Awaitable[bool]],
        what: str,
        who: str,
        within: float = _READY_WITHIN,
    ) -> None:
        """The answer is yes. Raises NotReady after `within` s, DaemonEnded as soon as one ended."""
        ended = asyncio.ensure_future(self._daemons.ended())
        asking = asyncio.ensure_future(_poll(asked))
        try:
            await asyncio.wait({ended, asking}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                ended.result()
            if not asking.done():
                raise self._not_ready(what, who)
            asking.result()
        finally:
            for task in (ended, asking):
                task.cancel()
            await asyncio.gather(ended, asking, return_exceptions=True)

    def _not_ready(self, what: str, who: str) -> NotReady:
        return NotReady(
            f"{who} runs, but after {_READY_WITHIN:.0f} s there is no {what}: "
            f"{self._daemons.last_words(who)}; its log: {self.log(who)}"
        )


async def _poll(asked: Callable[[], Awaitable[bool]]) -> None:
    while not await asked():
        await asyncio.sleep(_POLL_SECONDS)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not node.get("spec", {}).get("taints")
