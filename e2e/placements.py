"""What must be true of pods on nodes at every moment, whoever put them there.

It reads only Pods and Nodes, in the order in which they changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from e2e.invariants import Broken
from e2e.world import World
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import NODES, PODS

Object = dict[str, Any]
GANG_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/name"
FINISHED: Final = frozenset({"Succeeded", "Failed"})


class Placements:
    """Where pods were put, what they take there, and who was made to leave."""

    def __init__(self) -> None:
        self.homes: dict[str, str] = {}
        """The node of every pod that ever had one, by uid."""
        self.evicted: dict[str, str] = {}
        """Names by uid of pods that were on a node and then told to leave, or gone at once."""
        self.pods: dict[str, Object] = {}
        """Pods there are, by uid."""
        self._room: dict[str, ResourceVector] = {}
        self._used: dict[str, ResourceVector] = defaultdict(lambda: EMPTY)
        self._taken: dict[str, tuple[str, ResourceVector]] = {}
        self._broken: list[str] = []
        self._over: list[tuple[str, str, int, str]] = []
        """(node, resource, used, the pod with which it was) of nodes that looked too full."""

    @classmethod
    async def of(cls, world: World) -> Placements:
        """Placements that have followed the world from now on."""
        made = cls()
        await world.follow(NODES, made.node_seen)
        await world.follow(PODS, made.pod_seen)
        return made

    def node_seen(self, old: Object | None, new: Object | None) -> None:
        """A node has another capacity, or is there, or gone."""
        del old
        if new is not None:
            allocatable = new.get("status", {}).get("allocatable")
            self._room[new["metadata"]["name"]] = ResourceVector.parse(allocatable)

    def pod_seen(self, old: Object | None, new: Object | None) -> None:
        """A pod changed."""
        if new is None:
            if old is not None:
                self._gone(old)
            return
        uid, node = new["metadata"]["uid"], new["spec"].get("nodeName", "")
        self.pods[uid] = new
        if node:
            held = self.homes.setdefault(uid, node)
            if held != node:
                self._broken.append(f"{named(new)} was on {held} and is on {node}")
        if node and new["metadata"].get("deletionTimestamp"):
            self.evicted[uid] = named(new)
        if node and phase_of(new) not in FINISHED:
            self._take(uid, node, new)
        else:
            self._leave(uid)

    def check(self) -> None:
        """No pod was on two nodes so far, and no node too full. Raises Broken.

        Nodes of scenarios grow and never shrink: one that looked too full before its growth was
        seen was not.
        """
        over = [
            f"{node} had {used} {name} with {pod} and has room for {self._room[node][name]}"
            for node, name, used, pod in self._over
            if used > self._room[node][name]
        ]
        if self._broken or over:
            raise Broken("; ".join([*self._broken, *over][:5]))

    def bound(self, prefix: str = "", namespace: str = "default") -> list[Object]:
        """The pods of names that begin so which are on a node and stay there."""
        return [
            pod
            for pod in self.pods.values()
            if pod["metadata"]["name"].startswith(prefix)
            and pod["metadata"]["namespace"] == namespace
            and on_node(pod)
        ]

    def _gone(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") and phase_of(pod) not in FINISHED:
            self.evicted[uid] = named(pod)
        self._leave(uid)
        self.pods.pop(uid, None)

    def _take(self, uid: str, node: str, pod: Mapping[str, Any]) -> None:
        if uid in self._taken:
            return
        demand = pod_request(pod["spec"]) + ResourceVector.of({"pods": 1})
        self._taken[uid] = (node, demand)
        self._used[node] += demand
        room = self._room.get(node)
        for name, _ in demand.items if room is not None else ():
            if room is not None and self._used[node][name] > room[name]:
                self._over.append((node, name, self._used[node][name], named(pod)))

    def _leave(self, uid: str) -> None:
        node, demand = self._taken.pop(uid, ("", EMPTY))
        if node:
            self._used[node] -= demand


def named(pod: Mapping[str, Any]) -> str:
    """Its namespace and name."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def phase_of(pod: Mapping[str, Any]) -> str:
    """Its phase; Pending where it says none."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def on_node(pod: Mapping[str, Any]) -> bool:
    """Whether it is on a node, has not ended and does not leave."""
    leaves = "deletionTimestamp" in pod["metadata"]
    return bool(pod["spec"].get("nodeName")) and not leaves and phase_of(pod) not in FINISHED


def of_gang(pods: Sequence[Object], gang: str) -> list[Object]:
    """The pods of this gang."""
    return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(GANG_LABEL) == gang]


def zones(pods: Sequence[Object]) -> set[str]:
    """The nodes these pods are on."""
    return {pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
