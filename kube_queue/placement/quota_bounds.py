"""What the limits of a quota tree leave room for, and what they say where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.pods import Pod
from kube_queue.api.resources import format_amount
from kube_queue.placement.quota_homes import Home, Homes
from kube_queue.placement.quota_sums import NodeSums, QuotaSums, View


class Shortage(NamedTuple):
    """A limit that has no room for a request."""

    path: str
    bound: str
    """``max`` or ``min``."""
    resource: str
    requested: int
    used: int
    limit: int

    def __str__(self) -> str:
        if self.resource == MAX_JOBS:
            return f"quota {self.path} allows nothing: its max of {MAX_JOBS} is 0"
        requested, used, limit = (
            format_amount(self.resource, max(0, amount))
            for amount in (self.requested, self.used, self.limit)
        )
        more = ", and pods that are not preemptible get no more" if self.bound == "min" else ""
        return (
            f"quota {self.path} has not enough {self.resource}: "
            f"requested {requested}, used {used}, {self.bound} {limit}{more}"
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What pods that are placed together ask of the tree, and whose promises they may use."""

    asked: Mapping[str, Mapping[str, int]]
    """By path, the leaves and all above them; deepest first."""
    firm: Mapping[str, Mapping[str, int]]
    """The part of it that is not preemptible."""
    open: Mapping[tuple[str, str, bool], int]
    """By path, resource and firmness what is promised to them, or to pods that stand back."""
    kept: bool
    """Whether what units hold counts as used for them."""


def shortages(sums: QuotaSums, demand: Demand, *, settled: bool = False) -> Iterator[Shortage]:
    """Every limit that has no room for it, from the leaves upwards. ``settled``: once all that
    are on their way out have gone.
    """
    nodes = sums.nodes
    view = View(settled, demand.kept)
    firm_view = View(settled, demand.kept, firm=True)
    chain = [nodes[path] for path in demand.asked]
    for node in chain:
        limits = node.limits
        if limits.max.get(MAX_JOBS) == 0:
            yield Shortage(node.path, "max", MAX_JOBS, 1, 0, 0)
        for name, amount in demand.asked[node.path].items():
            if name in limits.max:
                opened = demand.open.get((node.path, name, False), 0)
                used = sums.used(node, name, view, chain, opened)
                if used + amount > limits.max[name]:
                    yield Shortage(node.path, "max", name, amount, used, limits.max[name])
        for name, amount in demand.firm.get(node.path, {}).items():
            if name == "pods" and name not in limits.min:
                continue
            used = node.own(name, firm_view, demand.open.get((node.path, name, True), 0))
            if used + amount > limits.min.get(name, 0):
                least = limits.min.get(name, 0)
                yield Shortage(node.path, "min", name, amount, used, least)


def short_for_good(
    sums: QuotaSums, homes: Homes, parts: Iterable[tuple[Sequence[Pod], int]]
) -> Shortage | None:
    """The first limit that the smallest requests of so many pods of each part exceed even if
    nobody else used anything.
    """
    if not sums.nodes:
        return None
    least: dict[str, dict[str, int]] = {}
    firm: dict[str, dict[str, int]] = {}
    for members, need in parts:
        charged = [(pod, homes.of(pod)) for pod in members]
        _add_smallest(least, charged, need, sums.nodes)
        stiff = [(pod, home) for pod, home in charged if not home.preemptible]
        # As many as there are of the others may be taken before one of these.
        _add_smallest(firm, stiff, need - (len(charged) - len(stiff)), sums.nodes)
    for path in sorted(least, key=lambda path: (-sums.nodes[path].depth, path)):
        limits = sums.nodes[path].limits
        if limits.max.get(MAX_JOBS) == 0:
            return Shortage(path, "max", MAX_JOBS, 1, 0, 0)
        for name, amount in least[path].items():
            if amount > limits.max.get(name, amount):
                return Shortage(path, "max", name, amount, 0, limits.max[name])
        for name, amount in firm.get(path, {}).items():
            if amount > limits.min.get(name, 0) and (name != "pods" or name in limits.min):
                return Shortage(path, "min", name, amount, 0, limits.min.get(name, 0))
    return None


def within_min(sums: QuotaSums, demand: Demand, leaf: str) -> bool:
    """Whether the leaf's min guarantees it all, once the leaf is settled with the demand in it.
    What no max on the way to the root bounds and min does not list is no matter of quota.
    """
    node = sums.nodes[leaf]
    chain = tuple(node.chain())
    for name, amount in demand.asked.get(leaf, {}).items():
        if name not in node.limits.min and not any(name in each.limits.max for each in chain):
            continue
        opened = demand.open.get((leaf, name, False), 0)
        used = node.own(name, View(True, demand.kept), opened)
        if used + amount > node.limits.min.get(name, 0):
            return False
    return True


def _add_smallest(
    sums: dict[str, dict[str, int]],
    homes: Sequence[tuple[Pod, Home]],
    need: int,
    nodes: Mapping[str, NodeSums],
) -> None:
    """The sum of the ``need`` smallest amounts of each resource, at every node above a leaf."""
    found: dict[tuple[str, str], list[int]] = {}
    for pod, home in homes:
        for node in nodes[home.leaf].chain() if home.leaf else ():
            for name, amount in pod.spec.request.items:
                found.setdefault((node.path, name), []).append(amount)
    for (path, name), amounts in found.items():
        # Members that ask for none of it, or are charged elsewhere, come first.
        more = need - (len(homes) - len(amounts))
        if more > 0:
            of_node = sums.setdefault(path, {})
            of_node[name] = of_node.get(name, 0) + sum(sorted(amounts)[:more])
