"""What holds a pod or gang, out of the scheduler's memory: nothing is tried and nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kube_queue.api.gangs import GangMark
from kube_queue.api.pods import Pod
from kube_queue.cache.placing import PlacementCache
from kube_queue.placement.decisions import Wait
from kube_queue.placement.gangs import Gang, Members, key_of
from kube_queue.placement.topology import constraint_of, domains, pinned, rooms_of
from kube_queue.placement.units import Unit, UnitKey
from kube_queue.placement.verdict import Refusal, Verdict


class DomainRoom(NamedTuple):
    """One topology domain, and how many of the pods that have to start together it holds."""

    name: str
    nodes: int
    pods: int


@dataclass(frozen=True, slots=True)
class GangAnswer:
    """How far a gang is."""

    key: UnitKey
    mark: GangMark
    least: int
    members: Members
    satisfied: bool
    companions: tuple[UnitKey, ...]
    """The gangs that have to start together with it."""


@dataclass(frozen=True, slots=True)
class PlacementAnswer:
    """What is known of a pod, or of a gang (then `pod` is None)."""

    pod: Pod | None
    gang: GangAnswer | None
    node: str
    """Where it stands or is being bound; empty: nowhere."""
    assumed: bool
    """It was given the node and is being bound."""
    nominated: str
    """The node where room is kept for it."""
    verdict: Verdict | None
    """The last answer to it; None: it was not tried, or does not wait."""
    decisive: Verdict | None
    """The verdict of the member for whose sake all others were refused; with reasons of nodes."""
    decisive_pod: str
    domains: tuple[DomainRoom, ...]
    domain_keys: tuple[str, ...]
    needed: int
    """How many pods have to be placed together."""
    reserved_nodes: int
    """Nodes that are kept for it."""
    note: str
    """Why nobody is evicted for it though that might help; or empty."""
    leaving: tuple[str, ...]
    """namespace/name of the pods that leave for it, in order."""
    claims: tuple[str, ...]
    """Its claims that are to be bound before it is."""


def explain_pod(cache: PlacementCache, pod: Pod) -> PlacementAnswer:
    """What is known of the pod."""
    key = key_of(pod)
    gang = cache.gangs.gang(key) if pod.gang is not None else None
    placed = cache.cluster.placed(pod.uid)
    return _answer(
        cache,
        pod,
        gang,
        node=pod.node or (placed.node if placed is not None else ""),
        assumed=placed is not None and placed.assumed,
    )


def explain_gang(cache: PlacementCache, key: UnitKey) -> PlacementAnswer | None:
    """What is known of the gang; None: there is none."""
    gang = cache.gangs.gang(key)
    return None if gang is None else _answer(cache, None, gang, node="", assumed=False)


def _answer(
    cache: PlacementCache, pod: Pod | None, gang: Gang | None, *, node: str, assumed: bool
) -> PlacementAnswer:
    unit = _unit(cache, pod, gang)
    told = cache.told(unit.key) if unit is not None else None
    verdict = _verdict(told, pod, unit)
    decisive_pod, decisive = _decisive(told, unit)
    keys, rooms = _domains(cache, unit)
    claims = cache.volume_bindings(pod) if pod is not None and assumed else ()
    kept = [one for one in cache.reservations.all() if unit is not None and one.unit == unit.key]
    return PlacementAnswer(
        pod=pod,
        gang=_gang_answer(cache, gang) if gang is not None else None,
        node=node,
        assumed=assumed,
        nominated=cache.cluster.nomination(pod.uid) if pod is not None else "",
        verdict=verdict if not node else None,
        decisive=decisive if not node else None,
        decisive_pod=decisive_pod,
        domains=rooms,
        domain_keys=keys,
        needed=unit.need if unit is not None else 0,
        reserved_nodes=sum(int(one.rows.sum()) for one in kept),
        note=_note(told, pod) if not node else "",
        leaving=_leaving(cache, unit) if not node else (),
        claims=tuple(each.claim.name for each in claims),
    )


def _note(told: Wait | None, pod: Pod | None) -> str:
    if told is None:
        return ""
    if not told.note and pod is not None and pod.spec.never_preempts:
        return "its preemptionPolicy is Never: it evicts no pods of lower priority"
    return told.note


def _leaving(cache: PlacementCache, unit: Unit | None) -> tuple[str, ...]:
    claim = cache.claims.get(unit.key) if unit is not None else None
    if claim is None:
        return ()
    found = (cache.cluster.placed(uid) for uid in claim.victims)
    return tuple(sorted(one.pod.key for one in found if one is not None))


def _unit(cache: PlacementCache, pod: Pod | None, gang: Gang | None) -> Unit | None:
    if gang is not None:
        return cache.gangs.unit(gang.key)
    return cache.gangs.unit(key_of(pod)) if pod is not None else None


def _gang_answer(cache: PlacementCache, gang: Gang) -> GangAnswer:
    unit = cache.gangs.unit(gang.key)
    parts = unit.parts if unit is not None else ()
    return GangAnswer(
        key=gang.key,
        mark=gang.mark,
        least=cache.gangs.least(gang),
        members=cache.gangs.members(gang),
        satisfied=cache.gangs.is_satisfied(gang),
        companions=tuple(part.key for part in parts if part.key != gang.key),
    )


def _verdict(told: Wait | None, pod: Pod | None, unit: Unit | None) -> Verdict | None:
    if told is None or unit is None:
        return None
    if pod is not None:
        return told.why.get(pod.uid)
    return next(iter(told.why.values()), None)


def _decisive(told: Wait | None, unit: Unit | None) -> tuple[str, Verdict | None]:
    """The first member that nodes refused, each for its reason."""
    if told is not None and unit is not None:
        for member in unit.members():
            verdict = told.why.get(member.uid)
            if verdict is not None and verdict.counts:
                return member.name, verdict
    return "", None


def _domains(
    cache: PlacementCache, unit: Unit | None
) -> tuple[tuple[str, ...], tuple[DomainRoom, ...]]:
    constraint = constraint_of(unit) if unit is not None else None
    if unit is None or constraint is None or isinstance(constraint, Refusal):
        return (), ()
    found = pinned(domains(cache.cluster, constraint), unit.placed(), cache.cluster.row_of)
    rooms = rooms_of(cache.cycle.placer, found, list(unit.members()), max(1, unit.need))
    return constraint.keys, tuple(
        DomainRoom(room.domain.name, int(room.domain.rows.sum()), room.pods) for room in rooms
    )
