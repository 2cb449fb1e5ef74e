"""What a back end offers to the runner, and a running cluster to a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml

CONFIG_FLAG = "--config"
"""A flag of every back end: the settings file that our processes are given."""


class RunningCluster(Protocol):
    """A cluster with kube-queue in it."""

    kubeconfig: Path

    def pid(self, part: str) -> int | None:
        """Process id of `controller`, `job-extensions` or `simulator`; None while it is down."""

    def said(self) -> Mapping[str, Sequence[str]]:
        """What our processes wrote to their logs, by part."""

    async def stop(self) -> None:
        """Everything of the cluster is gone."""


class Backend(Protocol):
    """Starts clusters; `has` names the abilities a scenario may need."""

    name: str
    has: frozenset[str]

    async def start(
        self,
        *,
        environment: Mapping[str, str],
        flags: tuple[str, ...],
        needs: frozenset[str] = frozenset(),
    ) -> RunningCluster:
        """A fresh cluster serves; `flags` are flags of `local up` with their values.

        `needs` are abilities it has to have, which other clusters of the back end may lack.
        Raises BackendFailed.
        """


class BackendFailed(Exception):
    """The back end could not give a cluster: one sentence."""


def settings_flags(folder: Path, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags by which `start` is told these settings; they are written into the folder."""
    if not settings:
        return ()
    config = folder / "settings.yaml"
    config.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return (CONFIG_FLAG, str(config))


@runtime_checkable
class Lasting(Protocol):
    """A back end that keeps something between its clusters."""

    async def close(self) -> None:
        """Nothing of it is left."""


class Unavailable(Exception):
    """This machine cannot have the back end: one sentence.

    `code` is the exit code of the run: 0 where that is no reason for complaint.
    """

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code
