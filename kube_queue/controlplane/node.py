"""A control plane with real nodes: kubelets, a container runtime, containers and their cgroups.

Every node runs in a room of its own on this machine (`node_room`), so several find place beside
each other, and nothing of them remains. Each has all the machine's CPUs and memory, as each kubelet
counts them anew.
"""

import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kube_queue.controlplane import cgroups, debian, node_room
from kube_queue.controlplane.build import Progress, obtain_all
from kube_queue.controlplane.cluster import ControlPlane
from kube_queue.controlplane.commands import run_command
from kube_queue.controlplane.daemons import Daemon
from kube_queue.controlplane.debian import Tools
from kube_queue.controlplane.errors import BuildFailed, NotReady
from kube_queue.controlplane.images import Image, pack
from kube_queue.controlplane.programs import NODE_PROGRAMS
from kube_queue.controlplane.together import together

PAUSE = "kube-queue.local/pause:1"
BUSYBOX = "docker.io/library/busybox:latest"
CGROUP_PREFIX = "kube-queue-node-"

_SOCKET = "/run/containerd/containerd.sock"
# Kept for documentation: no network of anybody has these addresses.
_ADDRESS = "192.0.2.{}"
# A bridge inside the room: the pods of a node reach each other, and nothing else.
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "198.51.100.0/24"}]]},
        }
    ],
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PAUSE_SOURCE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
    signal(SIGINT, leave);
    signal(SIGTERM, leave);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""


def node_count(cpus: int) -> int:
    """As many nodes as have `cpus` CPUs together, each with all those of this machine."""
    return max(1, math.ceil(cpus / (os.cpu_count() or 1)))


@dataclass(frozen=True, slots=True)
class NodeKit:
    """What nodes are made of: programs by name, the machine's tools, archives of images."""

    programs: Mapping[str, Path]
    tools: Tools
    images: Sequence[Path]


async def node_kit(folder: Path, progress: Progress) -> NodeKit:
    """Everything a node runs is here; the images are packed into the folder.

    Raises GoMissing, BuildFailed, NotInstalled. Call it where `debian.unfit` has no objection.
    """
    tools = await debian.tools(progress)
    programs = await obtain_all(NODE_PROGRAMS, progress)
    return NodeKit(programs, tools, await _pack_images(tools, folder))


async def _pack_images(tools: Tools, folder: Path) -> list[Path]:
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    with tempfile.TemporaryDirectory() as work:
        pause = Path(work, "pause")
        source = pause.with_suffix(".c")
        source.write_text(_PAUSE_SOURCE, encoding="ascii")
        built = await run_command([tools.compiler, "-Os", "-s", "-static", "-o", pause, source])
        if built.code != 0:
            raise BuildFailed(f"{tools.compiler} cannot compile: {built.complaint}")
        programs = {"pause": pause.read_bytes()}
    listed = await run_command([tools.busybox, "--list"])
    applets = {f"bin/{name}": "busybox" for name in listed.out.split() if name != "busybox"}
    shell = {"bin/busybox": tools.busybox.read_bytes()}
    images = {
        "pause": Image(PAUSE, architecture, ("/pause",), programs),
        "busybox": Image(BUSYBOX, architecture, ("sh",), shell, applets, ("tmp", "root")),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        pack(image, folder / f"{name}.tar")
    return [folder / f"{name}.tar" for name in images]


class NodePlane(ControlPlane):
    """A control plane whose nodes are real ones, as many as `nodes`; none while `kit` is None."""

    kit: NodeKit | None = None
    nodes: int = 1

    async def populate(self) -> None:
        """Also, its nodes are ready. Raises ControlPlaneError."""
        await together(super().populate(), self._start_nodes())

    async def stop(self, *, kill: bool = False) -> None:
        """Also, the containers, mounts and cgroups of its nodes are gone."""
        await super().stop(kill=kill)
        for name in self._names():
            await cgroups.remove(self._group(name))

    async def _start_nodes(self) -> None:
        if self.kit is None:
            return
        _check_places(self.directory, self.kit)
        await _sweep()
        port = int(self.server.rpartition(":")[2])
        for index, name in enumerate(self._names()):
            folder = self.directory / name
            folder.mkdir(exist_ok=True)
            group = self._group(name)
            try:
                cgroups.make(group)
            except OSError as problem:
                raise NotReady(f"no cgroup for a node's pods can be made: {problem}") from problem
            room = _Room(self.kit, folder, name, _ADDRESS.format(index + 1), group)
            await self._daemons.start(room.daemon(port, self.kubeconfig()))
        await self._until(self._all_ready, "ready node", self._names()[-1])

    async def _all_ready(self) -> bool:
        assert self._api is not None
        nodes = [await self._api.get(f"/api/v1/nodes/{name}") for name in self._names()]
        return all(node is not None and _is_ready(node) for node in nodes)

    def _controller_manager(self) -> Daemon:
        """Pods mount the certificate that their token is good for; somebody has to publish it."""
        daemon = super()._controller_manager()
        authority = f"--root-ca-file={self.directory / 'pki' / 'apiserver.crt'}"
        return replace(daemon, command=(*daemon.command, authority))

    def _names(self) -> list[str]:
        return [f"node-{index}" for index in range(self.nodes)]

    def _group(self, name: str) -> str:
        return f"{CGROUP_PREFIX}{os.getpid()}-{self.directory.name}-{name}"


async def _sweep() -> None:
    """The groups of nodes whose parent was killed are gone; names begin with its id."""
    for group in cgroups.of_prefix(CGROUP_PREFIX):
        parent = group.removeprefix(CGROUP_PREFIX).partition("-")[0]
        if not Path("/proc", parent).exists():
            await cgroups.remove(group)


def _check_places(directory: Path, kit: NodeKit) -> None:
    """Raise NotReady when something that a node needs lies where its room is empty."""
    for path in (directory, *kit.programs.values(), kit.tools.runc, *kit.images):
        if any(path.is_relative_to(place) for place in node_room.EMPTIED):
            places = ", ".join(node_room.EMPTIED)
            raise NotReady(f"a node cannot use {path}: nothing of it may lie below {places}")


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not node.get("spec", {}).get("taints")


@dataclass(frozen=True, slots=True)
class _Room:
    """One node: what its programs are told."""

    kit: NodeKit
    folder: Path
    name: str
    address: str
    group: str

    def daemon(self, port: int, kubeconfig: Path) -> Daemon:
        """The whole node as one program; vital, because its containers end with it."""
        network = self.folder / "network"
        network.mkdir(exist_ok=True)
        self._write("network/pods.conflist", json.dumps(_NETWORK))
        # No name server: containers ask nobody, and the file of the machine may lie in /run.
        resolver = self._write("resolv.conf", "")
        runtime = self._write("containerd.toml", self._runtime(network))
        kubelet = self._write("kubelet.json", json.dumps(self._kubelet(resolver)))
        programs = self.kit.programs
        plan = {
            "port": port,
            "address": self.address,
            "logs": str(self.folder),
            "kernel": str(self.folder / "kernel"),
            "environment": {"PATH": self._path()},
            "socket": _SOCKET,
            "first": ["containerd", str(programs["containerd"]), f"--config={runtime}"],
            "then": [self._import(archive) for archive in self.kit.images],
            "last": [
                "kubelet",
                str(programs["kubelet"]),
                f"--config={kubelet}",
                f"--kubeconfig={kubeconfig}",
                f"--hostname-override={self.name}",
                f"--node-ip={self.address}",
            ],
        }
        path = self._write("plan.json", json.dumps(plan))
        return Daemon(self.name, (sys.executable, "-I", "-S", node_room.__file__, path), vital=True)

    def _import(self, archive: Path) -> list[str]:
        command = (self.kit.programs["ctr"], "--address", _SOCKET, "--namespace", "k8s.io")
        return [str(part) for part in (*command, "images", "import", archive)]

    def _path(self) -> str:
        """The runtime looks for its shim there, and for what Linux gives."""
        own = {program.parent for program in self.kit.programs.values()}
        return ":".join([*sorted(map(str, own)), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def _runtime(self, network: Path) -> str:
        """The runtime's settings; strings of JSON are strings of TOML."""
        images, pods = "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
        runc = f'[plugins."{pods}".containerd.runtimes.runc'
        lines = (
            "version = 3",
            "imports = []",
            'disabled_plugins = ["io.containerd.nri.v1.nri"]',
            f'[plugins."{images}".pinned_images]',
            f"sandbox = {json.dumps(PAUSE)}",
            f'[plugins."{pods}"]',
            # Where it runs, more may be forbidden to root than on a machine of its own.
            "restrict_oom_score_adj = true",
            "disable_apparmor = true",
            f'[plugins."{pods}".cni]',
            f"bin_dirs = [{json.dumps(str(self.kit.tools.network))}]",
            f"conf_dir = {json.dumps(str(network))}",
            f"{runc}]",
            'runtime_type = "io.containerd.runc.v2"',
            f"{runc}.options]",
            f"BinaryName = {json.dumps(str(self.kit.tools.runc))}",
            "SystemdCgroup = false",
        )
        return "\n".join(lines) + "\n"

    def _kubelet(self, resolver: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.group}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "makeIPTablesUtilChains": False,
            "resolvConf": str(resolver),
            "healthzPort": 0,
        }
