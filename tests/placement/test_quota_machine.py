"""Small clusters with a quota tree, played at random and counted again by hand."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kube_queue.api.pods import Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.placement.decisions import Bind, Decision, Preempt
from kube_queue.placement.framework import Preemption
from tests.examples import examples
from tests.placement.builders import a_node
from tests.placement.quota_worlds import QuotaWorld, again, pod_in, quota, tree

LEAVES = ("a1", "a2", "b1", "b2", "none")
NODES = {"n0": 6, "n1": 4, "n2": 3}


@st.composite
def trees(draw: st.DrawFn) -> QuotaTree:
    """Two levels; min never above max, and the children's min within the parent's."""

    def leaf(name: str) -> tuple[int, int]:
        low = draw(st.integers(0, 4))
        return low, draw(st.integers(max(low, 1), 12))

    inner = []
    for parent in "ab":
        leaves = {name: leaf(name) for name in LEAVES if name[0] == parent}
        low = sum(low for low, _ in leaves.values()) + draw(st.integers(0, 2))
        made = [quota(name, *bounds) for name, bounds in leaves.items()]
        inner.append(quota(parent, low, draw(st.integers(max(low, 1), 14)), *made))
    return tree(*inner, cpu=max(draw(st.integers(4, 14)), 1))


class Capacity(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.serial = 0

    @initialize(found=trees())
    def begin(self, found: QuotaTree) -> None:
        self.tree = found
        nodes = (a_node(name).having(cpu=cpu) for name, cpu in NODES.items())
        self.world = QuotaWorld(found, *nodes)
        self.leaving: list[str] = []

    def nobody_leaves_for_nobody(self) -> None:
        """Who was told to go for a unit that is gone, was placed elsewhere or gave up stays."""
        waited_for = {
            uid
            for key in self.world.brain.claims.units()
            if (claim := self.world.brain.claims.get(key)) is not None
            for uid in claim.victims
        }
        self.leaving = [name for name in self.leaving if f"uid-{name}" in waited_for]

    # --- by hand --------------------------------------------------------------------------------

    def chain(self, namespace: str) -> tuple[str, ...]:
        leaf = self.tree.leaf_for("", namespace)
        return self.tree.chain(leaf.path) if leaf is not None else ()

    def bound(self) -> list[Pod]:
        return [pod.pod for pod in self.world.pods.values() if pod.pod.node]

    def use(self, path: str, pods: Iterable[Pod]) -> int:
        return sum(pod.spec.request["cpu"] for pod in pods if path in self.chain(pod.namespace))

    def staying(self) -> list[Pod]:
        return [pod for pod in self.bound() if pod.name not in self.leaving]

    def nominated(self) -> list[Pod]:
        return [each.pod for each in self.world.brain.cluster.nominations()]

    # --- rules ----------------------------------------------------------------------------------

    @rule(
        namespace=st.sampled_from(LEAVES),
        cpu=st.integers(1, 4),
        priority=st.integers(0, 2),
        copies=st.integers(1, 4),
    )
    def create(self, namespace: str, cpu: int, priority: int, copies: int) -> None:
        for _ in range(copies):
            self.serial += 1
            pod = pod_in(namespace, f"p{self.serial}", cpu, priority).created_at(self.serial)
            self.world.sees(pod)

    @rule(
        namespace=st.sampled_from(LEAVES),
        sizes=st.lists(st.integers(1, 3), min_size=2, max_size=3),
        priority=st.integers(0, 2),
    )
    def create_gang(self, namespace: str, sizes: list[int], priority: int) -> None:
        self.serial += 1
        name = f"g{self.serial}"
        for index, cpu in enumerate(sizes):
            pod = pod_in(namespace, f"{name}m{index}", cpu, priority).created_at(self.serial)
            self.world.sees(pod.of_gang(name, len(sizes)))

    @rule(data=st.data())
    @precondition(lambda self: bool(self.world.pods))
    def end(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.pods)))
        self.world.goes(name)
        if name in self.leaving:
            self.leaving.remove(name)
        self.nobody_leaves_for_nobody()

    @rule(seconds=st.integers(1, 20))
    def decide(self, seconds: int) -> None:
        self.world.later(seconds)
        for _ in range(40):
            before = self.staying()
            kept = self.nominated()
            found = self.world.decides(1)
            if not found:
                break
            self.check(found[0], before, kept)
        self.nobody_leaves_for_nobody()

    @rule(data=st.data())
    @precondition(lambda self: bool(self.leaving))
    def leave(self, data: st.DataObject) -> None:
        """One that was told to go has gone, and a pod of its kind comes for it."""
        name = self.leaving.pop(data.draw(st.integers(0, len(self.leaving) - 1)))
        former = self.world.pods[name]
        self.world.goes(name)
        self.serial += 1
        if former.pod.gang is None:
            self.world.sees(again(former, f"r{self.serial}"))

    # --- checks ---------------------------------------------------------------------------------

    def check(self, decision: Decision, before: list[Pod], kept: list[Pod]) -> None:
        if isinstance(decision, Preempt):
            self.check_plan(decision.preemption, before, kept)
            self.leaving += [pod.name for pod in decision.preemption.leaving]
        elif isinstance(decision, Bind):
            # What a decision places is within every max, whatever else is above it.
            for pod, _ in decision.placements:
                for path in self.chain(pod.namespace):
                    assert self.use(path, self.bound()) <= self.tree.nodes[path].max["cpu"]

    def check_plan(self, plan: Preemption, before: list[Pod], kept: list[Pod]) -> None:
        members = [pod for pod, _ in plan.nominations]
        victims = list(plan.leaving)
        gone = {pod.uid for pod in victims}
        assert victims
        assert len(gone) == len(victims)
        assert gone <= {pod.uid for pod in before}
        after = [pod for pod in before if pod.uid not in gone]
        others = [pod for pod in kept if pod.uid not in {each.uid for each in members}]
        self.fits(members, after, others, {pod.uid: node for pod, node in plan.nominations})
        if plan.reclaim:
            self.check_reclaim(members, victims, before, others)
        else:
            self.check_priority(members, victims)
        assert self.minimal(plan, members, before, victims)

    def check_reclaim(
        self, members: list[Pod], victims: list[Pod], before: list[Pod], others: list[Pod]
    ) -> None:
        leaf = self.chain(members[0].namespace)[0]
        same = [pod for pod in others if pod.namespace == members[0].namespace]
        lower = [pod for pod in same if pod.priority < min(each.priority for each in members)]
        kept = [pod for pod in others if pod not in lower]
        assert self.use(leaf, [*before, *kept, *members]) <= self.tree.nodes[leaf].min["cpu"]
        for pod in victims:
            theirs = self.chain(pod.namespace)
            assert theirs
            assert theirs[0] != leaf
            # Above its min before any pick, and so is everything up to the common ancestor.
            for path in theirs:
                if path in self.chain(members[0].namespace):
                    break
                assert self.use(path, [*before, *others]) > self.tree.nodes[path].min["cpu"]

    def check_priority(self, members: list[Pod], victims: list[Pod]) -> None:
        lowest = min(pod.priority for pod in members)
        quotas = {self.chain(pod.namespace)[:1] for pod in members}
        for pod in victims:
            assert pod.priority < lowest
            assert self.chain(pod.namespace)[:1] in quotas

    def fits(
        self, members: list[Pod], after: list[Pod], others: list[Pod], nodes: dict[str, str]
    ) -> None:
        """There is room for everybody once the victims have gone."""
        assert self.is_room(members, after, nodes, others)

    def is_room(
        self, members: list[Pod], after: list[Pod], nodes: dict[str, str], others: list[Pod]
    ) -> bool:
        low = min(pod.priority for pod in members)
        mine = {self.chain(pod.namespace)[:1] for pod in members}
        for pod in members:
            for path in self.chain(pod.namespace):
                counted = [
                    each
                    for each in others
                    if each.priority >= low or self.chain(each.namespace)[:1] not in mine
                ]
                total = self.use(path, [*after, *members, *counted])
                if total > self.tree.nodes[path].max["cpu"]:
                    return False
            node = nodes[pod.uid]
            there = sum(each.spec.request["cpu"] for each in after if each.node == node)
            there += sum(each.spec.request["cpu"] for each in members if nodes[each.uid] == node)
            if there > NODES[node] * 1000:
                return False
        return True

    def minimal(
        self, plan: Preemption, members: list[Pod], before: list[Pod], victims: list[Pod]
    ) -> bool:
        """Nobody, or no gang, of the victims could stay with the members where they are to go."""
        nodes = {pod.uid: node for pod, node in plan.nominations}
        cluster = self.world.brain.cluster
        others = [
            each.pod
            for each in cluster.nominations()
            if each.pod.uid not in nodes and each.pod.uid in {p.uid for p in self.nominated()}
        ]
        for group in {pod.gang.name if pod.gang else pod.uid for pod in victims}:
            kept = [p for p in victims if (p.gang.name if p.gang else p.uid) == group]
            gone = {pod.uid for pod in victims} - {pod.uid for pod in kept}
            after = [pod for pod in before if pod.uid not in gone]
            promised: dict[str, str] = {each.pod.uid: each.node for each in cluster.nominations()}
            if any(promised.get(each.uid) in set(nodes.values()) for each in others):
                continue  # Who else is to come there may be what it is needed for.
            if self.is_room(members, after, nodes, others):
                return False
        return True

    # --- invariants -----------------------------------------------------------------------------

    @invariant()
    def the_sums_of_every_node_are_exact(self) -> None:
        if not hasattr(self, "world"):
            return
        capacity = self.world.brain.capacity
        waiting = [pod.pod for pod in self.world.pods.values() if not pod.pod.node]
        for path in self.tree.nodes:
            usage = capacity.usage()[path]
            used = self.use(path, self.bound())
            assert usage.used.get("cpu", 0) == used
            assert usage.request.get("cpu", 0) == used + self.use(path, waiting)
            node = capacity.sums.nodes[path]
            going = [pod for pod in self.bound() if pod.name in self.leaving]
            assert node.all[1].get("cpu", 0) == self.use(path, going)
            assert node.all[2].get("cpu", 0) == self.use(path, self.nominated())

    @invariant()
    def no_node_holds_more_than_it_has(self) -> None:
        if not hasattr(self, "world"):
            return
        for node, cpu in NODES.items():
            there = sum(pod.spec.request["cpu"] for pod in self.bound() if pod.node == node)
            assert there <= cpu * 1000

    @invariant()
    def no_gang_is_left_below_its_minimum_by_an_eviction(self) -> None:
        if not hasattr(self, "world"):
            return
        staying = self.staying()
        for name in self.leaving:
            pod = self.world.pods[name].pod
            if pod.gang is not None:
                left = sum(
                    each.gang is not None and each.gang.name == pod.gang.name for each in staying
                )
                assert left == 0 or left >= pod.gang.min


Capacity.TestCase.settings = settings(
    max_examples=examples(30),
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCapacity = Capacity.TestCase


@given(
    found=trees(),
    pods=st.lists(
        st.tuples(st.sampled_from(LEAVES), st.integers(1, 4), st.integers(0, 2)), max_size=14
    ),
)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
def test_replacements_of_victims_do_not_win_their_room_back_for_ever(
    found: QuotaTree, pods: list[tuple[str, int, int]]
) -> None:
    """Who is evicted comes again at once; sooner or later nobody evicts anybody any more."""
    world = QuotaWorld(found, *(a_node(name).having(cpu=cpu) for name, cpu in NODES.items()))
    for serial, (namespace, cpu, priority) in enumerate(pods):
        world.sees(pod_in(namespace, f"p{serial}", cpu, priority).created_at(serial)).decides(1)
    for _ in range(8):
        if not world.settles(rounds=15):
            break
    else:
        raise AssertionError(f"{len(world.evicted)} evictions and no end: {world.evicted[-10:]}")
    assert len(world.evicted) <= 3 * len(pods)
