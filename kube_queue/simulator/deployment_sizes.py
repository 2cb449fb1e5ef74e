"""How many pods each ReplicaSet of a Deployment gets next: one step of a rollout, or of a scaling.

Sizes are by the name of the set; a set that is not named keeps its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kube_queue.simulator.deployment import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    PodSet,
    Rollout,
    total,
    whole,
)

Sizes = dict[str, int]


def is_scaled(asked: Rollout, sets: Sequence[PodSet]) -> bool:
    """Whether a set with pods was last sized for another number of replicas."""
    for each in sets:
        desired = whole(each.annotations.get(DESIRED_REPLICAS))
        if each.replicas and desired is not None and desired != asked.replicas:
            return True
    return False


def scaled(asked: Rollout, new: PodSet | None, old: Sequence[PodSet], held: int) -> Sizes:
    """The sizes after somebody changed the Deployment's replicas, without rolling it on.

    One set with pods gets them all; of several each gets its share. `held` is how many pods the
    Deployment's status says that there are.
    """
    every = [*old, *([new] if new is not None else [])]
    active = [each for each in every if each.replicas]
    if len(active) <= 1:
        newest = new if new is not None else max(old, key=lambda one: one.age_order, default=None)
        one = active[0] if active else newest
        return {} if one is None else {one.name: asked.replicas}
    if new is not None and _is_saturated(asked, new):
        return {each.name: 0 for each in old if each.replicas}
    if asked.recreate:
        return {}
    return _shares(asked, active, held)


def rolled(asked: Rollout, new: PodSet, old: Sequence[PodSet]) -> Sizes:
    """The next step of a rolling update: the new set up, if that may be, else old ones down."""
    size = new_size(asked, new, old)
    if size != new.replicas:
        return {new.name: size}
    return _shrunk(asked, new, [each for each in old if each.replicas])


def new_size(asked: Rollout, new: PodSet, old: Sequence[PodSet]) -> int:
    """How large the new set may be now: never more pods in all than replicas and surge."""
    if new.replicas >= asked.replicas or asked.recreate:
        return asked.replicas
    room = max(0, asked.most - new.replicas - total(old))
    return min(asked.replicas, new.replicas + room)


def _shrunk(asked: Rollout, new: PodSet, old: Sequence[PodSet]) -> Sizes:
    """The old sets without pods that are not needed to have enough available ones.

    Pods of the new set that are not available yet are not counted on, and old pods that are not
    available go before those that are.
    """
    enough = asked.replicas - asked.max_unavailable
    waiting = new.replicas - new.available
    spare = new.replicas + total(old) - enough - waiting
    if spare <= 0:
        return {}
    sizes = {each.name: each.replicas for each in sorted(old, key=lambda one: one.age_order)}
    by_name = {each.name: each for each in old}
    for name in sizes:
        broken = max(0, by_name[name].replicas - by_name[name].available)
        gone = min(spare, broken)
        sizes[name] -= gone
        spare -= gone
    available = new.available + sum(each.available for each in old)
    more = max(0, available - enough)
    for name, size in sizes.items():
        gone = min(more, size)
        sizes[name] -= gone
        more -= gone
    return {name: size for name, size in sizes.items() if size != by_name[name].replicas}


def _is_saturated(asked: Rollout, new: PodSet) -> bool:
    desired = whole(new.annotations.get(DESIRED_REPLICAS))
    return new.replicas == desired == new.available == asked.replicas


def _shares(asked: Rollout, active: Sequence[PodSet], held: int) -> Sizes:
    """Each set keeps its share of the pods; what rounding leaves over is the largest set's.

    Of sets of the same size a newer one grows first, an older one shrinks first.
    """
    change = (asked.most if asked.replicas else 0) - total(active)
    by_age = sorted(active, key=lambda one: one.age_order, reverse=change > 0)
    ordered = sorted(by_age, key=lambda one: -one.replicas)
    sizes: Sizes = {}
    left = change
    for each in ordered:
        part = _fraction(asked, each, held) if left else 0
        part = min(part, left) if change > 0 else max(part, left)
        sizes[each.name] = each.replicas + part
        left -= part
    first = ordered[0].name
    sizes[first] = max(0, sizes[first] + left)
    return sizes


def _fraction(asked: Rollout, each: PodSet, held: int) -> int:
    """By how much the set's size changes when it keeps its share of the whole."""
    if not asked.replicas:
        return -each.replicas
    before = whole(each.annotations.get(MAX_REPLICAS)) or held
    if not before:
        return 0
    # Half a pod is rounded up, as Go rounds.
    return (2 * each.replicas * asked.most + before) // (2 * before) - each.replicas


def annotations_of_size(asked: Rollout) -> Mapping[str, str]:
    """What a set that is sized now is told of the Deployment's replicas."""
    return {DESIRED_REPLICAS: str(asked.replicas), MAX_REPLICAS: str(asked.most)}
