"""What a process that waits for the lead keeps: a copy of everything a scheduler reads.

It decides nothing by it. Who gets the lead lists anew, to see every binding that was made before.
But that it can read and hold what exists is known before it has to.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.nodes import node_of
from kube_queue.api.pod_disruption_budgets import budget_of
from kube_queue.api.pods import pod_of
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    QUEUE_UNITS,
)
from kube_queue.config import Settings
from kube_queue.controller.records import tree_record, unit_record
from kube_queue.controller.scheduling.groups import PodGroups
from kube_queue.controller.scheduling.surroundings import around_pods
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.kube.served import Served


class Standby:
    """The copy, kept true while `run` runs."""

    def __init__(self, client: Client, settings: Settings, *, rng: random.Random) -> None:
        size = settings.client.page_size
        plain = partial(Informer[Any], client, rng=rng, page_size=size)
        served = partial(Served[Any], client, handler=_nobody_asks, rng=rng, page_size=size)
        self._informers: tuple[Informer[Any] | Served[Any], ...] = (
            plain(NODES, node_of),
            plain(PODS, pod_of),
            *around_pods(client, rng=rng, page_size=size),
            *PodGroups(client, _nobody_asks, rng=rng, page_size=size).kinds.values(),
            served(ELASTIC_QUOTA_TREES, tree_record, namespace=TREE_NAMESPACE),
            served(QUEUE_UNITS, unit_record),
            served(POD_DISRUPTION_BUDGETS, budget_of),
        )

    def informers(self) -> Iterator[Informer[Any] | Served[Any]]:
        """Every watch there is."""
        yield from self._informers

    async def run(self) -> None:
        """Keep the copy true until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())

    @property
    def ready(self) -> bool:
        """Whether what exists is in memory."""
        return all(informer.synced.is_set() for informer in self._informers)


def _nobody_asks(old: object, new: object) -> None:
    del old, new
