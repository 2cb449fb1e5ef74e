"""What /metrics reads off memory when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kube_queue.api.resources import MILLI_RESOURCES
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.catalogue import (
    ADMITTED_UNITS,
    API_REQUESTS,
    API_WRITES,
    EVENTS_DROPPED,
    INFORMER_OBJECTS,
    LEADER,
    PENDING_UNITS,
    QUOTA_MAX,
    QUOTA_MIN,
    QUOTA_REQUEST,
    QUOTA_USED,
    RESERVED_UNITS,
    WAITING_SCHEDULING_UNITS,
    Metric,
)
from kube_queue.observability.meters import Reading
from kube_queue.serving.quotas import quota_rows

if TYPE_CHECKING:
    # It loads numpy, which a queue controller does without.
    from kube_queue.controller.scheduling.side import SchedulingSide


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the readings of one process come from."""

    client: Client
    side: Callable[[], QueueSide]
    writes: Callable[[], WriteScheduler | None]
    """The write scheduler while this process leads."""
    leading: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class SchedulerSources:
    """Where the readings of a co-scheduler come from; the last two only while it leads."""

    client: Client
    side: SchedulingSide | None
    writes: WriteScheduler | None


def scheduler_readings(sources: SchedulerSources) -> Iterator[Reading]:
    """The present value of everything that is not counted on its way."""
    side = sources.side
    yield LEADER, (), float(side is not None)
    yield from _of_requests(sources.client, sources.writes)
    if side is None:
        return
    yield WAITING_SCHEDULING_UNITS, (), len(side.cache.waiting)
    if side.events is not None:
        yield EVENTS_DROPPED, (), side.events.dropped
    for informer in side.informers():
        yield INFORMER_OBJECTS, (informer.resource.plural,), len(informer)


def readings(sources: Sources) -> Iterator[Reading]:
    """The present value of everything that is not counted on its way."""
    yield LEADER, (), float(sources.leading())
    yield from _of_requests(sources.client, sources.writes())
    side = sources.side()
    if side.events is not None:
        yield EVENTS_DROPPED, (), side.events.dropped
    informers: tuple[Informer[Any], ...] = (side.units, side.queues, *side.quotas.informers)
    for informer in informers:
        yield INFORMER_OBJECTS, (informer.resource.plural,), len(informer)
    yield from _of_queues(side)
    yield from _of_quotas(side)


def _of_requests(client: Client, writes: WriteScheduler | None) -> Iterator[Reading]:
    for verb, count in client.requests.items():
        yield API_REQUESTS, (verb,), count
    if writes is not None:
        for (lane, result), count in writes.counts.items():
            yield API_WRITES, (lane.name.lower(), result), count


def _of_queues(side: QueueSide) -> Iterator[Reading]:
    for record in side.queues.values():
        counts = side.cache.queue_status(record.queue.key)
        if counts is None:
            continue
        labels = (record.name,)
        yield PENDING_UNITS, labels, counts.pending
        yield RESERVED_UNITS, labels, counts.reserved
        yield ADMITTED_UNITS, labels, counts.admitted


def _of_quotas(side: QueueSide) -> Iterator[Reading]:
    for row in quota_rows(side):
        yield from _of_resources(QUOTA_USED, row.path, row.used)
        yield from _of_resources(QUOTA_REQUEST, row.path, row.request)
        yield from _of_resources(QUOTA_MIN, row.path, row.min)
        yield from _of_resources(QUOTA_MAX, row.path, row.max)


def _of_resources(metric: Metric, path: str, amounts: Mapping[str, int]) -> Iterator[Reading]:
    for name, amount in amounts.items():
        # People chart cores, not millicores.
        yield metric, (path, name), amount / 1000 if name in MILLI_RESOURCES else amount
