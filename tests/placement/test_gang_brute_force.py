"""A gang of identical members is placed if and only if they can be placed, on small clusters."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.cycle import Cycle
from kube_queue.placement.decisions import Bind
from kube_queue.placement.framework import Profile
from kube_queue.placement.plugins import BASE
from kube_queue.placement.units import Part, Unit, UnitKey
from tests.examples import examples
from tests.placement.builders import HOST, ZONE, NodeBuilder, PodBuilder, a_node, a_pod

RESOURCES = ("cpu", "memory", "pods", "nvidia.com/gpu")


class World:
    """A small cluster and a gang, by chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.cluster = Cluster()
        self.cycle = Cycle(self.cluster, Profile(tuple(each(self.cluster) for each in BASE)))
        for index in range(self.random.randint(1, 4)):
            self.cluster.node_seen(self.node(f"n{index}").node)
        for index in range(self.random.randint(0, 3)):
            name = f"n{self.random.randrange(4)}"
            self.cluster.pod_seen(self.pod(f"there-{index}").on(name).pod)
        size = self.random.randint(1, 5)
        kind = self.pod("kind")
        self.members = tuple(self.member(kind, index) for index in range(size))
        self.need = self.random.randint(1, size)

    def node(self, name: str) -> NodeBuilder:
        chance = self.random
        node = a_node(name).having(
            cpu=chance.randint(0, 4), pods=chance.choice([1, 2, 9]), gpu=chance.choice([0, 0, 2])
        )
        if chance.random() < 0.9:
            node = node.in_zone(chance.choice("uv"))
        return node.tainted("t") if chance.random() < 0.2 else node

    def pod(self, name: str) -> PodBuilder:
        chance = self.random
        pod = a_pod(name).labelled(app=chance.choice("ab"))
        pod = pod.asking(cpu=chance.choice(["500m", "1", "2"]))
        if chance.random() < 0.2:
            pod = pod.asking(gpu=1)
        if chance.random() < 0.3:
            pod = pod.tolerating("t")
        if chance.random() < 0.2:
            pod = pod.with_host_port(80)
        if chance.random() < 0.3:
            pod = pod.away_from(chance.choice([HOST, ZONE]), app=chance.choice("ab"))
        if chance.random() < 0.3:
            pod = pod.near(chance.choice([HOST, ZONE]), app=chance.choice("ab"))
        if chance.random() < 0.4:
            pod = pod.spread_over(chance.choice([HOST, ZONE]), chance.randint(1, 2))
        return pod

    def member(self, kind: PodBuilder, index: int) -> Pod:
        named = kind._set("metadata", name=f"g-{index}", uid=f"uid-g-{index}")
        return named.pod

    def unit(self) -> Unit:
        key = UnitKey("default", "g")
        part = Part(key, self.members, self.need, self.need)
        return Unit(key, (part,), 0, "", "", False)

    def can_be_placed(self) -> bool:
        """Whether some order of rows takes as many members as are needed, one after another."""
        return self._can_place(self.need, set(), ())

    def _can_place(self, left: int, seen: set[tuple[int, ...]], rows: tuple[int, ...]) -> bool:
        if not left:
            return True
        if rows in seen:
            return False
        seen.add(rows)
        pod = self.members[left - 1]
        for row, node in list(self.cluster.live_rows()):
            if self.cycle.placer.row_refusal(pod, row) is None:
                self.cluster.assume(pod, node.name)
                possible = self._can_place(left - 1, seen, tuple(sorted((*rows, row))))
                self.cluster.forget(pod.uid)
                if possible:
                    return True
        return False

    def overfull(self) -> list[str]:
        """Nodes whose pods take more than there is, counted from the pods themselves."""
        found = []
        for row, node in self.cluster.live_rows():
            for name in RESOURCES:
                taken = sum(pod.charged[name] for pod in self.cluster.pods[row].values())
                assert taken == self.cluster.columns.takes(row, name)
                if taken > node.allocatable[name]:
                    found.append(node.name)
        return found


@settings(max_examples=examples(250), deadline=None)
@given(st.integers(0, 2**32))
def test_a_gang_is_placed_if_and_only_if_it_can_be(seed: int) -> None:
    world = World(seed)
    before = [set(pods) for pods in world.cluster.pods]
    full_before = set(world.overfull())
    possible = world.can_be_placed()
    assert [set(pods) for pods in world.cluster.pods] == before
    decision = world.cycle.decide(world.unit())
    placed = [pod for pod in world.members if world.cluster.placed(pod.uid)]
    if isinstance(decision, Bind):
        assert decision.together == world.need
        assert len(placed) == len(decision.placements) >= world.need
    else:
        assert placed == []
        assert [set(pods) for pods in world.cluster.pods] == before
    assert set(world.overfull()) <= full_before
    assert isinstance(decision, Bind) == possible
