"""Whatever changes in a cluster, and however long nothing does: who waits is who a scheduler that
starts now would leave waiting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.pods import shared_labels
from kube_queue.api.quota import QuotaTree
from kube_queue.placement.decisions import Bind, Preempt, Wait
from tests.builders import one_quota
from tests.placement.builders import ZONE, NodeBuilder, PodBuilder, a_node, a_pod, term
from tests.placement.playing import Scheduler
from tests.placement.volumes import LOCAL, StorageBuilder, a_claim, a_class, a_volume

QUIET = 11.0
"""Seconds after which every backoff is over."""
TURNS = 40
NODES, ZONES, APPS = ("n0", "n1", "n2"), ("z0", "z1"), ("red", "blue")
OURS, THEIRS = ("p0", "p1", "p2", "p3", "g0", "g1"), ("f0", "f1", "f2")
CLAIMS = ("c0", "c1")
NAMESPACE = "default"

Change = Callable[["Life"], None]


@dataclass
class Life:
    """What there is, as the API server would have it, and a scheduler that saw all of it come."""

    nodes: dict[str, NodeBuilder] = field(default_factory=dict)
    pods: dict[str, PodBuilder] = field(default_factory=dict)
    storage: dict[str, StorageBuilder] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    """The label `team` of namespaces."""
    tree: QuotaTree | None = None
    scheduler: Scheduler = field(default_factory=lambda: Scheduler(reserve_after=math.inf))

    def node(self, node: NodeBuilder) -> None:
        self.nodes[node.name] = node
        self.scheduler.sees(node)

    def no_node(self, name: str) -> None:
        # A node goes after its pods.
        held = [key for key, pod in self.pods.items() if pod.pod.node == name]
        if self.nodes.pop(name, None) is not None:
            for key in held:
                self.no_pod(key)
            self.scheduler.cache.node_gone(name, self.scheduler.now)

    def pod(self, pod: PodBuilder) -> None:
        self.pods[pod.pod.name] = pod
        self.scheduler.sees(pod)

    def no_pod(self, name: str) -> None:
        if self.pods.pop(name, None) is not None:
            self.scheduler.loses(name)

    def stores(self, *things: StorageBuilder) -> None:
        for each in things:
            self.storage[f"{each.manifest['kind']}/{each.manifest['metadata']['name']}"] = each
            self.scheduler.cache.storage_seen(each.thing, self.scheduler.now)

    def team(self, namespace: str, team: str) -> None:
        self.teams[namespace] = team
        labels = shared_labels({"team": team})
        self.scheduler.cache.namespace_seen(namespace, labels, self.scheduler.now)

    def quota(self, tree: QuotaTree | None) -> None:
        self.tree = tree
        self.scheduler.cache.tree_seen(tree, self.scheduler.now)

    def settle(self) -> None:
        """Everything is decided that can be, and carried out."""
        for _ in range(TURNS):
            for decision in self.scheduler.decides():
                if isinstance(decision, Bind):
                    for pod, node in decision.placements:
                        self.pod(self.pods[pod.name].on(node))
                elif isinstance(decision, Preempt):
                    for victim in decision.preemption.victims:
                        self.no_pod(victim.name)
            if self.scheduler.cache.next_wake(self.scheduler.now) in (None, math.inf):
                return
            self.scheduler.later(QUIET)
        raise AssertionError("it never comes to rest")

    def fresh(self) -> Scheduler:
        """A scheduler that sees all of it for the first time, and is yet to decide."""
        made = Scheduler(*self.nodes.values(), reserve_after=math.inf)
        for namespace, team in self.teams.items():
            made.cache.namespace_seen(namespace, shared_labels({"team": team}), made.now)
        for each in self.storage.values():
            made.cache.storage_seen(each.thing, made.now)
        made.cache.tree_seen(self.tree, made.now)
        made.sees(*self.pods.values())
        return made


nodes, zones, apps = st.sampled_from(NODES), st.sampled_from(ZONES), st.sampled_from(APPS)
cpus = st.integers(1, 6)


def _nodes() -> Iterator[st.SearchStrategy[NodeBuilder]]:
    def sized(name: str, zone: str, cpu: int) -> NodeBuilder:
        return a_node(name).in_zone(zone).having(cpu=cpu)

    plain = st.builds(sized, nodes, zones, st.integers(2, 10))
    yield plain
    yield plain.map(lambda node: node.cordoned())
    yield plain.map(lambda node: node.tainted("reserved", "yes"))
    yield st.builds(lambda node, app: node.labelled(pool=app), plain, apps)


def _demands() -> Iterator[st.SearchStrategy[Callable[[PodBuilder], PodBuilder]]]:
    yield st.just(lambda pod: pod)
    yield st.just(lambda pod: pod.tolerating("reserved"))
    yield st.just(lambda pod: pod.with_host_port(80))
    yield st.just(lambda pod: pod.spread_over())
    yield apps.map(lambda app: lambda pod: pod.selecting_nodes(pool=app))
    yield apps.map(lambda app: lambda pod: pod.near(ZONE, app=app))
    yield apps.map(lambda app: lambda pod: pod.away_from(ZONE, app=app))
    yield apps.map(lambda app: lambda pod: pod.away_from(app=app))
    yield apps.map(lambda app: lambda pod: pod.related("podAntiAffinity", _of_team(app)))
    yield st.sampled_from(CLAIMS).map(lambda claim: lambda pod: pod.mounting(claim))


def _of_team(app: str) -> dict[str, object]:
    return term(ZONE, {"app": app}, namespaceSelector={"matchLabels": {"team": "red"}})


def _ours(
    name: str, cpu: int, app: str, priority: int, demand: Callable[[PodBuilder], PodBuilder]
) -> PodBuilder:
    pod = a_pod(name).asking(cpu=cpu).labelled(app=app).with_priority(priority)
    return demand(pod.of_gang("g", 2) if name.startswith("g") else pod)


def _come(pod: PodBuilder) -> Change:
    def come(life: Life) -> None:
        if pod.pod.name not in life.pods:
            life.pod(pod)

    return come


def _foreign(name: str, node: str, cpu: int, app: str, apart: bool) -> Change:
    def run(life: Life) -> None:
        known = life.pods.get(name)
        if known is not None:
            # Nothing else of it can be changed where it is.
            life.pod(known.labelled(app=app).asking(cpu=cpu))
        elif node in life.nodes:
            pod = a_pod(name).of_scheduler("other").asking(cpu=cpu).labelled(app=app).on(node)
            life.pod(pod.away_from(ZONE, app=app) if apart else pod)

    return run


changes: st.SearchStrategy[Change] = st.one_of(
    st.one_of(*_nodes()).map(lambda node: lambda life: life.node(node)),
    nodes.map(lambda name: lambda life: life.no_node(name)),
    *(
        st.builds(_ours, st.sampled_from(OURS), cpus, apps, st.integers(0, 2), each).map(_come)
        for each in _demands()
    ),
    st.builds(_foreign, st.sampled_from(THEIRS), nodes, cpus, apps, st.booleans()),
    st.sampled_from(OURS + THEIRS).map(lambda name: lambda life: life.no_pod(name)),
    apps.map(lambda team: lambda life: life.team(NAMESPACE, team)),
    st.integers(1, 12).map(lambda cpu: lambda life: life.quota(one_quota(cpu=cpu))),
    st.just(lambda life: life.quota(None)),
    st.sampled_from(CLAIMS).map(lambda name: lambda life: life.stores(a_claim(name))),
    st.builds(
        lambda name, node: lambda life: life.stores(a_class(LOCAL), a_volume(name).on_node(node)),
        st.sampled_from(("v0", "v1")),
        nodes,
    ),
)


def _begin() -> Life:
    """Two nodes that are not empty, a quota, and volumes for one of two claims."""
    life = Life()
    for name, zone in zip(NODES, ZONES, strict=False):
        life.node(a_node(name).in_zone(zone).having(cpu=6).labelled(pool="red"))
    life.team(NAMESPACE, "red")
    life.quota(one_quota(cpu=8))
    life.stores(a_class(LOCAL), a_claim("c0"))
    for name, node, app in zip(THEIRS, NODES[:2], APPS, strict=False):
        _foreign(name, node, 2, app, True)(life)
    return life


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, min_size=8, max_size=30))
def test_a_scheduler_that_starts_now_places_nobody_who_waits(story: list[Change]) -> None:
    life = _begin()
    for change in story:
        change(life)
        life.settle()
        more = [one for one in life.fresh().decides() if not isinstance(one, Wait)]
        assert more == []
