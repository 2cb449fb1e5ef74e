"""What the plug-ins say, worked out node by node from the pods that are there and nothing kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kube_queue.api.node_selectors import untolerated
from kube_queue.api.nodes import Node
from kube_queue.api.pod_affinity import PodTerm, SpreadConstraint
from kube_queue.api.pods import Labels, Pod
from kube_queue.placement.plugins.node_affinity import matches_node

HARD = frozenset({"NoSchedule", "NoExecute"})


@dataclass
class Model:
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    """By uid, those that stand on a node."""
    namespaces: dict[str, Labels] = field(default_factory=dict)

    def there(self) -> list[tuple[Pod, Node]]:
        return [(pod, self.nodes[pod.node]) for pod in self.pods.values() if pod.node in self.nodes]

    # --- affinity -------------------------------------------------------------------------------

    def matches(self, term: PodTerm, pod: Pod) -> bool:
        named = pod.namespace in term.namespaces
        if not named and term.namespace_selector is not None:
            named = term.namespace_selector.selects(self.namespaces.get(pod.namespace, {}))
        return named and term.selector.selects(pod.labels)

    def affinity(self, pod: Pod, node: Node) -> str:
        wanted = pod.spec.affinity.required
        near = [
            (other, at)
            for other, at in self.there()
            if wanted and all(self.matches(term, other) for term in wanted)
        ]
        if any(term.key not in node.labels for term in wanted):
            return "node(s) didn't match pod affinity rules"
        alone = not any(term.key in at.labels for _, at in near for term in wanted)
        if not (alone and all(self.matches(term, pod) for term in wanted)) and not all(
            any(same(term.key, at, node) for _, at in near) for term in wanted
        ):
            return "node(s) didn't match pod affinity rules"
        for term in pod.spec.affinity.anti_required:
            if any(self.matches(term, o) and same(term.key, at, node) for o, at in self.there()):
                return "node(s) didn't match pod anti-affinity rules"
        for other, at in self.there():
            for term in other.spec.affinity.anti_required:
                if self.matches(term, pod) and same(term.key, at, node):
                    return "node(s) didn't satisfy existing pods anti-affinity rules"
        return ""

    def affinity_scores(self, pod: Pod, feasible: Sequence[Node]) -> dict[str, int]:
        raw = {node.name: self._affinity_score(pod, node) for node in feasible}
        least, most = min(raw.values()), max(raw.values())
        if least == most:
            return dict.fromkeys(raw, 0)
        return {name: int(100 * ((each - least) / (most - least))) for name, each in raw.items()}

    def _affinity_score(self, pod: Pod, node: Node) -> int:
        total = 0
        mine = pod.spec.affinity
        for other, at in self.there():
            theirs = other.spec.affinity
            for each in (*mine.preferred, *mine.anti_preferred):
                total += each.weight * (
                    self.matches(each.term, other) and same(each.term.key, at, node)
                )
            for each in (*theirs.preferred, *theirs.anti_preferred):
                total += each.weight * (
                    self.matches(each.term, pod) and same(each.term.key, at, node)
                )
            total += sum(
                self.matches(term, pod) and same(term.key, at, node) for term in theirs.required
            )
        return total

    # --- spread ---------------------------------------------------------------------------------

    def spread(self, pod: Pod, node: Node) -> str:
        hard = [each for each in pod.spec.spread if each.required]
        text = "node(s) didn't match pod topology spread constraints"
        for each in hard:
            if each.key not in node.labels:
                return f"{text} (missing required label)"
            counts = self._spread_counts(pod, each, hard)
            least = min(counts.values(), default=0) if len(counts) >= each.min_domains else 0
            own = each.selector.selects(pod.labels)
            if counts.get(node.labels[each.key], 0) + own - least > each.max_skew:
                return text
        return ""

    def _spread_counts(
        self, pod: Pod, constraint: SpreadConstraint, beside: Sequence[SpreadConstraint]
    ) -> dict[str, int]:
        counts: dict[str, int] = {}
        for node in self.nodes.values():
            if any(each.key not in node.labels for each in beside):
                continue
            if constraint.honour_affinity and not matches_node(pod.spec, node):
                continue
            if constraint.honour_taints and untolerated(node.taints, pod.spec.tolerations, HARD):
                continue
            domain = node.labels[constraint.key]
            counts.setdefault(domain, 0)
            counts[domain] += sum(
                bool(constraint.selector)
                and other.namespace == pod.namespace
                and not other.deletion
                and constraint.selector.selects(other.labels)
                for other, at in self.there()
                if at.name == node.name
            )
        return counts

    def spread_scores(self, pod: Pod, feasible: Sequence[Node]) -> dict[str, int]:
        soft = [each for each in pod.spec.spread if not each.required]
        scored = [node for node in feasible if all(each.key in node.labels for each in soft)]
        raw = {node.name: 0.0 for node in scored}
        for each in soft:
            counts = self._spread_counts(pod, each, soft)
            size = len({node.labels[each.key] for node in scored})
            for node in scored:
                count = counts.get(node.labels[each.key], 0)
                raw[node.name] += count * math.log(size + 2) + each.max_skew - 1
        rounded = {name: math.floor(score + 0.5) for name, score in raw.items()}
        scores = dict.fromkeys((node.name for node in feasible), 0)
        least, most = min(rounded.values(), default=0), max(rounded.values(), default=0)
        for name, score in rounded.items():
            scores[name] = 100 * (most + least - score) // most if most else 100
        return scores


def same(key: str, one: Node, other: Node) -> bool:
    """Whether both are in the same domain of the key."""
    return key in one.labels and one.labels[key] == other.labels.get(key)


def by_node(model: Model, texts: Mapping[str, str]) -> dict[str, str]:
    """Only the nodes that refuse."""
    return {name: texts[name] for name in model.nodes if texts[name]}
