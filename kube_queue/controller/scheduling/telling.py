"""Why pods wait, written to them late and only when it has changed.

A pod that is placed soon is never told anything, unless a whole job leaves for it: then the queue
has to know at once that the quota which comes back is spoken for. What is told is the condition
PodScheduled=False and one event for each changed message; a few are written at a time, through the
slow lane, each as true as at the moment it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.pods import Pod
from kube_queue.api.reasons import Reason
from kube_queue.api.types import PODS
from kube_queue.controller.scheduling.means import Means, pod_key
from kube_queue.kube.client import Client
from kube_queue.kube.writes import Done, Lane, Outcome
from kube_queue.placement.units import UnitKey
from kube_queue.placement.verdict import Verdict

AT_ONCE: Final = 8
"""Conditions handed to the write scheduler at a time."""
AGAIN_SECONDS: Final = 0.5
"""After this long at least a pod is told that had changed meanwhile."""
MESSAGE_LENGTH: Final = 1024
"""Characters of a message; a node's reasons can be many."""
OWN_EVENTS: Final = (
    Reason.INVALID_TOPOLOGY_CONSTRAINT,
    Reason.INVALID_GANG,
    Reason.INVALID_POD_GROUP,
)
"""Messages that begin with one of these words are events of that reason."""


@dataclass(slots=True)
class _Telling:
    """What one pod is to be told, and when on the loop's clock."""

    pod: Pod
    message: str
    at: float
    lane: Lane = Lane.REASON


class Teller:
    """Keeps the condition PodScheduled and status.nominatedNodeName of waiting pods true.

    `after` is how many seconds a pod waits before it is told anything.
    """

    def __init__(self, means: Means, *, after: float) -> None:
        self._means = means
        self._after = after
        self._due: dict[str, _Telling] = {}
        """By uid, in the order in which they are due."""
        self._first = asyncio.Event()
        """Another one than before is due first."""
        self._slots = asyncio.Semaphore(AT_ONCE)

    def waits(
        self, key: UnitKey, why: Mapping[str, Verdict], note: str = "", *, at_once: bool = False
    ) -> None:
        """The members of the unit were tried and wait, each for its reason by uid; the note is for
        all of them. ``at_once``: they are told before anybody else.
        """
        unit = self._means.cache.gangs.unit(key)
        if unit is None:
            return
        at = asyncio.get_running_loop().time() + (0.0 if at_once else self._after)
        idle = not self._due
        for pod in unit.members():
            verdict = why.get(pod.uid)
            if verdict is not None:
                message = f"{verdict.message} {note}" if note else verdict.message
                self._note(pod, message[:MESSAGE_LENGTH], at)
        if at_once:
            self._hurry(why)
        if at_once or idle:
            self._first.set()

    def unnominated(self, pod: Pod) -> None:
        """No room is kept for the pod any more."""
        at = asyncio.get_running_loop().time() + self._after
        present = self._means.pod(pod.namespace, pod.name)
        # Whatever it is told next tells this as well.
        if present is not None and present.uid == pod.uid and pod.uid not in self._due:
            self._note(present, present.unschedulable, at)
            self._first.set()

    async def run(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._first.clear()
            first = next(iter(self._due.values()), None)
            if first is not None and first.at <= loop.time():
                del self._due[first.pod.uid]
                await self._tell(first)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(first.at if first is not None else None):
                    await self._first.wait()

    def _note(self, pod: Pod, message: str, at: float) -> None:
        waiting = self._due.get(pod.uid)
        if waiting is not None:
            waiting.message = message
        elif not self._knows(pod, message):
            self._due[pod.uid] = _Telling(pod, message, at)

    def _hurry(self, uids: Iterable[str]) -> None:
        first = {uid: self._due[uid] for uid in uids if uid in self._due}
        for telling in first.values():
            telling.at, telling.lane = asyncio.get_running_loop().time(), Lane.EVICT
        self._due = {**first, **self._due}

    def _knows(self, pod: Pod, message: str) -> bool:
        nominated = self._means.cache.cluster.nomination(pod.uid)
        return pod.unschedulable == message and pod.nominated == nominated

    def _present(self, telling: _Telling) -> Pod | None:
        """The pod as it is, where it still waits and does not know it all."""
        told = telling.pod
        pod = self._means.pod(told.namespace, told.name)
        if pod is None or pod.uid != told.uid or pod.node or pod.finished or pod.deletion:
            return None
        if self._means.cache.cluster.placed(pod.uid) is not None:
            return None
        return None if self._knows(pod, telling.message) else pod

    async def _tell(self, telling: _Telling) -> None:
        if self._present(telling) is None:
            return
        await self._slots.acquire()

        async def send(client: Client) -> Pod | None:
            return await self._write(client, telling)

        def done(outcome: Outcome) -> None:
            self._slots.release()
            if isinstance(outcome, Done) and isinstance(outcome.result, Pod):
                self._say(outcome.result, telling.message)

        self._means.writes.submit(telling.lane, pod_key(telling.pod), send, done)

    async def _write(self, client: Client, telling: _Telling) -> Pod | None:
        """The pod as it was before it was told; None where there was nothing to tell any more."""
        pod = self._present(telling)
        if pod is None:
            return None
        nominated = self._means.cache.cluster.nomination(pod.uid)
        patch = _patch(pod, telling.message, nominated, self._means.clock())
        try:
            await client.patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status"
            )
        except NotFound:
            return None
        except Conflict:
            # Somebody changed it, perhaps nothing that gives it another turn.
            self._again(telling)
            return None
        return pod

    def _again(self, telling: _Telling) -> None:
        """The pod is told later, once it was seen as it is; what is due for it by now stands."""
        telling.at = asyncio.get_running_loop().time() + max(self._after, AGAIN_SECONDS)
        self._due.setdefault(telling.pod.uid, telling)
        self._first.set()

    def _say(self, before: Pod, message: str) -> None:
        if before.unschedulable != message:
            reason = next((one for one in OWN_EVENTS if message.startswith(f"{one}:")), None)
            self._means.tell(before, "Warning", reason or Reason.FAILED_SCHEDULING, message)


def _patch(pod: Pod, message: str, nominated: str, now: float) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if message != pod.unschedulable:
        condition: dict[str, Any] = {
            "type": "PodScheduled",
            "status": "False",
            "reason": Reason.UNSCHEDULABLE,
            "message": message,
            "lastProbeTime": None,
        }
        if not pod.unschedulable:
            condition["lastTransitionTime"] = rfc3339(now)
        status["conditions"] = [condition]
    if nominated != pod.nominated:
        status["nominatedNodeName"] = nominated or None
    # The version keeps what is said here from overtaking a binding by somebody else.
    return {
        "metadata": {"uid": pod.uid, "resourceVersion": pod.resource_version},
        "status": status,
    }
