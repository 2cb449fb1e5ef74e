"""Placing members one after another on the cluster itself, so that each sees those before it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from kube_queue.api.pods import Pod
from kube_queue.placement.columns import Mask
from kube_queue.placement.decisions import Placement
from kube_queue.placement.placing import Placer
from kube_queue.placement.units import Part
from kube_queue.placement.verdict import Verdict


class Trial:
    """Pods that were assumed on trial; kept, or taken back in reverse order."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self.placements: list[Placement] = []
        self.failure: tuple[Pod, Verdict] | None = None
        """The first pod that found no row, and why at that moment."""

    def place_parts(self, parts: Sequence[Part], within: Mask | None) -> bool:
        """What every part needs is placed; or nothing is, and False."""
        if all(self.place_some(part.members, part.need, within) for part in parts):
            return True
        self.back()
        return False

    def place_some(self, members: Sequence[Pod], need: int, within: Mask | None) -> bool:
        """``need`` of the members are placed, those that find no row passed over.

        False leaves those that were placed: ``back`` takes them away.
        """
        placed = 0
        # What did not fit does not fit beside more pods; a replica need not be tried again,
        # unless pods attract each other, or one more somewhere makes another place even.
        refused: set[Hashable] = set()
        left = len(members)
        for pod in members:
            if placed == need:
                break
            if placed + left < need:
                return False
            left -= 1
            kind = self._placer.kind_of(pod)
            if kind in refused and not helped_by_pods(pod):
                continue
            if self.place(pod, within):
                placed += 1
            else:
                refused.add(kind)
        return placed >= need

    def place(self, pod: Pod, within: Mask | None) -> bool:
        """The pod is assumed on its best row; False: there is none."""
        row = self._placer.choose(pod, within)
        if row < 0:
            if self.failure is None:
                self.failure = pod, self._placer.verdict(pod, within)
            return False
        node = self._placer.cluster.nodes[row]
        assert node is not None
        self._placer.cluster.assume(pod, node.name)
        self.placements.append(Placement(pod, node.name))
        return True

    def back(self) -> None:
        """Nothing of the trial is left on the cluster."""
        while self.placements:
            self._placer.cluster.forget(self.placements.pop().pod.uid)


def helped_by_pods(pod: Pod) -> bool:
    """Whether it may find a row because another pod came to one."""
    return bool(pod.spec.affinity.required) or any(each.required for each in pod.spec.spread)
