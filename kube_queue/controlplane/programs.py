"""The table of programs: one row says everything that tells one build from another."""

import re
from dataclasses import dataclass

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

    `stamps` are linker variables; `version_command` are the arguments that make it print a version.
    """

    name: str
    module: Module
    package: str
    version_command: tuple[str, ...]
    stamps: tuple[tuple[str, str], ...] = ()

    @property
    def version(self) -> str:
        """The version that a fresh build answers with, "v1.36.3"."""
        return self.module.version

    def accepts(self, printed: str) -> bool:
        """Whether a binary that prints this text does as well: same major and minor version."""
        wanted, found = _minor(self.version), _minor(printed)
        return wanted is not None and wanted == found


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

PROGRAMS = (
    Program(
        "kubectl",
        KUBERNETES,
        "k8s.io/kubernetes/cmd/kubectl",
        ("version", "--client"),
        _KUBERNETES_STAMPS,
    ),
)


def program(name: str) -> Program:
    """The row of that name; raises ControlPlaneError naming the rows there are."""
    for row in PROGRAMS:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in PROGRAMS)
    raise ControlPlaneError(f"no program {name!r} to build: choose one of {known}")
