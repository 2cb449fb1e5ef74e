"""What the demo shows, one command and its output at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_queue import manifests
from kube_queue.api.types import ResourceType
from kube_queue.kube.client import Client

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
WRITTEN_SLEEP: Final = "sleep 5s"
"""What pods of the demo's manifests do."""
LONGER_SLEEP: Final = "sleep 7s"
"""What those do that are in others' way, for as long as it takes to see that."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a person would see: the command and what it prints."""

    command: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


class DemoFailed(Exception):
    """The walk-through did not end as it should: one sentence."""


def sleeping(name: str, seconds: float) -> list[dict[str, Any]]:
    """The demo's manifests of this name, whose pods run for so long."""
    text = json.dumps(manifests.load(name))
    runs = {WRITTEN_SLEEP: seconds, LONGER_SLEEP: seconds + 2}
    text = re.sub("|".join(runs), lambda found: f"sleep {runs[found[0]]:g}s", text)
    documents: list[dict[str, Any]] = json.loads(text.replace(WRITTEN_SLEEP, f"sleep {seconds:g}s"))
    return documents


async def table(client: Client, resource: ResourceType, command: str, namespace: str) -> Step:
    """What kubectl prints of the kind; of all namespaces where `namespace` is empty."""
    answer = await client.transport.request("GET", resource.path(namespace, ""), accept=TABLE)
    return as_step(json.loads(answer.body), command, everywhere=not namespace)


def as_step(whole: Mapping[str, Any], command: str, *, everywhere: bool) -> Step:
    """The Table as kubectl prints it."""
    shown = [
        index for index, one in enumerate(whole["columnDefinitions"]) if not one.get("priority")
    ]
    header = [whole["columnDefinitions"][index]["name"].upper() for index in shown]
    rows = [[str(row["cells"][index]) for index in shown] for row in whole["rows"]]
    if everywhere:
        header.insert(0, "NAMESPACE")
        for row, one in zip(rows, whole["rows"], strict=True):
            row.insert(0, one["object"]["metadata"]["namespace"])
    return Step(command, header, rows)
