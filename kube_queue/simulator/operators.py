"""Every operator that can be played, and which of them play now.

An operator plays while the definition of its kind is served, and is ours by its label: on a cluster
that has the real operator, the definition is its own, and the kind is left alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.types import CRDS
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.simulator.fields import condition_status, mapping, mappings, text
from kube_queue.simulator.kubeflow_kinds import KUBEFLOW_KINDS
from kube_queue.simulator.kubeflow_operator import operated
from kube_queue.simulator.mpi_operator import MPI_OPERATOR
from kube_queue.simulator.operator import Operator
from kube_queue.simulator.outcome import OperatedKind
from kube_queue.simulator.rayjob_operator import RAYJOB
from kube_queue.simulator.spark_operator import SPARK_APPLICATION
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import PodView, job_document
from kube_queue.simulator.workflow_operator import WORKFLOW

OUR_OPERATOR: Final = "simulator.kube-queue/operator"
"""Label, "true" on definitions whose kind the simulator plays."""

OPERATORS: Final[Mapping[str, OperatedKind]] = {
    **{kind.name.lower(): operated(kind) for kind in KUBEFLOW_KINDS},
    "mpijob": MPI_OPERATOR,
    "rayjob": RAYJOB,
    "sparkapp": SPARK_APPLICATION,
    "workflow": WORKFLOW,
}
"""By the name of the part they play."""


@dataclass(frozen=True, slots=True)
class DefinitionView:
    """A CustomResourceDefinition, as far as starting an operator needs."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    versions: frozenset[str]
    """Versions it serves; none while it is not established or goes away."""
    ours: bool


def definition_view(obj: Mapping[str, Any]) -> DefinitionView:
    """The view of a definition; it never raises on bad content."""
    metadata, status = mapping(obj.get("metadata")), mapping(obj.get("status"))
    established = condition_status(status.get("conditions"), "Established") == "True"
    served = established and not metadata.get("deletionTimestamp")
    versions = mappings(mapping(obj.get("spec")).get("versions")) if served else []
    return DefinitionView(
        namespace="",
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        resource_version=text(metadata.get("resourceVersion")),
        versions=frozenset(text(each.get("name")) for each in versions if each.get("served")),
        ours=mapping(metadata.get("labels")).get(OUR_OPERATOR) == "true",
    )


class Operators:
    """Plays the named operators, each for as long as its definition is there and ours."""

    def __init__(
        self,
        client: Client,
        pods: Table[PodView],
        names: frozenset[str],
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._client = client
        self._pods = pods
        self._clock = clock
        self._rng = rng
        self._kinds = {
            f"{kind.resource.plural}.{kind.resource.group}": kind
            for name, kind in OPERATORS.items()
            if name in names
        }
        self._definitions = Informer(client, CRDS, definition_view, rng=rng)
        self._definitions.add_handler(self._seen)
        self._playing: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Operators come and go with their definitions, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._definitions.run())
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._arrange(group)

    def _seen(self, old: DefinitionView | None, new: DefinitionView | None) -> None:
        view = new if new is not None else old
        if view is not None and view.name in self._kinds:
            self._changed.set()

    def _arrange(self, group: asyncio.TaskGroup) -> None:
        for name, kind in self._kinds.items():
            view = self._definitions.get("", name)
            wanted = view is not None and view.ours and kind.resource.version in view.versions
            uid = view.uid if view is not None and wanted else ""
            playing, task = self._playing.get(name, ("", None))
            if task is not None and playing != uid:
                task.cancel()
                del self._playing[name]
            if uid and playing != uid:
                self._playing[name] = (uid, group.create_task(self._play(kind)))

    async def _play(self, kind: OperatedKind) -> None:
        informer = Informer(self._client, kind.resource, job_document, rng=self._rng)
        jobs = Table(informer, lambda job: job.uid)
        operator = Operator(self._client, kind, jobs, self._pods, clock=self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informer.run())
                group.create_task(operator.run())
        finally:
            operator.close()
