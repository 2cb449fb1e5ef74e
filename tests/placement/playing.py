"""A scheduler without a cluster: what it was shown, what it decided, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable

from kube_queue.api.gangs import GangSource, PodGroup
from kube_queue.api.pods import Pod
from kube_queue.cache.placing import RESERVE_AFTER, PlacementCache
from kube_queue.placement.decisions import Bind, Decision, Wait
from kube_queue.placement.framework import PluginFactory
from kube_queue.placement.plugins import BASE
from kube_queue.placement.units import UnitKey
from tests.placement.builders import SCHEDULER, NodeBuilder, PodBuilder, a_pod


class Scheduler:
    """A PlacementCache whose bindings always succeed, unless the test says otherwise."""

    def __init__(
        self,
        *seen: NodeBuilder | PodBuilder,
        plugins: Iterable[PluginFactory] = BASE,
        reserve_after: float = RESERVE_AFTER,
    ) -> None:
        self.cache = PlacementCache([SCHEDULER], tuple(plugins), reserve_after=reserve_after)
        self.now = 100.0
        self.pods: dict[str, PodBuilder] = {}
        self.sees(*seen)

    def sees(self, *things: NodeBuilder | PodBuilder) -> None:
        """Nodes and pods are as they say."""
        for thing in things:
            if isinstance(thing, NodeBuilder):
                self.cache.node_seen(thing.node, self.now)
            else:
                name = thing.manifest["metadata"]["name"]
                self.cache.pod_seen(self._known(name), thing.pod, self.now)
                self.pods[name] = thing

    def loses(self, *names: str) -> None:
        """These pods are gone."""
        for name in names:
            self.cache.pod_seen(self._known(name), None, self.now)
            del self.pods[name]

    def sees_group(
        self,
        name: str,
        least: int,
        source: GangSource = GangSource.SIGS_POD_GROUP,
        *,
        uid: str = "",
    ) -> None:
        """There is a PodGroup of this minimum."""
        group = PodGroup(
            "default", name, uid or f"uid-{name}", "1", source, least, 0, "", False, "", "", ""
        )
        self.cache.group_seen(None, group, self.now)

    def decides(self) -> list[Decision]:
        """Every decision that can be made now, in order."""
        made: list[Decision] = []
        while decisions := self.cache.decide(self.now, 8):
            made += decisions
        return made

    def binds(self) -> dict[str, str]:
        """What was decided is carried out and seen. Returns the nodes of the pods bound."""
        bound = {}
        for decision in self.decides():
            if isinstance(decision, Bind):
                for pod, node in decision.placements:
                    bound[pod.name] = node
        for name, node in bound.items():
            self.sees(self.pods[name].on(node))
        return bound

    def later(self, seconds: float) -> Scheduler:
        """So much time has passed."""
        self.now += seconds
        return self

    def why(self, name: str) -> str:
        """The last answer to the pod."""
        pod = self.pods[name].pod
        for key in (UnitKey("default", name, pod.uid), self._gang_key(pod)):
            told = self.cache.told(key) if key is not None else None
            if told is not None:
                return told.why[pod.uid].message
        return ""

    def waits(self, decision: Decision) -> bool:
        """Whether the decision is that nothing fits."""
        return isinstance(decision, Wait)

    def _gang_key(self, pod: Pod) -> UnitKey | None:
        return UnitKey(pod.namespace, pod.gang.name) if pod.gang is not None else None

    def _known(self, name: str) -> Pod | None:
        known = self.pods.get(name)
        return known.pod if known is not None else None


def gang(name: str, count: int, least: int, **asking: str | int) -> list[PodBuilder]:
    """``name-0``, ``name-1`` ... of one controller, of which so many start together."""
    return [
        a_pod(f"{name}-{index}").of_gang(name, least).asking(**asking).owned_by("Job", name)
        for index in range(count)
    ]
