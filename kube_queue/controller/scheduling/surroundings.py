"""What else decides where a pod may stand: labels of namespaces, and what volumes there are."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.pods import Labels, shared_labels
from kube_queue.api.storage import claim_of, node_drivers_of, storage_class_of, volume_of
from kube_queue.api.types import (
    CSI_NODES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
)
from kube_queue.cache.placing import PlacementCache
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.placement.storage import StorageObject


@dataclass(frozen=True, slots=True)
class Known:
    """An object as its informer keeps it: a storage object, or a namespace's labels."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    thing: StorageObject | Labels


def _known(obj: dict[str, Any], *, read: Callable[[Mapping[str, Any]], Any]) -> Known:
    metadata = mapping_of(obj.get("metadata"))
    return Known(
        text_of(metadata.get("namespace")),
        text_of(metadata.get("name")),
        text_of(metadata.get("uid")),
        text_of(metadata.get("resourceVersion")),
        read(obj),
    )


def _labels(obj: Mapping[str, Any]) -> Labels:
    return shared_labels(mapping_of(mapping_of(obj.get("metadata")).get("labels")))


def around_pods(
    client: Client, *, rng: random.Random, page_size: int
) -> tuple[Informer[Known], ...]:
    """Informers of namespaces, claims, storage classes, CSINodes and volumes, in this order."""
    make = partial(Informer[Known], client, rng=rng, page_size=page_size)
    return (
        make(NAMESPACES, partial(_known, read=_labels), metadata_only=True),
        make(PERSISTENT_VOLUME_CLAIMS, partial(_known, read=claim_of)),
        make(STORAGE_CLASSES, partial(_known, read=storage_class_of)),
        make(CSI_NODES, partial(_known, read=node_drivers_of)),
        make(PERSISTENT_VOLUMES, partial(_known, read=volume_of)),
    )


class Surroundings:
    """Keeps the cache told; `wake` is called after every piece of news."""

    def __init__(
        self,
        client: Client,
        cache: PlacementCache,
        clock: Callable[[], float],
        wake: Callable[[], None],
        *,
        rng: random.Random,
        page_size: int,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._wake = wake
        informers = around_pods(client, rng=rng, page_size=page_size)
        self.namespaces, self.claims, *others = informers
        self._storage = (*others, self.claims)
        self.namespaces.add_handler(self._namespace_changed)
        for informer in self._storage:
            informer.add_handler(self._storage_changed)

    def informers(self) -> Iterator[Informer[Known]]:
        """Every watch there is."""
        yield self.namespaces
        yield from self._storage

    async def run(self) -> None:
        """Keep the cache told until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers():
                group.create_task(informer.run())

    def _namespace_changed(self, old: Known | None, new: Known | None) -> None:
        known = new or old
        if known is None:
            return
        labels = new.thing if new is not None and isinstance(new.thing, Mapping) else None
        self._cache.namespace_seen(known.name, labels, self._clock())
        self._wake()

    def _storage_changed(self, old: Known | None, new: Known | None) -> None:
        if new is not None and not isinstance(new.thing, Mapping):
            self._cache.storage_seen(new.thing, self._clock())
        elif new is None and old is not None and not isinstance(old.thing, Mapping):
            self._cache.storage_gone(old.thing, self._clock())
        self._wake()
