"""Builds the programs of a genuine Kubernetes ahead of their first use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from kube_queue.api.errors import InvalidSetting
from kube_queue.app.supervisor import ChildFailed
from kube_queue.controlplane.build import obtain_all
from kube_queue.controlplane.errors import ControlPlaneError
from kube_queue.controlplane.programs import PROGRAMS


def build_programs(name: str, say: Callable[[str], None]) -> list[Path]:
    """The path of a working binary of this program, or of each when the name is `all`.

    `say` gets lines of progress. Raises InvalidSetting when no program has this name, ChildFailed
    with one sentence when one cannot be built.
    """
    known = ", ".join(row.name for row in PROGRAMS)
    rows = PROGRAMS if name == "all" else tuple(row for row in PROGRAMS if row.name == name)
    if not rows:
        raise InvalidSetting(f"{name!r} is no program", "PROGRAM", f"choose one of {known}, or all")
    try:
        paths = asyncio.run(obtain_all(rows, say))
    except ControlPlaneError as problem:
        raise ChildFailed(str(problem)) from problem
    return [paths[row.name] for row in rows]
