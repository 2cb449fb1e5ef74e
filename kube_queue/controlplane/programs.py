"""The table of programs: one row says everything that tells one build from another."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from kube_queue.controlplane.errors import ControlPlaneError


@dataclass(frozen=True, slots=True)
class Module:
    """A published Go module.

    `staging` is the version under which the modules that its go.mod replaces by folders of its
    own tree (`k8s.io/api => ./staging/...`) are published; empty when it has none.
    """

    path: str
    version: str
    staging: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the module and main package it is built from, and how it tells its version.

    `stamps` are linker variables; `version_command` are the arguments that make it print a version,
    none for a program that cannot: then the list of modules that Go leaves in each binary tells.
    `seconds` is what a first build takes on two idle cores. `data` is a folder of the module that
    the program is used with. Neither of the two changes the binary, so they are not part of its
    key in the cache. `tags` are Go's build tags; they enter the key with the flags of the build.
    """

    name: str
    module: Module
    package: str
    version_command: tuple[str, ...]
    stamps: tuple[tuple[str, str], ...] = ()
    seconds: int = field(default=60, repr=False, compare=False)
    data: str = field(default="", repr=False, compare=False)
    tags: tuple[str, ...] = field(default=(), repr=False)

    @property
    def version(self) -> str:
        """The version that a fresh build answers with, "v1.36.3"."""
        return self.module.version

    def accepts(self, printed: str) -> bool:
        """Whether a binary that prints this text does as well: same major and minor version."""
        wanted, found = _minor(self.version), _minor(printed)
        return wanted is not None and wanted == found

    def listed_in(self, binary: Path) -> str:
        """The version of the program's module that Go wrote into the binary; empty when none."""
        listed = rb"(?:mod|dep)\t" + re.escape(self.module.path).encode() + rb"\t(v[^\t\n]+)"
        found = re.search(listed, binary.read_bytes())
        return found[1].decode(errors="replace") if found else ""


_VERSION = re.compile(r"\bv?(\d+)\.(\d+)\.\d+")


def _minor(text: str) -> tuple[str, str] | None:
    match = _VERSION.search(text)
    return (match[1], match[2]) if match else None


KUBERNETES = Module("k8s.io/kubernetes", "v1.36.3", staging="v0.36.3")
_KUBERNETES_STAMPS = (
    ("k8s.io/component-base/version.gitVersion", "v1.36.3"),
    ("k8s.io/component-base/version.gitMajor", "1"),
    ("k8s.io/component-base/version.gitMinor", "36"),
)


def _kubernetes(name: str, seconds: int, *version_command: str) -> Program:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program(name, KUBERNETES, package, version_command, _KUBERNETES_STAMPS, seconds)


PROGRAMS = (
    _kubernetes("kubectl", 75, "version", "--client"),
    _kubernetes("kube-apiserver", 180, "--version"),
    _kubernetes("kube-controller-manager", 90, "--version"),
    _kubernetes("kube-scheduler", 15, "--version"),
    Program(
        "etcd",
        Module("go.etcd.io/etcd/server/v3", "v3.7.3"),
        "go.etcd.io/etcd/server/v3",
        ("--version",),
        seconds=30,
    ),
    Program(
        "kwok",
        Module("sigs.k8s.io/kwok", "v0.8.0"),
        "sigs.k8s.io/kwok/cmd/kwok",
        ("--version",),
        seconds=85,
    ),
    Program(
        "training-operator",
        Module("github.com/kubeflow/training-operator", "v1.8.1"),
        "github.com/kubeflow/training-operator/cmd/training-operator.v1",
        (),
        seconds=120,
        data="manifests/base/crds",
    ),
)

CONTAINERD = Module("github.com/containerd/containerd/v2", "v2.3.7")


def _containerd(name: str, seconds: int, version_command: str = "--version") -> Program:
    """Without the snapshotters that need C libraries or devices of their own."""
    return Program(
        name,
        CONTAINERD,
        f"{CONTAINERD.path}/cmd/{name}",
        (version_command,),
        seconds=seconds,
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
    )


NODE_PROGRAMS = (
    _kubernetes("kubelet", 120, "--version"),
    _containerd("containerd", 60),
    _containerd("containerd-shim-runc-v2", 10, "-v"),
    _containerd("ctr", 10),
)
"""What a machine runs to be a real node; not part of `all`, as few clusters have one."""


def program(name: str) -> Program:
    """The row of that name; raises ControlPlaneError naming the rows there are."""
    rows = (*PROGRAMS, *NODE_PROGRAMS)
    for row in rows:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in rows)
    raise ControlPlaneError(f"no program {name!r} to build: choose one of {known}")
