"""Affinity and spread by kept counts say what a plain look at every pod and node says."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod, shared_labels
from kube_queue.placement import held_terms, pod_counts
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Refusal, StateFilter, StateScore
from kube_queue.placement.plugins.inter_pod_affinity import InterPodAffinity
from kube_queue.placement.plugins.pod_topology_spread import PodTopologySpread
from tests.examples import examples
from tests.placement.builders import HOST, ZONE, NodeBuilder, PodBuilder, a_node, a_pod
from tests.placement.model import Model

KEYS = (ZONE, HOST, "rack")
NAMES = tuple(f"n{index}" for index in range(5))
TEAMS: tuple[dict[str, str], ...] = ({}, {"team": "red"}, {"team": "blue"})
seeds = st.integers(0, 2**32)


class Chance:
    """Pods, nodes and events by chance, close enough to each other that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def one_in(self, many: int) -> bool:
        return self.random.randrange(many) == 0

    def of(self, choices: Sequence[Any]) -> Any:
        return choices[self.random.randrange(len(choices))]

    def labels(self) -> dict[str, str]:
        found = {}
        if not self.one_in(5):
            found["app"] = self.of("ab")
        if self.one_in(2):
            found["tier"] = self.of("xy")
        return found

    def selector(self) -> dict[str, Any] | None:
        if self.one_in(10):
            return None
        found: dict[str, Any] = {"matchLabels": {} if self.one_in(3) else {"app": self.of("ab")}}
        if self.one_in(3):
            operator = self.of(("In", "NotIn", "Exists", "DoesNotExist"))
            values = ["x"] if operator in ("In", "NotIn") else []
            found["matchExpressions"] = [{"key": "tier", "operator": operator, "values": values}]
        return found

    def term(self) -> dict[str, Any]:
        term: dict[str, Any] = {"topologyKey": self.of(KEYS)}
        selector = self.selector()
        if selector is not None:
            term["labelSelector"] = selector
        if self.one_in(3):
            term["namespaces"] = self.of((["a"], ["b"], ["a", "b"]))
        if self.one_in(3):
            term["namespaceSelector"] = {"matchLabels": self.of(TEAMS)}
        if self.one_in(4):
            term["matchLabelKeys"] = ["tier"]
        return term

    def pod(self, name: str) -> PodBuilder:
        pod = a_pod(name).of_namespace(self.of("aab")).labelled(**self.labels())
        for side in ("podAffinity", "podAntiAffinity"):
            for _ in range(self.of((0, 0, 1, 1, 2))):
                pod = pod.related(side, self.term(), self.of((None, 1, 50)))
        for _ in range(self.of((0, 0, 1, 2))):
            more: dict[str, Any] = {"labelSelector": self.selector()}
            if self.one_in(2):
                more |= {
                    "minDomains": self.random.randint(1, 4),
                    "nodeAffinityPolicy": self.of(("Honor", "Ignore")),
                    "nodeTaintsPolicy": self.of(("Honor", "Ignore")),
                    "matchLabelKeys": self.of(([], ["tier"])),
                }
            key, skew = self.of(KEYS), self.random.randint(1, 2)
            pod = pod.spread_over(key, skew, soft=self.one_in(2), **more)
        if self.one_in(3):
            pod = pod.requiring_nodes(ZONE, "In", self.of("uv"))
        return pod.tolerating("t") if self.one_in(3) else pod

    def node(self, name: str) -> NodeBuilder:
        node = a_node(name)
        if not self.one_in(5):
            node = node.in_zone(self.of("uv"))
        if self.one_in(2):
            node = node.labelled(rack=self.of("pq"))
        if self.one_in(6):
            node = node.without_label(HOST)
        return node.tainted("t") if self.one_in(3) else node


class Both:
    """The cluster with the plug-ins, and the model, told of the same."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.affinity = InterPodAffinity(self.cluster)
        self.spread = PodTopologySpread(self.cluster)
        self.model = Model()

    def begin(self, chance: Chance) -> None:
        for name in NAMES:
            self._node(chance.node(name).node)
        for index in range(chance.random.randint(0, 6)):
            self._pod(chance, f"p{index}")

    def event(self, chance: Chance) -> None:
        kind = chance.of(("pod", "pod", "pod", "node", "node", "gone", "leave", "namespace"))
        if kind == "pod":
            self._pod(chance, f"p{chance.random.randrange(8)}")
        elif kind == "node":
            self._node(chance.node(chance.of(NAMES)).node)
        elif kind == "gone":
            name = chance.of(NAMES)
            self.cluster.node_gone(name)
            self.model.nodes.pop(name, None)
        elif kind == "leave" and self.model.pods:
            uid = chance.of(sorted(self.model.pods))
            self.cluster.forget(uid)
            del self.model.pods[uid]
        elif kind == "namespace":
            name = chance.of("ab")
            found = shared_labels(chance.of(TEAMS))
            self.cluster.namespace_seen(name, found)
            self.model.namespaces[name] = found

    def _pod(self, chance: Chance, name: str) -> None:
        builder = chance.pod(name).on(chance.of(NAMES))
        pod = (builder.terminating() if chance.one_in(5) else builder).pod
        self.cluster.pod_seen(pod)
        self.model.pods[pod.uid] = pod

    def _node(self, node: Node) -> None:
        self.cluster.node_seen(node)
        self.model.nodes[node.name] = node

    def agree_about(self, pod: Pod) -> None:
        for plugin, model in (
            (self.affinity, self.model.affinity),
            (self.spread, self.model.spread),
        ):
            wanted = {name: model(pod, node) for name, node in self.model.nodes.items()}
            assert self.said(plugin, pod) == wanted
            assert plugin.filters_by_pods(pod) or not any(wanted.values())
        if not self.model.nodes:
            return
        feasible = list(self.model.nodes.values())
        for scorer, scores in (
            (self.affinity, self.model.affinity_scores),
            (self.spread, self.model.spread_scores),
        ):
            if scorer.scores_by_pods(pod):
                assert self.scored(scorer, pod) == scores(pod, feasible)

    def said(self, plugin: StateFilter, pod: Pod) -> dict[str, str]:
        """What the plug-in says by node; its two ways of saying it agree."""
        found = plugin.refusals(pod)
        assert not isinstance(found, Refusal)
        texts = {}
        for row, node in self.cluster.live_rows():
            code = found.codes[row]
            refusal = found.reasons[code - 1] if code else None
            assert plugin.row_refusal(pod, row) == refusal
            texts[node.name] = refusal.reason if refusal is not None else ""
        return texts

    def scored(self, plugin: StateScore, pod: Pod) -> dict[str, int]:
        live = np.array([node is not None for node in self.cluster.nodes], np.bool_)
        scores = plugin.state_scores(pod, live)
        return {node.name: int(scores[row]) for row, node in self.cluster.live_rows()}


@settings(max_examples=examples(150), deadline=None)
@given(seeds, st.integers(1, 10))
def test_kept_counts_say_what_all_pods_say(seed: int, events: int) -> None:
    both, chance = Both(), Chance(seed)
    asking = [chance.pod(f"asks{index}").pod for index in range(3)]
    both.begin(chance)
    for _ in range(events):
        both.event(chance)
        for pod in asking:
            both.agree_about(pod)


@settings(max_examples=examples(100), deadline=None)
@given(seeds, st.integers(1, 30))
def test_counts_that_were_kept_are_those_counted_anew_in_any_order(seed: int, events: int) -> None:
    both, chance = Both(), Chance(seed)
    asking = [chance.pod(f"asks{index}").pod for index in range(3)]
    both.begin(chance)
    for pod in asking:
        both.agree_about(pod)
    for _ in range(events):
        both.event(chance)
    anew = Both()
    seen: list[Node | Pod] = [*both.model.nodes.values(), *both.model.pods.values()]
    chance.random.shuffle(seen)
    for each in seen:
        if isinstance(each, Pod):
            anew.cluster.pod_seen(each)
        else:
            anew.cluster.node_seen(each)
    for name, found in both.model.namespaces.items():
        anew.cluster.namespace_seen(name, found)
    for pod in asking:
        for kept, fresh in ((both.affinity, anew.affinity), (both.spread, anew.spread)):
            assert both.said(kept, pod) == anew.said(fresh, pod)


def test_what_nobody_asks_for_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_counts, "_EMPTY_KEPT", 4)
    monkeypatch.setattr(held_terms, "_EMPTY_KEPT", 4)
    cluster = Cluster()
    counts = cluster.shared(pod_counts.PodCounts)
    affinity = InterPodAffinity(cluster)
    cluster.node_seen(a_node("n").node)
    for index in range(100):
        pod = a_pod("p").labelled(app=f"a{index}").away_from(app=f"a{index}").on("n").pod
        cluster.pod_seen(pod)
        cluster.forget(pod.uid)
    assert len(counts._classes) < 20
    assert len(affinity._forbidding._terms) < 20
    assert not affinity.filters_by_pods(a_pod("p").labelled(app="a99").pod)
