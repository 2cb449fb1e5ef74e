"""Pods that have to go so that a unit fits: told so once, by uid, in the way their reason asks for.

::

    reclaim (quota that was lent)     POST pods/eviction      PodDisruptionBudgets decide: 429 waits
    priority                          condition DisruptionTarget, then DELETE

A victim that a budget protects is asked for again as long as room is kept for somebody on its
node; nobody else is chosen in its place meanwhile.
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
from kube_queue.api.pods import Pod
from kube_queue.api.reasons import Reason
from kube_queue.api.types import PODS
from kube_queue.controller.scheduling.means import Means, pod_key
from kube_queue.kube.client import Client
from kube_queue.kube.writes import Done, Failed, Lane, Outcome
from kube_queue.placement.decisions import Preempt

FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 30.0
"""Seconds between two tries to evict a pod that its disruption budget protects."""

_log = structlog.get_logger("controller.scheduling.evictor")


class Protected(KubeQueueError):
    """A disruption budget does not let the pod go now."""

    def __init__(self, problem: str, wait: float | None) -> None:
        super().__init__(problem)
        self.wait = wait


@dataclass(slots=True, eq=False)
class _Eviction:
    """One pod that has to go, and for whom."""

    pod: Pod
    wanted_by: tuple[Pod, ...]
    reclaim: bool
    tries: int = 0


class Evictor:
    """Evicts what a decision names."""

    def __init__(self, means: Means) -> None:
        self._means = means
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
        if isinstance(outcome, Done):
            self._under_way.discard(eviction.pod.uid)
            self._gone(eviction)
        elif isinstance(error, NotFound | Conflict):
            # Somebody was faster; whatever stands there now is another pod.
            self._under_way.discard(eviction.pod.uid)
        elif error is None or _may_pass(error):
            self._rest(eviction, error)
        else:
            self._under_way.discard(eviction.pod.uid)
            _log.warning("a pod was not evicted", pod=eviction.pod.key, problem=str(error))

    def _rest(self, eviction: _Eviction, error: KubeQueueError | None) -> None:
        pause = min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(eviction.tries, 8))
        if isinstance(error, Protected) and error.wait is not None:
            pause = max(pause, error.wait)
        eviction.tries += 1
        asyncio.get_running_loop().call_later(pause, self._again, eviction)

    def _again(self, eviction: _Eviction) -> None:
        wanted = any(self._means.cache.cluster.nomination(pod.uid) for pod in eviction.wanted_by)
        if self._stopped or not wanted:
            self._under_way.discard(eviction.pod.uid)
        else:
            self._submit(eviction)

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
        raise Protected(str(error), error.retry_after) from error


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


def _may_pass(error: KubeQueueError) -> bool:
    return isinstance(error, (Protected, ConnectionLost, ServerFault, TooManyRequests))
