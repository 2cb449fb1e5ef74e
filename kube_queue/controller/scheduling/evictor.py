"""Pods that have to go so that a unit fits: told so once, by uid, in the way their reason asks for.

::

    reclaim (quota that was lent)     POST pods/eviction      PodDisruptionBudgets decide
    priority                          condition DisruptionTarget, then DELETE
    pods of a unit that holds quota   annotation on the QueueUnit: its controller evicts all of it

Where a budget, or anything else for good, keeps a victim where it is, the cache is told: the room
that is kept for others is kept on, and only the rest is planned anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import structlog

from kube_queue.api.conditions import rfc3339
from kube_queue.api.errors import (
    Conflict,
    ConnectionLost,
    KubeQueueError,
    NotFound,
    ServerFault,
    TooManyRequests,
)
from kube_queue.api.names import RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.pods import Pod
from kube_queue.api.reasons import Reason
from kube_queue.api.types import PODS, QUEUE_UNITS
from kube_queue.controller.records import UnitRecord
from kube_queue.controller.scheduling.means import Means, pod_key
from kube_queue.kube.client import Client
from kube_queue.kube.served import Served
from kube_queue.kube.writes import Done, Failed, Lane, Outcome
from kube_queue.placement.decisions import Preempt

UNKNOWN_PAUSE: Final = 2.0
"""Seconds until an eviction of unknown outcome is sent again, after the write scheduler gave up."""

_log = structlog.get_logger("controller.scheduling.evictor")


class Protected(KubeQueueError):
    """A disruption budget does not let the pod go now."""


@dataclass(slots=True, eq=False)
class _Eviction:
    """One pod that has to go, and for whom."""

    pod: Pod
    wanted_by: tuple[Pod, ...]
    reclaim: bool


class Evictor:
    """Evicts what a decision names."""

    def __init__(self, means: Means, units: Served[UnitRecord]) -> None:
        self._means = means
        self._units = units
        self._stopped = False
        self._under_way: set[str] = set()

    def stop(self) -> None:
        """Nothing more is evicted from here."""
        self._stopped = True

    def apply(self, decision: Preempt) -> None:
        """Every victim is on its way; one that is already is not told twice."""
        plan = decision.preemption
        wanted_by = tuple(pod for pod, _ in plan.nominations)
        for victim in plan.victims:
            if victim.uid not in self._under_way:
                self._under_way.add(victim.uid)
                self._submit(_Eviction(victim, wanted_by, plan.reclaim))
        if plan.units and wanted_by:
            wanted = set(plan.units)
            for record in self._units.values():
                if record.uid in wanted:
                    self._ask(record, wanted_by[0])

    def _submit(self, eviction: _Eviction) -> None:
        async def send(client: Client) -> None:
            if eviction.reclaim:
                await _evict(client, eviction.pod)
            else:
                await _delete(client, eviction, self._means.clock())

        def done(outcome: Outcome) -> None:
            self._ended(eviction, outcome)

        self._means.writes.submit(Lane.EVICT, pod_key(eviction.pod), send, done)

    def _ended(self, eviction: _Eviction, outcome: Outcome) -> None:
        if self._stopped:
            return
        error = outcome.error if isinstance(outcome, Failed) else None
        if error is None and not isinstance(outcome, Done):
            error = ConnectionLost("overtaken")
        if error is not None and _unknown(error):
            asyncio.get_running_loop().call_later(UNKNOWN_PAUSE, self._again, eviction)
            return
        self._under_way.discard(eviction.pod.uid)
        if error is None:
            self._gone(eviction)
        elif not isinstance(error, NotFound | Conflict):
            # Else somebody was faster; whatever stands there now is another pod.
            self._stays(eviction, error)

    def _again(self, eviction: _Eviction) -> None:
        if self._stopped or not self._means.cache.claims.awaits(eviction.pod.uid):
            self._under_way.discard(eviction.pod.uid)
        else:
            self._submit(eviction)

    def _stays(self, eviction: _Eviction, error: KubeQueueError) -> None:
        say = _log.info if isinstance(error, Protected) else _log.warning
        say("a pod was not evicted", pod=eviction.pod.key, problem=str(error))
        self._means.cache.eviction_refused(eviction.pod.uid, self._means.clock())
        self._means.wake()

    def _ask(self, record: UnitRecord, wanted_by: Pod) -> None:
        """The queue controller is asked to evict the unit whole."""
        patch = {
            "metadata": {
                "uid": record.uid,
                "annotations": {RECLAIM_REQUESTED_ANNOTATION: wanted_by.uid},
            }
        }

        async def send(client: Client) -> None:
            await client.patch(QUEUE_UNITS, record.namespace, record.name, patch)

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Failed) and not isinstance(outcome.error, NotFound):
                # Its claim lapses, and then it is planned anew.
                problem = str(outcome.error)
                _log.warning("a unit was not asked to go", unit=record.unit.key, problem=problem)

        key = (QUEUE_UNITS.plural, record.namespace, record.name)
        self._means.writes.submit(Lane.EVICT, key, send, done)

    def _gone(self, eviction: _Eviction) -> None:
        means = self._means
        reason = Reason.RECLAIMED if eviction.reclaim else Reason.PREEMPTED
        means.meters.evicted(reason)
        means.tell(eviction.pod, "Normal", Reason.PREEMPTED, _words(eviction))
        _log.info("a pod was evicted", pod=eviction.pod.key, reason=str(reason))


async def _evict(client: Client, pod: Pod) -> None:
    body: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": pod.namespace, "name": pod.name},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    try:
        await client.create_subresource(PODS, pod.namespace, pod.name, "eviction", body)
    except TooManyRequests as error:
        # Not a busy server but a budget: it would be sent again at once otherwise.
        raise Protected(str(error)) from error


async def _delete(client: Client, eviction: _Eviction, now: float) -> None:
    pod = eviction.pod
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": _words(eviction),
        "lastTransitionTime": rfc3339(now),
    }
    patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
    await client.patch(PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status")
    await client.delete(PODS, pod.namespace, pod.name, uid=pod.uid)


def _words(eviction: _Eviction) -> str:
    first = eviction.wanted_by[0].key if eviction.wanted_by else "other pods"
    more = len(eviction.wanted_by) - 1
    whom = f"{first} and {more} more" if more > 0 else first
    if eviction.reclaim:
        return f"The quota lent to it is taken back by {whom}"
    return f"Preempted by {whom}, of a higher priority"


def _unknown(error: KubeQueueError) -> bool:
    return isinstance(error, (ConnectionLost, ServerFault, TooManyRequests))
