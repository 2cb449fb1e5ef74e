"""Why a pod, or the gang it is part of, cannot be placed: values, never exceptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason in a sentence, and who gave it."""

    plugin: str
    reason: str
    unresolvable: bool = False
    """No pod that leaves could change it: kube-scheduler's UnschedulableAndUnresolvable."""
    never: bool = False
    """It holds as long as neither the unit nor a quota is another."""


@dataclass(frozen=True, slots=True)
class Count:
    """So many nodes refused the pod for this reason."""

    refusal: Refusal
    nodes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pod that cannot be placed: refused by all, or by each node for its own reason."""

    nodes: int
    """Nodes there are."""
    counts: tuple[Count, ...] = ()
    """Reasons of nodes, each node once, the commonest first."""
    refusal: Refusal | None = None
    """A reason that holds wherever it were placed; then no node was asked."""

    @property
    def message(self) -> str:
        """The sentence for people, in kube-scheduler's words."""
        if self.refusal is not None:
            return self.refusal.reason
        if not self.nodes:
            return "no nodes available to schedule pods"
        sums: Counter[str] = Counter()
        for each in self.counts:
            sums[each.refusal.reason] += each.nodes
        ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{nodes} {reason}" for reason, nodes in ordered)
        return f"0/{self.nodes} nodes are available: {reasons}."

    @property
    def unresolvable(self) -> bool:
        """Whether no pod that leaves could help."""
        if self.refusal is not None:
            return self.refusal.unresolvable
        return all(each.refusal.unresolvable for each in self.counts)


def refused(refusal: Refusal, nodes: int = 0) -> Verdict:
    """The verdict that one reason gives for all nodes."""
    return Verdict(nodes, refusal=refusal)


def counted(nodes: int, refusals: Iterable[tuple[Refusal, int]]) -> Verdict:
    """The verdict of nodes that each gave a reason; reasons of no node are left out."""
    sums: dict[Refusal, int] = {}
    for refusal, count in refusals:
        if count:
            sums[refusal] = sums.get(refusal, 0) + count
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0].reason))
    return Verdict(nodes, tuple(Count(refusal, count) for refusal, count in ordered))
