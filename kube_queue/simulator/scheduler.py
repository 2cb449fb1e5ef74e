"""A plain default scheduler: pods by priority, then age, onto the least loaded node they fit.

It looks at resources, nodeSelector, taints and cordons. It neither preempts nor balances zones.
A pod that fits nowhere is parked and looked at again when a node changes or a pod leaves one;
nothing is polled. Its condition Unschedulable is written once, and an Event says the same.

    waiting --fits--> assumed on a node --bound--> seen on the node
       ^  |                  | refused
       |  '--no node--> parked <--'   (left again by: a pod gone, a node changed)
       '----------------------'
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from kube_queue.api.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from kube_queue.api.names import DEFAULT_SCHEDULER
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import PODS
from kube_queue.kube.client import Client
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator import pod_status
from kube_queue.simulator.events import Said, tell
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import NodeView, PodView, Toleration, pod_view

_WORKERS: Final = 16
_BATCH: Final = 256
"""Pods placed before other tasks get their turn."""

Key = tuple[str, str]
Shape = tuple[ResourceVector, tuple[tuple[str, str], ...], tuple[Toleration, ...]]


@dataclass(slots=True)
class Room:
    """One node and what the pods on it take."""

    node: NodeView
    used: ResourceVector = field(default=EMPTY)

    def refusal(self, pod: PodView) -> str:
        """Why the node does not take the pod, in the scheduler's words; empty when it does."""
        node = self.node
        if node.cordoned:
            return "node(s) were unschedulable"
        if any(node.labels.get(key) != value for key, value in pod.selector):
            return "node(s) didn't match Pod's node affinity/selector"
        for key, value, effect in node.taints:
            if not any(_tolerates(each, key, value, effect) for each in pod.tolerations):
                return f"node(s) had untolerated taint {{{key}: {value}}}"
        for name, amount in pod.demand.items:
            if self.used[name] + amount > node.allocatable[name]:
                return "Too many pods" if name == "pods" else f"Insufficient {name}"
        return ""

    def load_with(self, demand: ResourceVector) -> float:
        """The largest used share of cpu and memory once the demand is on it."""
        return max(
            (self.used[name] + demand[name]) / max(1, self.node.allocatable[name])
            for name in ("cpu", "memory")
        )


class Scheduler:
    """Plays the scheduler named default-scheduler."""

    def __init__(
        self,
        client: Client,
        pods: Table[PodView],
        nodes: Table[NodeView],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._pods = pods
        self._nodes = nodes
        self._clock = clock
        self._rooms: dict[str, Room] = {}
        self._placed: dict[str, tuple[str, ResourceVector]] = {}
        """Pods that take room, by uid: seen on a node, or assumed there while being bound."""
        self._assumed: dict[str, str] = {}
        self._waiting: dict[str, Key] = {}
        self._parked: dict[str, Key] = {}
        self._why: dict[Key, str] = {}
        self._wake = asyncio.Event()
        self._writes: WorkQueue[Key] = WorkQueue()
        pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        """Pods are placed, until cancelled."""
        await self._nodes.synced.wait()
        await self._pods.synced.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_workers(self._writes, self._write, _WORKERS))
            group.create_task(self._place_for_ever())

    # News.

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        uid = old.uid if new is None and old is not None else new.uid if new is not None else ""
        if new is not None and new.node and not new.terminal:
            self._forget_waiting(uid)
            self._assumed.pop(uid, None)
            self._occupy(uid, new.node, new.demand)
        elif new is None or new.terminal or new.deletion:
            self._forget_waiting(uid)
            self._assumed.pop(uid, None)
            self._vacate(uid)
        elif _is_ours(new) and uid not in self._assumed and uid not in self._parked:
            self._waiting[uid] = (new.namespace, new.name)
            self._wake.set()
        elif old is not None and old.demand is not new.demand and uid in self._parked:
            self._unpark([uid])

    def _node_changed(self, old: NodeView | None, new: NodeView | None) -> None:
        if new is None:
            if old is not None:
                self._rooms.pop(old.name, None)
            return
        room = self._rooms.get(new.name)
        if room is None:
            room = self._rooms[new.name] = Room(new)
            for node, demand in self._placed.values():
                if node == new.name:
                    room.used += demand
        elif _same_room(room.node, new):
            room.node = new
            return
        room.node = new
        self._unpark(list(self._parked))

    # Deciding.

    async def _place_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._place_all()

    async def _place_all(self) -> None:
        """Every waiting pod has been tried once, in order; equal pods share a refusal."""
        refused: dict[Shape, str] = {}
        for tried, pod in enumerate(self._in_order(), start=1):
            if tried % _BATCH == 0:
                await asyncio.sleep(0)
                refused.clear()
            if self._waiting.pop(pod.uid, None) is None:
                continue
            shape = (pod.demand, pod.selector, pod.tolerations)
            why = pod.invalid or refused.get(shape)
            node = None if why else self._best_room(pod)
            key = (pod.namespace, pod.name)
            if node is not None:
                self._assumed[pod.uid] = node
                self._occupy(pod.uid, node, pod.demand)
                self._writes.add(key)
                continue
            refused[shape] = why = why or self._explain(pod)
            self._parked[pod.uid] = key
            if not pod.unschedulable:
                self._why[key] = why
                self._writes.add(key)

    def _in_order(self) -> list[PodView]:
        pods = [
            pod
            for uid, key in self._waiting.items()
            if (pod := self._pods.get(*key)) is not None and pod.uid == uid
        ]
        return sorted(pods, key=lambda pod: (-pod.priority, pod.created, pod.namespace, pod.name))

    def _best_room(self, pod: PodView) -> str | None:
        """The least loaded node that takes the pod; of equals the first by name."""
        fitting = [room for room in self._rooms.values() if not room.refusal(pod)]
        if not fitting:
            return None
        best = min(fitting, key=lambda room: (room.load_with(pod.demand), room.node.name))
        return best.node.name

    def _explain(self, pod: PodView) -> str:
        if not self._rooms:
            return "no nodes available to schedule pods"
        reasons = Counter(room.refusal(pod) for room in self._rooms.values())
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        return f"0/{len(self._rooms)} nodes are available: {listed}."

    # Writing.

    async def _write(self, key: Key) -> None:
        pod = self._pods.get(*key)
        why = self._why.get(key)
        if pod is None:
            self._why.pop(key, None)
            return
        node = self._assumed.get(pod.uid)
        if node is not None and not pod.node:
            await self._bind(pod, node)
        elif why is not None and pod.uid in self._parked and not pod.unschedulable:
            await self._mark_unschedulable(pod, why)
        # Only now: a write that is tried again still has to know what to say.
        self._why.pop(key, None)

    async def _bind(self, pod: PodView, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create_subresource(PODS, pod.namespace, pod.name, "binding", binding)
        except (NotFound, Conflict, BadRequest, Invalid, Forbidden):
            # Gone, bound by somebody else or refused: the watch tells which; until then it waits.
            if self._assumed.pop(pod.uid, None) is not None:
                self._vacate(pod.uid)
                self._parked[pod.uid] = (pod.namespace, pod.name)

    async def _mark_unschedulable(self, pod: PodView, why: str) -> None:
        status = pod_status.unschedulable(why, self._clock())
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        try:
            answer = await self._client.patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status"
            )
        except (NotFound, Conflict):
            return
        self._pods.wrote(pod_view(answer))
        about = {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
        said = Said(DEFAULT_SCHEDULER, "Warning", "FailedScheduling", why)
        mark = f"unschedulable-{pod.uid[:8]}"
        await tell(self._client, PODS, about, said, mark=mark, now=self._clock())

    # Accounts.

    def _occupy(self, uid: str, node: str, demand: ResourceVector) -> None:
        held = self._placed.get(uid)
        if held is not None and held[0] == node and held[1] is demand:
            return
        self._release(uid)
        self._placed[uid] = (node, demand)
        room = self._rooms.get(node)
        if room is not None:
            room.used += demand
        if held is not None:
            self._unpark(list(self._parked))

    def _vacate(self, uid: str) -> None:
        if self._release(uid):
            self._unpark(list(self._parked))

    def _release(self, uid: str) -> bool:
        node, demand = self._placed.pop(uid, ("", EMPTY))
        room = self._rooms.get(node)
        if room is not None:
            room.used -= demand
        return bool(node)

    def _forget_waiting(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        self._parked.pop(uid, None)

    def _unpark(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._waiting[uid] = self._parked.pop(uid)
            self._wake.set()


def _is_ours(pod: PodView) -> bool:
    return pod.scheduler == DEFAULT_SCHEDULER and not pod.gated


def _same_room(old: NodeView, new: NodeView) -> bool:
    """Whether nothing about the node changed that could let a parked pod in."""
    return (old.allocatable, old.labels, old.taints, old.cordoned) == (
        new.allocatable,
        new.labels,
        new.taints,
        new.cordoned,
    )


def _tolerates(toleration: Toleration, key: str, value: str, effect: str) -> bool:
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.key and toleration.key != key:
        return False
    return toleration.operator == "Exists" or toleration.value == value
