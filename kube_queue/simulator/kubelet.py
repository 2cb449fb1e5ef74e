"""The kubelets of our nodes: a pod bound to one runs for as long as its script says.

    Pending, bound --room--> Running --script over--> Succeeded | Failed
         |                      |  ^ restartPolicy
         | no room              |  '-- restarted, one more restart counted
         v                      v deleted
    Failed (OutOfcpu)         ends after its stop time or grace period, then is gone

A strategic patch of conditions and container statuses merges by their names, as a kubelet's does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import PODS
from kube_queue.kube.client import Client
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator import pod_status
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import NodeView, PodView, pod_view

Key = tuple[str, str]

SHORTEST_CYCLE_SECONDS: Final = 1.0
"""A container that ends at once is started again at most this often."""
_WORKERS: Final = 16
_MICROSECONDS: Final = 1_000_000


class Kubelet:
    """Plays the kubelet of every node of ours."""

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
        self._queue: WorkQueue[Key] = WorkQueue()
        self._admitted: dict[str, tuple[str, ResourceVector]] = {}
        self._used: dict[str, ResourceVector] = defaultdict(lambda: EMPTY)
        self._exact_start: dict[str, float] = {}
        pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        """Pods run, until cancelled."""
        await self._nodes.synced.wait()
        await self._pods.synced.wait()
        await run_workers(self._queue, self._reconcile, _WORKERS)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        if old is not None and (new is None or new.terminal):
            self._leave(old.uid)
        if new is None:
            return
        if new.node and new.started and not new.terminal:
            self._admit(new)
        if new.deletion or (new.node and not new.terminal):
            self._queue.add((new.namespace, new.name))

    def _node_changed(self, old: NodeView | None, new: NodeView | None) -> None:
        """Pods may have been bound before the node was seen."""
        if new is None or (old is not None and old.ours == new.ours):
            return
        for pod in self._pods.values():
            if pod.node == new.name:
                self._queue.add((pod.namespace, pod.name))

    async def _reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(*key)
        if pod is None:
            return None
        if pod.deletion:
            return await self._end(pod)
        node = self._nodes.get("", pod.node) if pod.node else None
        if node is None or not node.ours or pod.terminal:
            return None
        if not pod.started:
            await self._start(pod, node)
            return None
        return await self._continue(pod)

    async def _start(self, pod: PodView, node: NodeView) -> None:
        now = self._clock()
        short = None if pod.uid in self._admitted else self._shortage(pod, node)
        if short is not None:
            used, capacity = self._used[node.name][short], node.allocatable[short]
            await self._write(pod, pod_status.rejected(pod, short, used, capacity, now))
            return
        # Charged before the write: another pod's start may be decided while it is under way.
        self._admit(pod)
        self._exact_start[pod.uid] = now
        await self._write(pod, pod_status.running(pod, now))

    async def _continue(self, pod: PodView) -> float | None:
        """Seconds until the containers end; what is due has been written."""
        now = self._clock()
        since = self._exact_start.get(pod.uid)
        if since is None:
            since = (pod.running_since or pod.started) / _MICROSECONDS
        restarts = _is_restarted(pod)
        seconds = max(pod.script.seconds, SHORTEST_CYCLE_SECONDS if restarts else 0.0)
        left = since + seconds - now
        if left > 0:
            return None if math.isinf(left) else left
        if restarts:
            self._exact_start[pod.uid] = now
            await self._write(pod, pod_status.restarted(pod, pod.script.exit_code, now))
        else:
            await self._write(pod, pod_status.ended(pod, pod.script.exit_code, now))
        return None

    async def _end(self, pod: PodView) -> float | None:
        """A pod that is being deleted is gone once its processes have ended.

        A pod no node ever took has none: here the simulator plays the pod garbage collector.
        """
        if pod.node:
            node = self._nodes.get("", pod.node)
            if node is not None and not node.ours:
                return None
        if pod.started and not pod.terminal:
            asked = pod.deletion / _MICROSECONDS - pod.grace
            left = asked + min(pod.script.stop_seconds, pod.grace) - self._clock()
            if left > 0:
                return left
        try:
            await self._client.delete(PODS, pod.namespace, pod.name, uid=pod.uid, grace_seconds=0)
        except (NotFound, Conflict):
            return None
        return None

    async def _write(self, pod: PodView, status: dict[str, Any]) -> None:
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        try:
            answer = await self._client.patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status"
            )
        except (NotFound, Conflict):
            self._leave(pod.uid)
            return
        self._pods.wrote(pod_view(answer))

    def _shortage(self, pod: PodView, node: NodeView) -> str | None:
        """The first resource the node has too little of."""
        used = self._used[node.name]
        for name, amount in pod.demand.items:
            if used[name] + amount > node.allocatable[name]:
                return name
        return None

    def _admit(self, pod: PodView) -> None:
        if pod.uid not in self._admitted:
            self._admitted[pod.uid] = (pod.node, pod.demand)
            self._used[pod.node] += pod.demand

    def _leave(self, uid: str) -> None:
        self._exact_start.pop(uid, None)
        node, demand = self._admitted.pop(uid, ("", EMPTY))
        if node:
            self._used[node] -= demand


def _is_restarted(pod: PodView) -> bool:
    """Whether its restart policy starts its containers again once they end."""
    if pod.restart_policy == "Always":
        return True
    return pod.restart_policy == "OnFailure" and pod.script.exit_code != 0
