"""Where one pod goes, and why it goes nowhere: filters, scores, and the best of what is left."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import LARGEST, IntColumn, Mask
from kube_queue.placement.framework import Plugin, Profile, Refusals, StateFilter
from kube_queue.placement.verdict import Refusal, Verdict, counted, refused
from kube_queue.placement.views import Views, too_large

_TOLD = 4_096
FIT = "NodeResourcesFit"
OUTSIDE = Refusal("TopologyConstraint", "node(s) didn't match the pod's topology domain", True)


class Placer:
    """Chooses rows of one cluster by the plug-ins of one profile; changes nothing."""

    def __init__(self, cluster: Cluster, profile: Profile) -> None:
        self.cluster = cluster
        self.profile = profile
        self.views = Views(cluster, profile)
        # Who stands before NodeResourcesFit tells a node's first refusal before resources do.
        at = next((n for n, each in enumerate(profile.plugins) if each.name == FIT), 0)
        self._before_fit = _state_filters(profile.plugins[:at])
        self._after_fit = _state_filters(profile.plugins[at:])
        self._turn = 0
        self._told: dict[PodSpec, tuple[int, Verdict]] = {}
        """The last verdict of a spec that no state filter concerns, and for which version."""

    def choose(self, pod: Pod, within: Mask | None = None) -> int:
        """The best row for the pod, as the cluster is now; -1: none takes it.

        ``within``: only these rows. Of equally good rows it is the next after the one chosen
        last, so that equal nodes are filled in turn.
        """
        if unplaceable(pod) is not None:
            return -1
        view = self.views.of(pod.spec)
        filters = [each for each in self.profile.state_filters if each.filters_by_pods(pod)]
        scorers = [each for each in self.profile.state_scores if each.scores_by_pods(pod)]
        if not filters and not scorers:
            return self._best(view.rank if within is None else np.where(within, view.rank, -1))
        feasible = self.feasible(pod, within)
        score = view.score
        for scorer in scorers:
            if feasible.any():
                score = score + scorer.weight * scorer.state_scores(pod, feasible)
        return self._best(np.where(feasible, score, -1))

    def feasible(self, pod: Pod, within: Mask | None = None) -> Mask:
        """Every row that takes the pod now."""
        if unplaceable(pod) is not None:
            return np.zeros(self.cluster.columns.rows, np.bool_)
        feasible = self.views.of(pod.spec).feasible
        if within is not None:
            feasible = feasible & within
        for plugin in self.profile.state_filters:
            if plugin.filters_by_pods(pod):
                found = plugin.refusals(pod)
                if isinstance(found, Refusal):
                    return np.zeros_like(feasible)
                feasible = feasible & (found.codes == 0)
        return feasible.copy()

    def kind_of(self, pod: Pod) -> Hashable:
        """Equal for pods of which none finds a row where another of the kind finds none now.

        Replicas are of one kind, except by what they differ in: the claims they mount, and labels
        that pods which are there ask about.
        """
        concerned = any(each.filters_by_pods(pod) for each in self.profile.state_filters)
        asked = (pod.namespace, id(pod.labels)) if concerned else None
        return id(pod.spec), pod.claims, asked

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        """Why this row does not take the pod now."""
        cannot = unplaceable(pod)
        if cannot is not None:
            return cannot
        refusal = self.views.of(pod.spec).row_takes(row)
        if refusal is not None:
            return refusal
        refusal = _first_refusal(self._before_fit, pod, row)
        if refusal is not None:
            return refusal
        lacking = self.cluster.columns.lacking(pod.spec.request, row)
        if lacking:
            return insufficient(lacking[0], self.cluster, pod, (row,))
        return _first_refusal(self._after_fit, pod, row)

    def state_refusal(self, pod: Pod, row: int) -> Refusal | None:
        """Why this row does not take the pod beside the pods that are there, whatever amounts they
        take of it.
        """
        return _first_refusal(self.profile.state_filters, pod, row)

    def verdict(self, pod: Pod, within: Mask | None = None) -> Verdict:
        """Why no row takes the pod: how many nodes refuse it for each reason.

        A node that lacks several resources is counted for each, as kube-scheduler does.
        """
        version = self.cluster.changes.version
        alike = within is None and not any(
            plugin.filters_by_pods(pod) for plugin in self.profile.state_filters
        )
        told = self._told.get(pod.spec) if alike else None
        if told is not None and told[0] == version:
            return told[1]
        verdict = self._verdict(pod, within)
        if alike:
            if len(self._told) > _TOLD:
                self._told.clear()
            self._told[pod.spec] = version, verdict
        return verdict

    def _verdict(self, pod: Pod, within: Mask | None) -> Verdict:
        cluster = self.cluster
        cannot = unplaceable(pod)
        if cannot is not None:
            return refused(cannot, cluster.node_count)
        found: list[tuple[Refusal, int]] = []
        for plugin in self.profile.state_filters:
            if plugin.filters_by_pods(pod):
                refusals = plugin.refusals(pod)
                if isinstance(refusals, Refusal):
                    return refused(refusals, cluster.node_count)
        view = self.views.of(pod.spec)
        left = view.live
        if within is not None:
            found.append((OUTSIDE, _count(left & ~within)))
            left &= within
        for refusal, mask in view.node_refusals():
            found.append((refusal, _count(mask & left)))
            left &= ~mask
        left = self._tell(self._before_fit, pod, left, found)
        found += self._lacking(pod, left)
        left &= view.feasible
        self._tell(self._after_fit, pod, left, found)
        return counted(cluster.node_count, found)

    def _lacking(self, pod: Pod, left: Mask) -> Iterator[tuple[Refusal, int]]:
        columns = self.cluster.columns
        for name, amount in pod.spec.request.items:
            has = columns.allocatable(name)
            short = left & (has - columns.used(name) < amount)
            count = _count(short)
            if count:
                never = _count(short & (has < amount))
                text = "Too many pods" if name == "pods" else f"Insufficient {name}"
                yield Refusal(FIT, text), count - never
                yield Refusal(FIT, text, unresolvable=True), never

    def _tell(
        self,
        plugins: Iterable[StateFilter],
        pod: Pod,
        left: Mask,
        found: list[tuple[Refusal, int]],
    ) -> Mask:
        """What the plug-ins refuse of the rows that are left is found. Returns those left then."""
        for plugin in plugins:
            refusals = plugin.refusals(pod) if plugin.filters_by_pods(pod) else None
            if not isinstance(refusals, Refusals):
                continue
            for refusal, mask in refusals.also:
                found.append((refusal, int((mask & left).sum())))
            for number, refusal in enumerate(refusals.reasons, start=1):
                mask = refusals.codes == number
                found.append((refusal, _count(mask & left)))
                left &= ~mask
        return left

    def _best(self, rank: IntColumn) -> int:
        """The row of the highest rank; -1: there is none of 0 or more."""
        best = rank.max() if len(rank) else -1
        if best < 0:
            return -1
        equals = np.flatnonzero(rank == best)
        after = int(equals.searchsorted(self._turn))
        row = int(equals[after if after < len(equals) else 0])
        self._turn = row + 1
        return row


def _state_filters(plugins: Iterable[Plugin]) -> tuple[StateFilter, ...]:
    return tuple(plugin for plugin in plugins if isinstance(plugin, StateFilter))


def _first_refusal(plugins: Iterable[StateFilter], pod: Pod, row: int) -> Refusal | None:
    for plugin in plugins:
        refusal = plugin.row_refusal(pod, row) if plugin.filters_by_pods(pod) else None
        if refusal is not None:
            return refusal
    return None


def _count(rows: Mask) -> int:
    return int(np.count_nonzero(rows))


def unplaceable(pod: Pod) -> Refusal | None:
    """Why the pod can be placed nowhere, whatever the cluster."""
    if pod.spec.invalid:
        return Refusal("PodSpec", pod.spec.invalid, unresolvable=True)
    name = too_large(pod.spec)
    if name:
        reason = f"asks for more than {LARGEST} of {name}, which cannot be counted exactly"
        return Refusal("PodSpec", reason, unresolvable=True)
    return None


def insufficient(name: str, cluster: Cluster, pod: Pod, rows: tuple[int, ...]) -> Refusal:
    """The refusal of rows that have not enough of the resource."""
    text = "Too many pods" if name == "pods" else f"Insufficient {name}"
    asked = pod.spec.request[name]
    never = all(cluster.columns.has(row, name) < asked for row in rows)
    return Refusal(FIT, text, unresolvable=never)
