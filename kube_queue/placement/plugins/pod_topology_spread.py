"""PodTopologySpread: pods of a kind evenly over the domains of a label.

kube-scheduler's defaults for pods without a constraint of their own, which depend on their
Services and ReplicaSets and only ever score, are not applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kube_queue.api.node_selectors import NO_EXECUTE, NO_SCHEDULE, untolerated
from kube_queue.api.nodes import Node
from kube_queue.api.pod_affinity import SpreadConstraint
from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Mask
from kube_queue.placement.domains import NO_DOMAIN
from kube_queue.placement.framework import MAX_SCORE, Refusals
from kube_queue.placement.plugins.node_affinity import matches_node
from kube_queue.placement.pod_counts import DomainCount, PodCounts
from kube_queue.placement.recent import Recent
from kube_queue.placement.selecting import Part
from kube_queue.placement.verdict import Refusal

_HARD: Final = frozenset({NO_SCHEDULE, NO_EXECUTE})
_HOST: Final = "kubernetes.io/hostname"

T = TypeVar("T", bound="np.generic[Any]")


class _Counted(NamedTuple):
    constraint: SpreadConstraint
    pods: DomainCount
    own: int
    """1: the pod itself is one of those that are counted."""

    def most(self) -> int:
        """The largest number in a domain that takes one pod more."""
        eligible = self.pods.eligible
        assert eligible is not None
        here = eligible.nodes() > 0
        domains = int(here.sum())
        least = 0
        if domains and domains >= self.constraint.min_domains:
            least = int(self.pods.of_domain()[here].min())
        return least + self.constraint.max_skew - self.own


class _Constraints(NamedTuple):
    hard: tuple[_Counted, ...]
    soft: tuple[_Counted, ...]


class PodTopologySpread:
    """Filters by ``DoNotSchedule`` constraints and scores by ``ScheduleAnyway`` ones."""

    name = "PodTopologySpread"
    weight = 2

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts = cluster.shared(PodCounts)
        self._constraints: Recent[tuple[PodSpec, str], _Constraints] = Recent(
            self._read, self._drop
        )
        text = "node(s) didn't match pod topology spread constraints"
        self._skewed = Refusal(self.name, text)
        self._unlabelled = Refusal(self.name, f"{text} (missing required label)", unresolvable=True)

    # --- filter ---------------------------------------------------------------------------------

    def filters_by_pods(self, pod: Pod) -> bool:
        spread = pod.spec.spread
        return bool(spread) and any(each.required for each in spread)

    def refusals(self, pod: Pod) -> Refusals:
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        # The first constraint that a row fails is told, so it is written last.
        for each in reversed(self._constraints.of((pod.spec, pod.namespace)).hard):
            codes[each.pods.of_row() > each.most()] = 1
            codes[each.pods.domains.of_row == NO_DOMAIN] = 2
        return Refusals(codes, (self._skewed, self._unlabelled))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        for each in self._constraints.of((pod.spec, pod.namespace)).hard:
            if each.pods.domains.number(row) == NO_DOMAIN:
                return self._unlabelled
            if each.pods.at(row) > each.most():
                return self._skewed
        return None

    # --- score ----------------------------------------------------------------------------------

    def scores_by_pods(self, pod: Pod) -> bool:
        spread = pod.spec.spread
        return bool(spread) and not all(each.required for each in spread)

    def state_scores(self, pod: Pod, feasible: Mask) -> IntColumn:
        soft = self._constraints.of((pod.spec, pod.namespace)).soft
        scored = feasible.copy()
        for each in soft:
            scored &= each.pods.domains.of_row != NO_DOMAIN
        rows = int(np.count_nonzero(scored))
        if not rows:
            return np.zeros(len(scored), np.int64)
        raw: NDArray[np.float64] = np.zeros(len(scored), np.float64)
        for constraint, pods, _ in soft:
            of_row = pods.domains.of_row
            if constraint.key == _HOST:
                size = rows
            else:
                size = int(np.count_nonzero(np.bincount(_among(of_row, scored, rows))))
            # Worked out by domain, of which there are few, or as many as rows.
            of_domain = pods.of_domain() * np.log(size + 2) + (constraint.max_skew - 1)
            raw += of_domain[of_row]
        rounded = np.floor(raw + 0.5).astype(np.int64)
        among = _among(rounded, scored, rows)
        least, most = int(among.min()), int(among.max())
        scores: IntColumn = np.full(len(scored), MAX_SCORE, np.int64)
        if most:
            scores = MAX_SCORE * (most + least - rounded) // most
        if rows < len(scored):
            scores[~scored] = 0
        return scores

    # --- inside ---------------------------------------------------------------------------------

    def _read(self, key: tuple[PodSpec, str]) -> _Constraints:
        spec, namespace = key
        hard = tuple(each for each in spec.spread if each.required)
        soft = tuple(each for each in spec.spread if not each.required)
        return _Constraints(
            tuple(self._counted(spec, namespace, each, hard) for each in hard),
            tuple(self._counted(spec, namespace, each, soft) for each in soft),
        )

    def _counted(
        self,
        spec: PodSpec,
        namespace: str,
        constraint: SpreadConstraint,
        beside: tuple[SpreadConstraint, ...],
    ) -> _Counted:
        rule, accepts = _eligibility(spec, constraint, tuple(sorted({one.key for one in beside})))
        # A selector that selects every pod counts none, as kube-scheduler's does.
        namespaces = frozenset((namespace,)) if constraint.selector else frozenset[str]()
        pods = self._counts.use(
            (Part(constraint.selector, namespaces, None),),
            constraint.key,
            terminating=False,
            rule=rule,
            accepts=accepts,
        )
        own = spec.labels is not None and constraint.selector.selects(spec.labels)
        return _Counted(constraint, pods, int(own))

    def _drop(self, constraints: _Constraints) -> None:
        self._counts.drop(each.pods for side in constraints for each in side)


def _among(column: NDArray[T], rows: Mask, count: int) -> NDArray[T]:
    """The entries of these rows, of which there are so many."""
    return column if count == len(column) else column[rows]


def _eligibility(
    spec: PodSpec, constraint: SpreadConstraint, keys: tuple[str, ...]
) -> tuple[object, Callable[[Node], bool]]:
    """Which nodes count: those with all keys that the pod could go to as far as it says so."""
    affinity, taints = constraint.honour_affinity, constraint.honour_taints

    def accepts(node: Node) -> bool:
        return (
            all(key in node.labels for key in keys)
            and (not affinity or matches_node(spec, node))
            and (not taints or untolerated(node.taints, spec.tolerations, _HARD) is None)
        )

    rule = (
        keys,
        (spec.node_selector, spec.node_terms) if affinity else None,
        spec.tolerations if taints else None,
    )
    return rule, accepts
