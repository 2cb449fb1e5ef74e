"""InterPodAffinity: pods near to, or away from, other pods; both sides are asked.

What a pod requires or prefers of those that are there, and what those that are there require or
prefer of it: their anti-affinity forbids, and their preferences, and what they require to be near
to, are scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from kube_queue.api.pod_affinity import PodTerm
from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Mask
from kube_queue.placement.framework import MAX_SCORE, Refusals
from kube_queue.placement.held_terms import HeldTerms, WeighedTerm
from kube_queue.placement.pod_counts import DomainCount, PodCounts
from kube_queue.placement.recent import Recent
from kube_queue.placement.selecting import Selection, part_of
from kube_queue.placement.verdict import Refusal

_HARD_WEIGHT: Final = 1
"""What it is worth to stand near a pod that requires pods like this one to be near."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The counts of what one spec asks for."""

    near: tuple[DomainCount, ...]
    """Of the pods that all required terms select, by the key of each term."""
    selection: Selection
    """Those pods."""
    away: tuple[DomainCount, ...]
    preferred: tuple[tuple[int, DomainCount], ...]

    def counts(self) -> Iterator[DomainCount]:
        yield from self.near
        yield from self.away
        yield from (count for _, count in self.preferred)


class InterPodAffinity:
    """Filters and scores by the pods that are there."""

    name = "InterPodAffinity"
    weight = 2

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts = cluster.shared(PodCounts)
        self._forbidding = HeldTerms(cluster, _forbidding)
        self._preferring = HeldTerms(cluster, _preferring)
        self._asked: Recent[PodSpec, _Asked] = Recent(
            self._ask, lambda asked: self._counts.drop(asked.counts())
        )
        self._not_near = Refusal(
            self.name, "node(s) didn't match pod affinity rules", unresolvable=True
        )
        self._not_away = Refusal(self.name, "node(s) didn't match pod anti-affinity rules")
        self._not_wanted = Refusal(
            self.name, "node(s) didn't satisfy existing pods anti-affinity rules"
        )

    # --- filter ---------------------------------------------------------------------------------

    def filters_by_pods(self, pod: Pod) -> bool:
        affinity = pod.spec.affinity
        return bool(affinity.required or affinity.anti_required or self._forbidding.concerns(pod))

    def refusals(self, pod: Pod) -> Refusals:
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        # The first of these reasons is told, so it is written last.
        for term in self._forbidding.about(pod):
            if term.holders:
                codes[term.somewhere()] = 3
        if pod.spec.affinity:
            asked = self._asked.of(pod.spec)
            for count in asked.away:
                if count.total:
                    codes[count.somewhere()] = 2
            if asked.near:
                codes[~self._near(pod, asked)] = 1
        return Refusals(codes, (self._not_near, self._not_away, self._not_wanted))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        if pod.spec.affinity:
            asked = self._asked.of(pod.spec)
            if asked.near and not self._is_near(pod, asked, row):
                return self._not_near
            if any(count.at(row) for count in asked.away):
                return self._not_away
        if any(term.at(row) > 0 for term in self._forbidding.about(pod)):
            return self._not_wanted
        return None

    def _near(self, pod: Pod, asked: _Asked) -> Mask:
        first = self._is_first(pod, asked)
        near: Mask = np.ones(self._cluster.columns.rows, np.bool_)
        for count in asked.near:
            near &= count.domains.of_row > 0 if first else count.somewhere()
        return near

    def _is_near(self, pod: Pod, asked: _Asked, row: int) -> bool:
        if self._is_first(pod, asked):
            return all(count.domains.number(row) for count in asked.near)
        return all(count.at(row) for count in asked.near)

    def _is_first(self, pod: Pod, asked: _Asked) -> bool:
        """Whether nobody it wants to be near is anywhere, and it is what it wants to be near: the
        first of a group may stand anywhere.
        """
        if any(count.total for count in asked.near):
            return False
        return self._counts.namespaces.selects(asked.selection, pod.namespace, pod.labels)

    # --- score ----------------------------------------------------------------------------------

    def scores_by_pods(self, pod: Pod) -> bool:
        affinity = pod.spec.affinity
        return bool(affinity.preferred or affinity.anti_preferred or self._preferring.concerns(pod))

    def state_scores(self, pod: Pod, feasible: Mask) -> IntColumn:
        total = np.zeros(self._cluster.columns.rows, np.int64)
        if pod.spec.affinity:
            for weight, count in self._asked.of(pod.spec).preferred:
                if count.total:
                    total += weight * count.of_row().astype(np.int64)
        for term in self._preferring.about(pod):
            if term.holders:
                total += term.of_row()
        among = total[feasible]
        least, most = int(among.min()), int(among.max())
        if least == most:
            return np.zeros_like(total)
        # In floating point, as kube-scheduler does: 29 of 100 is 28.
        scores: IntColumn = (MAX_SCORE * ((total - least) / (most - least))).astype(np.int64)
        return scores

    # --- inside ---------------------------------------------------------------------------------

    def _ask(self, spec: PodSpec) -> _Asked:
        affinity = spec.affinity
        selection = tuple(part_of(term) for term in affinity.required)
        return _Asked(
            near=tuple(self._counts.use(selection, term.key) for term in affinity.required),
            selection=selection,
            away=tuple(
                self._counts.use((part_of(term),), term.key) for term in affinity.anti_required
            ),
            preferred=tuple(
                (weight, self._counts.use((part_of(term),), term.key))
                for weight, term in _weighed(spec)
            ),
        )


def _weighed(spec: PodSpec) -> Iterator[tuple[int, PodTerm]]:
    for each in (*spec.affinity.preferred, *spec.affinity.anti_preferred):
        yield each.weight, each.term


def _forbidding(spec: PodSpec) -> Iterator[WeighedTerm]:
    for term in spec.affinity.anti_required:
        yield WeighedTerm(term, 1)


def _preferring(spec: PodSpec) -> Iterator[WeighedTerm]:
    affinity = spec.affinity
    for term in affinity.required:
        yield WeighedTerm(term, _HARD_WEIGHT)
    for each in (*affinity.preferred, *affinity.anti_preferred):
        yield WeighedTerm(each.term, each.weight)
