"""How the quota of a job that runs follows the number of its pods.

Nobody asks the queue before a running job is scaled, and pods that are done give their share back;
what it holds is brought up to date afterwards. Only numbers of pods count: a pod set whose number
stays keeps what it was admitted with, whatever became of its template or its surroundings since.
"""

from __future__ import annotations

from dataclasses import dataclass

from kube_queue.api.errors import InvalidInput
from kube_queue.jobframework.extension import PodSet, Reclaimable
from kube_queue.jobframework.requests import asked
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_view import HeldSet, UnitView
from kube_queue.jobframework.view import JobView


@dataclass(frozen=True, slots=True)
class Resized:
    """What the unit is to hold now."""

    sets: tuple[HeldSet, ...]
    grew: bool
    """Some pod set has more pods than the unit holds quota for."""


def resized(view: JobView, unit: UnitView, surroundings: Surroundings) -> Resized | None:
    """What the unit of a free job should hold, or None where it holds just that.

    A job that cannot be read any more, or has no pods left, keeps what it has: its end is near.
    """
    try:
        pod_sets = view.extension.pod_sets(view.manifest)
        counts = _going_on(view, pod_sets)
        held = {each.name: each for each in unit.held_sets if each.count}
        if not counts or not held or counts == {name: each.count for name, each in held.items()}:
            return None
        found = asked(pod_sets, view.ref.namespace, surroundings)
    except InvalidInput:
        return None
    sets: list[HeldSet] = []
    for each in found.sets:
        count, had = counts.get(each.name, 0), held.get(each.name)
        if had is None or had.count != count:
            had = HeldSet(each.name, count, each.each * count)
        sets.append(had)
    grew = any(count > held[name].count for name, count in counts.items() if name in held)
    return Resized(tuple(sets), grew or not counts.keys() <= held.keys())


def scaled(unit: UnitView, pod_sets: tuple[PodSet, ...]) -> bool:
    """Whether the job asks for other numbers of pods than its unit's spec says."""
    asks = {each.name: each.count for each in pod_sets}
    return bool(asks) and asks != {each.name: each.count for each in unit.pod_sets}


def _going_on(view: JobView, pod_sets: tuple[PodSet, ...]) -> dict[str, int]:
    """The pods of each set that run or will, sets without any left out."""
    done = {}
    if isinstance(view.extension, Reclaimable):
        done = dict(view.extension.finished(view.manifest))
    counts = {each.name: each.count - max(0, done.get(each.name, 0)) for each in pod_sets}
    return {name: count for name, count in counts.items() if count > 0}
