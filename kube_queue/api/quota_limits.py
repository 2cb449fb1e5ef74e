"""From the numbers of a quota tree to the limits that are enforced, for jobs and for pods alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota_tree import QuotaNode, QuotaTree


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What one node of a tree enforces; the oversell rate is in it, amounts are rounded down."""

    max: Mapping[str, int]
    """Upper bounds; an absent resource is unlimited."""
    min: Mapping[str, int]
    """Guaranteed amounts; an absent resource has none. A node that declares no min guarantees what
    its children do."""
    floor: Mapping[str, int]
    """What counts as used of it in its parent at least, because it does not lend it."""


def limits_of(tree: QuotaTree, oversell_rate: float = 1.0) -> dict[str, QuotaLimits]:
    """The limits of every node by path: floor(amount x rate), the rate taken as the decimal it
    prints as, so 0.7 of 10 is 7.
    """
    rate = Fraction(str(oversell_rate))
    guaranteed = effective_min(tree)
    return {
        path: QuotaLimits(
            scaled(node.max, rate), scaled(guaranteed[path], rate), floor_of(node, rate)
        )
        for path, node in tree.nodes.items()
    }


def scaled(amounts: Mapping[str, int], rate: Fraction) -> dict[str, int]:
    """Each amount times the rate, rounded down, exactly."""
    return {name: amount * rate.numerator // rate.denominator for name, amount in amounts.items()}


def floor_of(node: QuotaNode, rate: Fraction) -> dict[str, int]:
    """What the node keeps of its min, used or not: min x rate - lend limit, where one is declared.

    A resource the lend limit does not list is lent as a whole.
    """
    if node.lend_limit is None:
        return {}
    least = scaled(node.min, rate)
    kept = {name: least.get(name, 0) - lent for name, lent in node.lend_limit.items()}
    return {name: amount for name, amount in kept.items() if amount > 0}


def effective_min(tree: QuotaTree) -> dict[str, dict[str, int]]:
    """Each node's min by path; a node that declares none guarantees what its children do.

    ``kube-queue/max-jobs`` bounds only where a min lists it: a sum over children holds it only if
    every child does, because one child without it is unbounded.
    """
    known: dict[str, dict[str, int]] = {}
    for path, node in reversed(tuple(tree.nodes.items())):
        if node.min_declared or not node.children:
            known[path] = dict(node.min)
            continue
        below = [known[child] for child in node.children if child in known]
        sums: dict[str, int] = {}
        for child in below:
            for name, amount in child.items():
                sums[name] = sums.get(name, 0) + amount
        if not all(MAX_JOBS in child for child in below):
            sums.pop(MAX_JOBS, None)
        known[path] = sums
    return known
