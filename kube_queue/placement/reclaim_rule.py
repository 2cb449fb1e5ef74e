"""Reclaim: who gives back what a quota lent beyond its min, and from which node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

import numpy as np

from kube_queue.api.pods import Pod
from kube_queue.api.resources import ResourceVector
from kube_queue.placement.columns import Mask
from kube_queue.placement.making_room import Search
from kube_queue.placement.quota import Capacity
from kube_queue.placement.quota_bounds import Shortage
from kube_queue.placement.quota_sums import NodeSums, View
from kube_queue.placement.row_search import Harm, RowPlan, least_harmful
from kube_queue.placement.victims import ANY_QUOTA, Pick, Rank, rank

_SETTLED: Final = View(settled=True)
_AT_ONCE: Final = 32
"""Rows that are looked at closely."""


class _Option(NamedTuple):
    """A pod that may go."""

    pod: Pod
    amounts: ResourceVector
    givers: tuple[NodeSums, ...]
    """The quotas that have to be above their min for it."""
    leaf: str
    rank: Rank


class Reclaim:
    """Pods of quotas that took more than their min give it back to one that is within its own."""

    reclaims = True
    minimal = True

    def __init__(self, capacity: Capacity, leaves: set[str]) -> None:
        self._sums = capacity.sums
        self._leaves = leaves
        self._above = {node.path for leaf in leaves for node in self._sums.nodes[leaf].chain()}
        """The quotas of the unit and all above them."""
        self._by_amounts = True
        """Whether nothing but amounts matters for the pod that rows are asked about for."""
        self._known: dict[tuple[str, str], int] = {}
        """The excess of nodes while rows are asked about."""
        self._ways: dict[str, tuple[NodeSums, ...]] = {}

    # --- the quota pass -------------------------------------------------------------------------

    def of_quota(self, search: Search, shortages: Sequence[Shortage]) -> Pick | None:
        blocked = shortages[0]
        if blocked.bound != "max" or blocked.path in self._leaves:
            return None
        limits = {each.resource: each.limit for each in shortages if each.path == blocked.path}
        node = self._sums.nodes[blocked.path]
        for undershoots in (False, True):
            pick = self._below(search, node, limits, undershoots)
            if pick is not None:
                return pick
        return None

    def _below(
        self, search: Search, node: NodeSums, limits: Mapping[str, int], undershoots: bool
    ) -> Pick | None:
        """A pick of the child with the largest excess that has one."""
        if not node.children:
            return self._of_leaf(search, node, limits, undershoots)
        for child, scarce in self._by_excess(node, limits):
            pick = self._below(search, child, scarce, undershoots)
            if pick is not None:
                return pick
        return None

    def _by_excess(
        self, node: NodeSums, limits: Mapping[str, int]
    ) -> Iterator[tuple[NodeSums, Mapping[str, int]]]:
        """The children that give, largest excess first, with the resources they have too much of.
        Where the way to the unit's own quota leads nobody has to be above min.
        """
        found = []
        for child in node.children:
            if child.path in self._leaves:
                continue
            excess = {name: _excess(child, name) for name in limits}
            scarce = {
                name: limits[name]
                for name, more in excess.items()
                if more > 0 or child.path in self._above
            }
            if scarce:
                largest = max(excess[name] / max(1, limits[name]) for name in scarce)
                found.append((-largest, child.path, child, scarce))
        found.sort(key=lambda entry: entry[:2])
        for _, _, child, scarce in found:
            yield child, scarce

    def _of_leaf(
        self, search: Search, leaf: NodeSums, scarce: Mapping[str, int], undershoots: bool
    ) -> Pick | None:
        whole: Pick | None = None
        for pod in search.room.victims.ranked(leaf.path):
            if whole is not None and pod.priority > whole.pods[0].priority:
                break
            if not any(pod.spec.request[name] for name in scarce):
                continue
            pick = self._pick(search, pod)
            if pick is None or (_undershoots(leaf, pick, scarce, search) and not undershoots):
                continue
            if len(pick.pods) == 1:
                return pick
            # A gang that would fall below its minimum goes only where no single pod will do.
            whole = whole or pick
        return whole

    def _pick(self, search: Search, pod: Pod) -> Pick | None:
        """Who leaves with the pod; None: they may not."""
        victims = search.room.victims
        pick = victims.pick(pod, search.room.gangs)
        for each in pick.pods:
            leaf = victims.leaf(each)
            if not leaf or leaf in self._leaves or search.is_own(each):
                return None
            if not victims.evictable(each) or each.uid in search.room.spared:
                return None
        return pick if search.spending.allows(pick.pods) else None

    def begin(self, search: Search, pod: Pod) -> None:
        filters = search.room.placer.profile.state_filters
        self._by_amounts = not any(each.filters_by_pods(pod) for each in filters)
        self._known.clear()

    # --- the node pass --------------------------------------------------------------------------

    def may_free(self, search: Search, pod: Pod, name: str) -> np.ndarray:
        victims = search.room.victims
        total = victims.free(ANY_QUOTA).used(name)
        for leaf in self._leaves:
            total = total - victims.free(leaf).used(name)
        return total

    def best_plan(self, search: Search, pod: Pod, within: Mask | None) -> RowPlan | None:
        rows = search.in_turn(pod, within)
        place = {row: number for number, row in enumerate(rows)}
        lacks = _lacks(search, pod, rows)
        return least_harmful(
            rows,
            _AT_ONCE,
            lambda row: self._least(search, row, ((name, of[place[row]]) for name, of in lacks)),
            lambda row: self.row_plan(search, pod, row),
        )

    def _least(self, search: Search, row: int, lacks: Iterable[tuple[str, int]]) -> Harm | None:
        """As many go as of the row's largest pods would have to."""
        most = 0
        for name, lacking in lacks:
            if lacking > 0:
                fewest = search.room.victims.fewest(row, name, lacking)
                if fewest is None:
                    return None
                most = max(most, fewest)
        return 0, most, self._name(search, row)

    def row_plan(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        victims = search.room.victims
        evictable, going = victims.on_row(row)
        if self._by_amounts and not victims.any_grouped(row):
            return self._reckoned(search, pod, row, evictable, going)
        return self._tried(search, pod, row, going)

    def _reckoned(
        self,
        search: Search,
        pod: Pod,
        row: int,
        evictable: Sequence[Pod],
        going: Sequence[Pod],
    ) -> RowPlan | None:
        """The plan of a row where pods leave one by one, by amounts alone."""
        columns = search.room.cluster.columns
        need = {
            name: amount
            + columns.takes(row, name)
            - columns.has(row, name)
            - sum(_amount(each, name) for each in going)
            for name, amount in pod.spec.request.items
        }
        options = self._options(search, evictable)
        gone: dict[tuple[str, str], int] = {}
        taken: list[_Option] = []
        while short := [name for name, lacking in need.items() if lacking > 0]:
            option = self._first_to_go(options, short, gone)
            if option is None:
                return None
            options.remove(option)
            taken.append(option)
            for name in need:
                amount = option.amounts[name]
                need[name] -= amount
                for node in option.givers:
                    gone[node.path, name] = gone.get((node.path, name), 0) + amount
        for option in tuple(reversed(taken)):
            if all(lacking + option.amounts[name] <= 0 for name, lacking in need.items()):
                taken.remove(option)
                for name in need:
                    need[name] += option.amounts[name]
        pods = [option.pod for option in taken]
        if not search.spending.allows(pods):
            return self._tried(search, pod, row, going)
        return self._plan(search, row, [Pick((each,)) for each in pods])

    def _options(self, search: Search, evictable: Sequence[Pod]) -> list[_Option]:
        """Those of the pods that their quotas and budgets let go."""
        room, found = search.room, []
        for pod in evictable:
            givers = self._givers(search, pod)
            if not givers or search.is_own(pod) or pod.uid in room.spared:
                continue
            if room.budgets.any_for(pod.namespace) and not search.spending.allows((pod,)):
                continue
            amounts = pod.charged or pod.spec.request
            found.append(_Option(pod, amounts, givers, givers[0].path, rank(pod)))
        return found

    def _first_to_go(
        self,
        options: Iterable[_Option],
        short: Sequence[str],
        gone: Mapping[tuple[str, str], int],
    ) -> _Option | None:
        """Who goes next: best without his leaf falling below its min, then from the leaf that has
        most to give. None: nobody's quotas have enough of anything short to give any.
        """
        to_give: dict[str, list[tuple[str, int]]] = {}
        best: tuple[tuple[object, ...], _Option] | None = None
        for option in options:
            gives = to_give.get(option.leaf)
            if gives is None:
                gives = to_give[option.leaf] = list(self._to_give(option.givers, short, gone))
            asked = [(left, option.amounts[name]) for name, left in gives if option.amounts[name]]
            if asked:
                undershoots = any(amount > left for left, amount in asked)
                most = max(left for left, _ in asked)
                harm = (undershoots, -most, option.leaf, option.rank)
                if best is None or harm < best[0]:
                    best = harm, option
        return best[1] if best is not None else None

    def _to_give(
        self,
        givers: Sequence[NodeSums],
        short: Sequence[str],
        gone: Mapping[tuple[str, str], int],
    ) -> Iterator[tuple[str, int]]:
        """What of the resources the first of the quotas has too much of, where all have."""
        for name in short:
            left = [self._excess(node, name) - gone.get((node.path, name), 0) for node in givers]
            if min(left) > 0:
                yield name, left[0]

    def _excess(self, node: NodeSums, name: str) -> int:
        key = node.path, name
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _excess(node, name)
        return found

    def _givers(self, search: Search, pod: Pod) -> tuple[NodeSums, ...]:
        """The quotas that have to be above their min for the pod to go: its own, and those above it
        as far as they are not above the unit's. Empty: it may not go.
        """
        leaf = search.room.victims.leaf(pod)
        if not leaf or leaf in self._leaves:
            return ()
        found = self._ways.get(leaf)
        if found is None:
            chain = self._sums.nodes[leaf].chain()
            found = tuple(takewhile(lambda node: node.path not in self._above, chain))
            self._ways[leaf] = found
        return found

    def _plan(self, search: Search, row: int, picks: Sequence[Pick]) -> RowPlan:
        count = sum(len(pick.pods) for pick in picks)
        # Nobody leaves against a budget.
        return RowPlan(row, tuple(picks), (0, count, self._name(search, row)))

    def _name(self, search: Search, row: int) -> str:
        node = search.room.cluster.nodes[row]
        return node.name if node is not None else ""

    def _tried(self, search: Search, pod: Pod, row: int, going: Sequence[Pod]) -> RowPlan | None:
        """The plan by every filter, tried out."""
        placer = search.room.placer
        search.journal.take(going)
        taken: list[Pick] = []
        try:
            while (refusal := placer.row_refusal(pod, row)) is not None:
                pick = self._of_row(search, pod, row) if not refusal.unresolvable else None
                if pick is None:
                    return None
                taken.append(pick)
                search.take(pick)
            for pick in tuple(reversed(taken)):
                search.untake(pick)
                if placer.row_refusal(pod, row) is None:
                    taken.remove(pick)
                else:
                    search.take(pick)
            return self._plan(search, row, taken)
        finally:
            for pick in reversed(taken):
                search.untake(pick)
            search.journal.give_back(going)

    def _of_row(self, search: Search, pod: Pod, row: int) -> Pick | None:
        """The next one of the row that may go for what the pod finds too little of there."""
        short = search.room.cluster.columns.lacking(pod.spec.request, row)
        found = []
        for each in search.room.victims.on_row(row)[0]:
            scarce = self._gives(search, each, short)
            pick = self._pick(search, each) if scarce else None
            if pick is not None:
                leaf = self._sums.nodes[search.room.victims.leaf(each)]
                under = _undershoots(leaf, pick, dict.fromkeys(scarce, 1), search)
                borrowed = max(_excess(leaf, name) for name in scarce)
                found.append(((under, len(pick.pods) > 1, -borrowed, leaf.path, rank(each)), pick))
        return min(found, key=lambda entry: entry[0])[1] if found else None

    def _gives(self, search: Search, pod: Pod, short: Sequence[str]) -> list[str]:
        """The resources of these that the pod's quotas have too much of."""
        givers = self._givers(search, pod)
        if not givers:
            return []
        return [
            name
            for name in short
            if pod.spec.request[name] and all(_excess(node, name) > 0 for node in givers)
        ]


def _lacks(search: Search, pod: Pod, rows: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Of each resource what the pod finds too little of on each of the rows once those on their way
    out have gone; less than 1: enough.
    """
    columns, going = search.room.cluster.columns, search.room.victims.going()
    index = np.array(rows, np.intp)
    found = []
    for name, amount in pod.spec.request.items:
        lacking = amount + columns.used(name)[index] - columns.allocatable(name)[index]
        found.append((name, (lacking - going.used(name)[index]).tolist()))
    return found


def _excess(node: NodeSums, name: str) -> int:
    """How much more than its min the node will use once it is settled."""
    return node.own(name, _SETTLED) - node.limits.min.get(name, 0)


def _undershoots(leaf: NodeSums, pick: Pick, names: Mapping[str, int], search: Search) -> bool:
    """Whether the leaf falls below its min with the pick gone."""
    for name in names:
        gone = sum(
            _amount(pod, name) for pod in pick.pods if search.room.victims.leaf(pod) == leaf.path
        )
        if gone > _excess(leaf, name):
            return True
    return False


def _amount(pod: Pod, name: str) -> int:
    return (pod.charged or pod.spec.request)[name]
