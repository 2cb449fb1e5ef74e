"""What is worked out once for all pods of a spec: which rows take them, and how well each suits.

A view is brought up to date for the rows that changed since it was last looked at, so ten thousand
replicas that are placed one after another cost one row each and a search for the largest number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import LARGEST, IntColumn, Mask, Rows
from kube_queue.placement.framework import Codes, Profile
from kube_queue.placement.verdict import Refusal

_NO_NODE: Final = Refusal("NodeName", "node(s) are gone", unresolvable=True)
_GONE: Final = 1
"""The code of rows without a node."""
_FEW: Final = 8
"""Up to so many rows are worked out one by one."""
_KEPT: Final = 4_096
"""Views of specs that are kept; the one not asked for longest goes first."""


class View:
    """One spec's rows: ``feasible`` by node and resources, ``score`` by weights, both by row.

    ``rank`` is the score of what is feasible and -1 elsewhere.
    """

    def __init__(self, spec: PodSpec, cluster: Cluster, profile: Profile) -> None:
        self.spec = spec
        self.feasible: Mask = np.zeros(0, np.bool_)
        self.score: IntColumn = np.zeros(0, np.int64)
        self.rank: IntColumn = np.zeros(0, np.int64)
        self._cluster = cluster
        self._profile = profile
        self._filters = [each for each in profile.node_filters if each.filters_nodes_for(spec)]
        self._scorers = [each for each in profile.node_scores if each.scores_nodes_for(spec)]
        self._codes: Codes = np.zeros(0, np.int16)
        """By row: 0 the node takes the spec, k refused by ``_reasons[k - 1]``."""
        self._reasons: list[Refusal] = [_NO_NODE]
        self._numbers: dict[Refusal, int] = {_NO_NODE: 1}
        self._raw = [np.zeros(0, np.int64) for _ in self._scorers]
        self._of_nodes: IntColumn = np.zeros(0, np.int64)
        self._seen = -1
        self._seen_nodes = -1

    def refresh(self) -> None:
        """Both columns are those of the cluster as it is."""
        cluster = self._cluster
        if self._seen == cluster.changes.version:
            return
        rows: list[int] | None = None
        if self._seen_nodes != cluster.node_changes.version:
            self._refresh_nodes()
        if self._seen >= 0:
            rows = cluster.changes.since(self._seen)
        if rows is None or len(rows) * 4 > cluster.columns.rows:
            self._update(slice(0, cluster.columns.rows))
        elif len(rows) <= _FEW:
            for row in set(rows):
                self._update_row(row)
        else:
            self._update(np.array(rows, np.intp))
        self._seen = cluster.changes.version

    @property
    def allowed(self) -> Mask:
        """The rows whose nodes take pods of the spec, whatever their pods; up to date."""
        self.refresh()
        return np.equal(self._codes, 0)

    @property
    def live(self) -> Mask:
        """The rows that have a node; up to date."""
        self.refresh()
        return np.not_equal(self._codes, _GONE)

    def row_takes(self, row: int) -> Refusal | None:
        """Why the row's node does not take pods of the spec, whatever its pods; up to date."""
        self.refresh()
        code = int(self._codes[row])
        return self._reasons[code - 1] if code else None

    def node_refusals(self) -> Iterator[tuple[Refusal, Mask]]:
        """Each reason of nodes that are there, and the rows it is given for; up to date."""
        self.refresh()
        for number, refusal in enumerate(self._reasons[_GONE:], start=_GONE + 1):
            yield refusal, self._codes == number

    # --- inside ---------------------------------------------------------------------------------

    def _refresh_nodes(self) -> None:
        cluster = self._cluster
        rows = cluster.node_changes.since(self._seen_nodes) if self._seen_nodes >= 0 else None
        if rows is None:
            rows = list(range(cluster.columns.rows))
        self._grow(cluster.columns.rows)
        for row in rows:
            self._codes[row] = self._code(row)
            node = cluster.nodes[row]
            for scorer, raw in zip(self._scorers, self._raw, strict=True):
                raw[row] = scorer.node_score(self.spec, node) if node is not None else 0
        if self._scorers:
            self._sum_node_scores()
            # What is normalised changes everywhere when the best changes.
            self._seen = -1
        self._seen_nodes = cluster.node_changes.version

    def _code(self, row: int) -> int:
        node = self._cluster.nodes[row]
        if node is None:
            return _GONE
        for each in self._filters:
            refusal = each.node_refusal(self.spec, node)
            if refusal is not None:
                number = self._numbers.get(refusal)
                if number is None:
                    self._reasons.append(refusal)
                    number = self._numbers[refusal] = len(self._reasons)
                return number
        return 0

    def _sum_node_scores(self) -> None:
        allowed = self._codes == 0
        self._of_nodes[:] = 0
        if not allowed.any():
            return
        for scorer, raw in zip(self._scorers, self._raw, strict=True):
            self._of_nodes[allowed] += scorer.weight * scorer.normalised(raw[allowed])

    def _grow(self, rows: int) -> None:
        more = rows - len(self._codes)
        if more <= 0:
            return
        self._codes = np.concatenate((self._codes, np.full(more, _GONE, np.int16)))
        self.feasible = np.concatenate((self.feasible, np.zeros(more, np.bool_)))
        grown = np.zeros(more, np.int64)
        self.score = np.concatenate((self.score, grown))
        self.rank = np.concatenate((self.rank, grown - 1))
        self._of_nodes = np.concatenate((self._of_nodes, grown))
        self._raw = [np.concatenate((raw, grown)) for raw in self._raw]

    def _update(self, rows: Rows | slice) -> None:
        fitting = self._cluster.columns.fit(self.spec.request, rows)
        feasible = np.logical_and(fitting, self._codes[rows] == 0)
        total = self._of_nodes[rows].copy()
        for scorer in self._profile.resource_scores:
            total += scorer.weight * scorer.resource_scores(self.spec, rows)
        self.feasible[rows], self.score[rows] = feasible, total
        self.rank[rows] = np.where(feasible, total, -1)

    def _update_row(self, row: int) -> None:
        spec, columns = self.spec, self._cluster.columns
        feasible = not self._codes[row] and columns.row_fits(spec.request, row)
        total = int(self._of_nodes[row])
        for scorer in self._profile.resource_scores:
            total += scorer.weight * scorer.resource_score(spec, row)
        self.feasible[row], self.score[row] = feasible, total
        self.rank[row] = total if feasible else -1


class Views:
    """The views of all specs that were asked for lately."""

    def __init__(self, cluster: Cluster, profile: Profile) -> None:
        self._cluster = cluster
        self._profile = profile
        self._views: dict[PodSpec, View] = {}

    def of(self, spec: PodSpec) -> View:
        """The spec's view, up to date."""
        view = self._views.pop(spec, None)
        if view is None:
            view = View(spec, self._cluster, self._profile)
            if len(self._views) >= _KEPT:
                del self._views[next(iter(self._views))]
        self._views[spec] = view
        view.refresh()
        return view


def too_large(spec: PodSpec) -> str:
    """Which resource of the request no column can hold; empty for none."""
    return next((name for name, amount in spec.request.items if amount > LARGEST), "")
