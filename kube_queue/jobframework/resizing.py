"""How the quota of a job that runs follows its pods: how many there are and what each asks for.

Nobody asks the queue before a running job is scaled, and pods that are done give their share back;
what it holds is brought up to date afterwards. A pod keeps what it was created with, whatever
becomes of its template or its surroundings, so the price of a pod rises once the template itself
asks for more, for those that come anew, and falls only when the job waits again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.extension import PodSet, Reclaimable
from kube_queue.jobframework.requests import AskedSet, asked, of_one_pod
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_view import HeldSet, UnitView
from kube_queue.jobframework.view import JobView

_NOTHING_AROUND: Final = Surroundings()


@dataclass(frozen=True, slots=True)
class Resized:
    """What the unit is to hold now."""

    sets: tuple[HeldSet, ...]
    grew: bool
    """Some pod set has more pods, or larger ones, than the unit holds quota for."""


def resized(view: JobView, unit: UnitView, surroundings: Surroundings) -> Resized | None:
    """What the unit of a free job should hold, or None where it holds just that.

    A job that cannot be read any more, or has no pods left, keeps what it has: its end is near.
    """
    try:
        pod_sets = view.extension.pod_sets(view.manifest)
        counts = _going_on(view, pod_sets)
        held = {each.name: each for each in unit.held_sets if each.count}
        if not counts or not held:
            return None
        larger = {
            each.name
            for each in pod_sets
            if each.name in held and _exceeds(each, view.ref.namespace, held[each.name].each)
        }
        if not larger and counts == {name: each.count for name, each in held.items()}:
            return None
        found = asked(pod_sets, view.ref.namespace, surroundings)
    except InvalidInput:
        return None
    sets = tuple(
        _charged(each, counts.get(each.name, 0), held.get(each.name), each.name in larger)
        for each in found.sets
    )
    more = any(count > held[name].count for name, count in counts.items() if name in held)
    return Resized(sets, more or bool(larger & counts.keys()) or not counts.keys() <= held.keys())


def outgrown(unit: UnitView, pod_sets: tuple[PodSet, ...], namespace: str) -> bool:
    """Whether the job asks for other numbers of pods than its unit's spec says, or larger ones.

    Larger ones have been charged before: where the spec says what is held there are none. Raises
    InvalidInput.
    """
    said = {each.name: each for each in unit.pod_sets}
    asks = {each.name: each.count for each in pod_sets}
    if not asks or asks != {name: each.count for name, each in said.items()}:
        return bool(asks)
    behind = {
        each.name
        for each in unit.held_sets
        if each.count and each.name in said and each.each != said[each.name].each
    }
    return any(
        each.name in behind and _exceeds(each, namespace, said[each.name].each) for each in pod_sets
    )


def _charged(asks: AskedSet, count: int, had: HeldSet | None, larger: bool) -> HeldSet:
    """What so many pods of a set are charged, of which some may be as old as `had`."""
    if had is None:
        return HeldSet(asks.name, count, asks.each * count)
    if count == had.count and not larger:
        return had
    each = had.each if count < had.count and not larger else had.each.highest(asks.each)
    return HeldSet(asks.name, count, each * count)


def _exceeds(pod_set: PodSet, namespace: str, price: ResourceVector) -> bool:
    """Whether the template itself asks for more than this. Raises InvalidInput."""
    asks = of_one_pod(pod_set, namespace, _NOTHING_AROUND)
    return any(amount > price[name] for name, amount in asks.items)


def _going_on(view: JobView, pod_sets: tuple[PodSet, ...]) -> dict[str, int]:
    """The pods of each set that run or will, sets without any left out."""
    done = {}
    if isinstance(view.extension, Reclaimable):
        done = dict(view.extension.finished(view.manifest))
    counts = {each.name: each.count - max(0, done.get(each.name, 0)) for each in pod_sets}
    return {name: count for name, count in counts.items() if count > 0}
