"""How many pods of a selection are in each domain, kept with every pod that comes and goes.

Pods of one namespace with the same labels are one class: a selection is compared with a class
once, and a pod is counted in what its class is counted in. So pods that nobody asks for cost two
look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Labels, Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Mask
from kube_queue.placement.domains import NO_DOMAIN, Domains, Eligible, Numbers, grown
from kube_queue.placement.selecting import (
    Askers,
    LabelPair,
    Namespaces,
    Selection,
    label_pairs,
    reads_namespaces,
)

_EMPTY_KEPT: Final = 1_024
"""Classes without a pod that are kept: their pods are on trial, or come back."""


@dataclass(slots=True, eq=False)
class PodClass:
    """Pods that no selection tells apart."""

    namespace: str
    labels: Labels
    terminating: bool
    rows: dict[int, int] = field(default_factory=dict)
    """How many of them are on each row; rows without one are left out."""
    counts: dict[DomainCount, None] = field(default_factory=dict)
    """Where they are counted."""


class DomainCount:
    """Pods of one selection by domain of one key."""

    def __init__(
        self,
        selection: Selection,
        domains: Domains,
        eligible: Eligible | None,
        terminating: bool,
    ) -> None:
        self.selection = selection
        self.domains = domains
        self.eligible = eligible
        """Only pods on these rows are counted; None: on all rows."""
        self.terminating = terminating
        """Pods that are about to end are counted as well."""
        self.total = 0
        """All that are counted; pods on rows without the label are not."""
        self.users = 0
        self._of_domain: Numbers = np.zeros(domains.size, np.int32)

    def of_domain(self) -> Numbers:
        """By domain; NO_DOMAIN has none."""
        self._of_domain = grown(self._of_domain, self.domains.size)
        return self._of_domain[: self.domains.size]

    def of_row(self) -> Numbers:
        """By row: the pods in its domain."""
        found: Numbers = self.of_domain()[self.domains.of_row]
        return found

    def somewhere(self) -> Mask:
        """The rows in whose domain there is a pod."""
        found: Mask = (self.of_domain() > 0)[self.domains.of_row]
        return found

    def at(self, row: int) -> int:
        """The pods in the domain of the row."""
        number = self.domains.number(row)
        return int(self._of_domain[number]) if number < len(self._of_domain) else 0

    def add(self, row: int, pods: int) -> None:
        """So many pods more, or less, are on the row."""
        number = self.domains.number(row)
        if number == NO_DOMAIN or (self.eligible is not None and not self.eligible.has(row)):
            return
        if number >= len(self._of_domain):
            self._of_domain = grown(self._of_domain, self.domains.size)
        self._of_domain[number] += pods
        self.total += pods

    def clear(self) -> None:
        """Nothing is counted."""
        self._of_domain[:] = 0
        self.total = 0


class PodCounts:
    """Every count that somebody uses, kept up to date. Plug-ins share one for a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.namespaces = Namespaces(cluster.namespaces)
        self._cluster = cluster
        self._domains: dict[str, Domains] = {}
        self._eligible: dict[tuple[str, object], Eligible] = {}
        self._counts: dict[tuple[Selection, str, bool, object], DomainCount] = {}
        self._askers: Askers[DomainCount] = Askers()
        self._classes: dict[tuple[str, int, bool], PodClass] = {}
        self._by_label: dict[LabelPair, dict[PodClass, None]] = {}
        self._sweep_at = _EMPTY_KEPT
        cluster.follow(self)
        cluster.follow_namespaces(self._namespace_changed)

    def domains(self, key: str) -> Domains:
        """The domains of the key, kept from now on."""
        found = self._domains.get(key)
        if found is None:
            found = self._domains[key] = Domains(key, self._cluster.nodes)
        return found

    def use(
        self,
        selection: Selection,
        key: str,
        *,
        terminating: bool = True,
        rule: object = None,
        accepts: Callable[[Node], bool] | None = None,
    ) -> DomainCount:
        """The count of these pods by domain of the key; given back with ``drop``.

        ``accepts``: only pods on nodes it is true for count, and equal ``rule``s mean that it is
        the same. A node it was asked about is asked about again only when it changes.
        """
        name = (selection, key, terminating, rule)
        count = self._counts.get(name)
        if count is None:
            eligible = self._use_rows(key, rule, accepts) if accepts is not None else None
            count = DomainCount(selection, self.domains(key), eligible, terminating)
            self._counts[name] = count
            self._askers.add(count, selection)
            self._recount(count)
        count.users += 1
        return count

    def drop(self, counts: Iterable[DomainCount]) -> None:
        """One user less for each; what nobody uses is not kept."""
        for count in counts:
            count.users -= 1
            if count.users:
                continue
            rule = count.eligible.rule if count.eligible is not None else None
            del self._counts[count.selection, count.domains.key, count.terminating, rule]
            self._askers.remove(count, count.selection)
            for each in self._classes_of(count.selection):
                each.counts.pop(count, None)
            if count.eligible is not None:
                self._drop_rows(count.eligible)

    # --- as a tracker ---------------------------------------------------------------------------

    def pod_added(self, pod: Pod, row: int) -> None:
        each = self._class_of(pod)
        each.rows[row] = each.rows.get(row, 0) + 1
        for count in each.counts:
            count.add(row, 1)

    def pod_removed(self, pod: Pod, row: int) -> None:
        each = self._class_of(pod)
        left = each.rows[row] - 1
        if left:
            each.rows[row] = left
        else:
            del each.rows[row]
        for count in each.counts:
            count.add(row, -1)

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        for eligible in self._eligible.values():
            eligible.leave(row)
        for domains in self._domains.values():
            domains.place(row, new)
        for eligible in self._eligible.values():
            eligible.enter(row, new)

    # --- inside ---------------------------------------------------------------------------------

    def _class_of(self, pod: Pod) -> PodClass:
        # Equal labels are one object as long as somebody holds it: the class does.
        name = pod.namespace, id(pod.labels), pod.deletion != 0
        found = self._classes.get(name)
        if found is None:
            if len(self._classes) >= self._sweep_at:
                self._sweep()
            found = PodClass(pod.namespace, pod.labels, pod.deletion != 0)
            self._classes[name] = found
            for pair in pod.labels.items():
                self._by_label.setdefault(pair, {})[found] = None
            for count in self._askers.who_may_ask(pod.labels):
                if self._counted(count, found):
                    found.counts[count] = None
        return found

    def _sweep(self) -> None:
        """Classes without a pod are forgotten."""
        for name, each in list(self._classes.items()):
            if each.rows:
                continue
            del self._classes[name]
            for pair in each.labels.items():
                group = self._by_label[pair]
                del group[each]
                if not group:
                    del self._by_label[pair]
        self._sweep_at = 2 * len(self._classes) + _EMPTY_KEPT

    def _counted(self, count: DomainCount, each: PodClass) -> bool:
        return (count.terminating or not each.terminating) and self.namespaces.selects(
            count.selection, each.namespace, each.labels
        )

    def _recount(self, count: DomainCount) -> None:
        """The count is that of the pods that are there."""
        count.clear()
        for each in self._classes_of(count.selection):
            if self._counted(count, each):
                each.counts[count] = None
                for row, pods in each.rows.items():
                    count.add(row, pods)
            else:
                each.counts.pop(count, None)

    def _classes_of(self, selection: Selection) -> list[PodClass]:
        """Every class that the selection may select."""
        pairs = label_pairs(selection)
        if pairs is None:
            return list(self._classes.values())
        # The pairs are of one key, so no class is listed twice.
        return [each for pair in pairs for each in self._by_label.get(pair, ())]

    def _namespace_changed(self, name: str) -> None:
        for count in self._counts.values():
            if reads_namespaces(count.selection):
                self._recount(count)

    def _use_rows(self, key: str, rule: object, accepts: Callable[[Node], bool]) -> Eligible:
        found = self._eligible.get((key, rule))
        if found is None:
            found = Eligible(self.domains(key), rule, accepts, self._cluster.nodes)
            self._eligible[key, rule] = found
        found.users += 1
        return found

    def _drop_rows(self, eligible: Eligible) -> None:
        eligible.users -= 1
        if not eligible.users:
            del self._eligible[eligible.domains.key, eligible.rule]
