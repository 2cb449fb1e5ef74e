"""Who holds what a waiting unit is short of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from kube_queue.admission.decisions import Bound, Shortage
from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.running import Held, Running
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.units import Unit

NAMED: Final = 5
"""Holders that are named; the others are counted."""
READ: Final = 5_000
"""Units that hold quota of the node which one look goes through."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One unit and what it holds of the resource; millicores for cpu, else whole units."""

    unit: Unit
    quota: str
    """Path of its leaf."""
    amount: int
    since: float
    """When quota was granted, in seconds since the epoch."""
    borrowed: int
    """How much of the resource its leaf uses above the leaf's min."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds one resource of one quota node, against the bound that has no room."""

    path: str
    resource: str
    bound: Bound
    top: tuple[Holder, ...]
    """Those who hold most, the longest holding first among equals."""
    more: int
    """How many units besides."""
    more_amount: int
    unmanaged: int
    """Held by pods that no unit stands for."""
    unread: int = 0
    """Units in these quotas that were not looked at: more than ``READ`` hold quota there."""


def holders(ledger: QuotaLedger, running: Running, shortage: Shortage) -> Holders:
    """Who holds what the shortage is about."""
    node = ledger.chain(shortage.path)[0]
    leaves = [one for one in _below(ledger, node) if not one.quota.children]
    present, left = sum(running.count_in(leaf.path) for leaf in leaves), READ
    found: list[tuple[int, Held]] = []
    for leaf in leaves:
        read = running.in_leaf(leaf.path, left) if left else ()
        for held in read:
            left -= 1
            if (amount := _amount(held, shortage)) > 0:
                found.append((amount, held))
    top = nsmallest(NAMED, found, key=lambda one: (-one[0], one[1].since, one[1].unit.key))
    unmanaged = (
        sum(ledger.unmanaged(leaf.path)[shortage.resource] for leaf in leaves)
        if shortage.bound is Bound.MAX
        else 0
    )
    return Holders(
        path=shortage.path,
        resource=shortage.resource,
        bound=shortage.bound,
        top=tuple(_holder(ledger, shortage.resource, *one) for one in top),
        more=len(found) - len(top),
        more_amount=sum(one[0] for one in found) - sum(one[0] for one in top),
        unmanaged=unmanaged,
        unread=max(0, present - READ),
    )


def _holder(ledger: QuotaLedger, resource: str, amount: int, held: Held) -> Holder:
    assert held.leaf is not None
    leaf = ledger.chain(held.leaf)[0]
    guaranteed = leaf.limits[Bound.MIN].get(resource, 0)
    return Holder(
        unit=held.unit,
        quota=held.leaf,
        amount=amount,
        since=held.since,
        borrowed=max(0, leaf.used(Bound.MAX, resource) - guaranteed),
    )


def _amount(held: Held, shortage: Shortage) -> int:
    """How much of the short bound is held."""
    if shortage.bound is Bound.MIN and held.unit.preemptible:
        return 0
    if shortage.bound is Bound.PREEMPTIBLE_JOBS and not held.unit.preemptible:
        return 0
    return 1 if shortage.resource == MAX_JOBS else held.request[shortage.resource]


def _below(ledger: QuotaLedger, node: LedgerNode) -> Iterator[LedgerNode]:
    nodes = [node]
    while nodes:
        one = nodes.pop()
        yield one
        nodes += [ledger.chain(path)[0] for path in one.quota.children]
