"""The quotas as they would be without some who hold them now.

Inside a ``with`` holders can be tried out as gone; at its end the ledger is as it was. What leaves
for others and what is kept back for them stays so: a unit has to get in by its own victims alone.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

from kube_queue.admission.ledger import Charge, Demand, LedgerNode, QuotaLedger
from kube_queue.admission.quota_node import rooms
from kube_queue.admission.running import Held


class Short(NamedTuple):
    """One bound that has ``missing`` too little."""

    node: LedgerNode
    bound: int
    resource: str
    missing: int


class Outlook:
    """One trial, seen from the nodes of one chain; nobody else may change or read the ledger
    meanwhile.
    """

    def __init__(self, ledger: QuotaLedger, chain: tuple[LedgerNode, ...]) -> None:
        self._ledger = ledger
        self._chain = chain
        self._done: list[tuple[Held, int]] = []

    def __enter__(self) -> Outlook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for held, sign in reversed(self._done):
            self._ledger.try_out(_charge(held), -sign, self._chain)

    def take(self, held: Held) -> None:
        """The holder is gone."""
        self._ledger.try_out(_charge(held), -1, self._chain)
        self._done.append((held, -1))

    def put_back(self, held: Held) -> None:
        """The holder is not gone after all."""
        self._ledger.try_out(_charge(held), 1, self._chain)
        self._done.append((held, 1))


def short(chain: tuple[LedgerNode, ...], demand: Demand) -> list[Short]:
    """Every bound that has no room for the demand, from the leaf up."""
    found = [
        Short(node, bound, resource, amount - free)
        for node, bound, resource, amount, free in rooms(chain, demand)
        if free < amount
    ]
    # A node above a bound admits nothing, even what asks for none of the resource.
    bounds = {bound for bound, _ in demand}
    for node in chain:
        for bound, resource in node.over:
            if bound in bounds and not any(one[:3] == (node, bound, resource) for one in found):
                missing = node.used(bound, resource) - node.limits[bound][resource]
                found.append(Short(node, bound, resource, missing))
    return found


def enough_leaves(chain: tuple[LedgerNode, ...], demand: Demand) -> bool:
    """Whether there is room for the demand once all who were told to go have gone, even if every
    promise is kept before.
    """
    own: dict[str, int] = {}
    for node in chain:
        for bound, amounts in demand:
            free = node.free[bound]
            for resource, amount in amounts:
                if resource in free:
                    soon = node.soon(bound, resource)
                    if soon < amount and soon + own.get(resource, 0) < amount:
                        return False
        if node.over and any(node.soon(*room) < 0 for room in node.over):
            return False
        for resource, slack in node.slack.items() if node.slack else ():
            own[resource] = own.get(resource, 0) + slack
    return True


def _charge(held: Held) -> Charge:
    return Charge(held.leaf, held.request, held.unit.preemptible)
