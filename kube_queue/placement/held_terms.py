"""What the pods that are there ask of those that come: their terms, by the domains they hold in.

Replicas ask the same, so their terms are one, which says by domain how much it weighs. Who comes is
compared with the terms once for all pods of its namespace and labels, until the terms are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pod_affinity import PodTerm
from kube_queue.api.pods import Labels, Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Mask
from kube_queue.placement.domains import NO_DOMAIN, Domains, grown
from kube_queue.placement.pod_counts import PodCounts
from kube_queue.placement.selecting import Askers, Selection, part_of, reads_namespaces

_EMPTY_KEPT: Final = 1_024
_ANSWERS: Final = 16_384


class WeighedTerm(NamedTuple):
    """A term, and what each pod that holds it adds in its domain."""

    term: PodTerm
    weight: int


class HeldTerm:
    """One term of pods that are there."""

    def __init__(self, selection: Selection, domains: Domains, weight: int) -> None:
        self.selection = selection
        self.domains = domains
        self.weight = weight
        self.holders = 0
        """Pods that hold it on rows with the label."""
        self.specs = 0
        """Specs that name it."""
        self._of_domain: IntColumn = np.zeros(domains.size, np.int64)

    def of_row(self) -> IntColumn:
        """By row: the weight in its domain."""
        self._of_domain = grown(self._of_domain, self.domains.size)
        found: IntColumn = self._of_domain[self.domains.of_row]
        return found

    def somewhere(self) -> Mask:
        """The rows in whose domain it weighs something."""
        self._of_domain = grown(self._of_domain, self.domains.size)
        found: Mask = (self._of_domain > 0)[self.domains.of_row]
        return found

    def at(self, row: int) -> int:
        """The weight in the domain of the row."""
        number = self.domains.number(row)
        return int(self._of_domain[number]) if number < len(self._of_domain) else 0

    def add(self, row: int, pods: int) -> None:
        """So many pods more, or less, hold it on the row."""
        number = self.domains.number(row)
        if number == NO_DOMAIN:
            return
        self._of_domain = grown(self._of_domain, self.domains.size)
        self._of_domain[number] += pods * self.weight
        self.holders += pods


@dataclass(slots=True)
class _Held:
    """The terms of one spec, and how many pods of it are there."""

    terms: tuple[HeldTerm, ...]
    pods: int = 0


class HeldTerms:
    """The terms that ``terms_of`` reads from the specs of the pods that are there."""

    def __init__(
        self, cluster: Cluster, terms_of: Callable[[PodSpec], Iterable[WeighedTerm]]
    ) -> None:
        # Told of a node before this is, so its domains are up to date here.
        self._counts = cluster.shared(PodCounts)
        self._terms_of = terms_of
        self._held: dict[PodSpec, _Held] = {}
        self._terms: dict[tuple[Selection, str, int], HeldTerm] = {}
        self._askers: Askers[HeldTerm] = Askers()
        self._answers: dict[tuple[str, int], tuple[Labels, tuple[HeldTerm, ...]]] = {}
        self._sweep_at = _EMPTY_KEPT
        cluster.follow(self)
        cluster.follow_namespaces(self._namespace_changed)

    def about(self, pod: Pod) -> tuple[HeldTerm, ...]:
        """The terms that select the pod; some may be held nowhere at the moment."""
        if not self._terms:
            return ()
        key = pod.namespace, id(pod.labels)
        answer = self._answers.get(key)
        if answer is None:
            found = tuple(
                term
                for term in self._askers.who_may_ask(pod.labels)
                if self._counts.namespaces.selects(term.selection, pod.namespace, pod.labels)
            )
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            # Whoever remembers an id holds the object as well.
            answer = self._answers[key] = pod.labels, found
        return answer[1]

    def concerns(self, pod: Pod) -> bool:
        """Whether a pod that is there asks something of this one."""
        return any(term.holders for term in self.about(pod))

    # --- as a tracker ---------------------------------------------------------------------------

    def pod_added(self, pod: Pod, row: int) -> None:
        if not pod.spec.affinity:
            return
        held = self._held.get(pod.spec)
        if held is None:
            held = self._hold(pod.spec)
        held.pods += 1
        for term in held.terms:
            term.add(row, 1)

    def pod_removed(self, pod: Pod, row: int) -> None:
        if not pod.spec.affinity:
            return
        held = self._held[pod.spec]
        held.pods -= 1
        for term in held.terms:
            term.add(row, -1)

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """Domains know of it; the pods left before and come anew."""

    # --- inside ---------------------------------------------------------------------------------

    def _hold(self, spec: PodSpec) -> _Held:
        if len(self._held) >= self._sweep_at:
            self._sweep()
        terms = []
        for term, weight in self._terms_of(spec):
            key = (part_of(term),), term.key, weight
            found = self._terms.get(key)
            if found is None:
                found = HeldTerm(key[0], self._counts.domains(term.key), weight)
                self._terms[key] = found
                self._askers.add(found, found.selection)
                self._answers.clear()
            found.specs += 1
            terms.append(found)
        held = self._held[spec] = _Held(tuple(terms))
        return held

    def _sweep(self) -> None:
        """Specs without a pod are forgotten, and terms that no other spec names."""
        for spec, held in list(self._held.items()):
            if held.pods:
                continue
            del self._held[spec]
            for term in held.terms:
                term.specs -= 1
                if not term.specs:
                    del self._terms[term.selection, term.domains.key, term.weight]
                    self._askers.remove(term, term.selection)
                    self._answers.clear()
        self._sweep_at = 2 * len(self._held) + _EMPTY_KEPT

    def _namespace_changed(self, name: str) -> None:
        if any(reads_namespaces(term.selection) for term in self._terms.values()):
            self._answers.clear()
