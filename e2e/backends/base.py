"""What a back end offers to the runner, and a running cluster to a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class RunningCluster(Protocol):
    """A cluster with kube-queue in it."""

    kubeconfig: Path

    def pid(self, part: str) -> int | None:
        """Process id of `controller`, `job-extensions` or `simulator`; None while it is down."""

    async def stop(self) -> None:
        """Everything of the cluster is gone."""


class Backend(Protocol):
    """Starts clusters; `has` names the abilities a scenario may need."""

    name: str
    has: frozenset[str]

    async def start(
        self, *, environment: Mapping[str, str], flags: tuple[str, ...]
    ) -> RunningCluster:
        """A fresh cluster serves. Raises BackendFailed."""


class BackendFailed(Exception):
    """The back end could not give a cluster: one sentence."""
