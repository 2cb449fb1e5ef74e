"""What holds a pod or gang, as JSON; every answer comes from the co-scheduler's memory.

::

    GET /visibility/v1/explain?namespace=&name=[&kind=pod|gang|podgroup]
                             ANSWER; 404, and 503 from a process that stands by: {"error": "..."}

    ANSWER  kind (Pod or Gang), namespace, name, scheduler, priority, state, node, nominated,
            message (why it waits), gang GANG | null, member (whose refusal by nodes decided), nodes
            (there are in all), reasons [{plugin, reason, nodes, permanent}], domainKeys,
            domains [{name, nodes, room, needed}], reservedNodes, waitsFor [sentences], tried,
            notice (why nobody is evicted for it though that might help), held, leaving
            ["namespace/name" of pods that go for it], claims [those to be bound before it is]
    GANG    name, source, minimum, waiting, placed, gated, succeeded, failed, satisfied,
            policy, companions ["namespace/name"]
    state   Waiting, Binding, Scheduled, Gated, Terminating, Finished, NotOurs
    held    what a Waiting one waits for: Turn, Leaving, Gang, Quota, Object, Node, or Scheduler
            where it fits and none answers; else empty

Without a kind a pod of the name is meant, else a gang. `permanent`: no pod that leaves changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from kube_queue.cache.placing_answers import (
    GangAnswer,
    PlacementAnswer,
    explain_gang,
    explain_pod,
)
from kube_queue.placement.gangs import PLUGIN as GANG
from kube_queue.placement.units import UnitKey
from kube_queue.placement.verdict import Verdict

if TYPE_CHECKING:
    from kube_queue.controller.scheduling.side import SchedulingSide

PREFIX: Final = "/visibility/v1"
GANG_WORDS: Final = frozenset({"gang", "gangs", "podgroup", "podgroups", "pg", "pgs"})
POD_WORDS: Final = frozenset({"pod", "pods", "po"})
STANDS_BY: Final = "this co-scheduler stands by: another one leads, and knows"
_VOLUMES: Final = ("VolumeBinding", "VolumeZone")
FITS_NOW: Final = "it fits now; nobody binds it while no co-scheduler answers"
Words = dict[str, Any]


class PlacementVisibility:
    """Answers questions about pods and gangs out of the present side's memory.

    Without ``decides`` nobody carries out what that side has in mind: a pod that would be bound
    still waits.
    """

    def __init__(self, side: Callable[[], SchedulingSide | None], *, decides: bool = True) -> None:
        self._side = side
        self._decides = decides

    def routes(self) -> list[web.RouteDef]:
        """The routes of this module's docstring."""

        async def reply(request: web.Request) -> web.Response:
            status, body = self.answer(request.match_info["what"], request.query)
            return web.Response(
                body=body, status=status, content_type="application/json", charset="utf-8"
            )

        return [web.get(f"{PREFIX}/{{what}}", reply)]

    def answer(self, what: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """HTTP status and JSON of one question."""
        side = self._side()
        if what != "explain":
            return _refusal(404, f"{what}: is no question; ask for explain")
        if side is None or not side.ready:
            return _refusal(503, STANDS_BY)
        namespace, name = query.get("namespace", ""), query.get("name", "")
        kind = query.get("kind", "").lower()
        if not namespace or not name:
            return _refusal(400, "namespace and name: both are needed")
        if kind and kind not in GANG_WORDS | POD_WORDS:
            return _refusal(404, f"the co-scheduler knows pods and gangs, no {kind}")
        pod = side.pods.get(namespace, name) if kind not in GANG_WORDS else None
        if pod is not None:
            ours = pod.scheduler in side.scheduler_names
            words = answer_words(self._as_is(explain_pod(side.cache, pod)), ours=ours)
            if not self._decides and words["state"] == "Binding":
                words |= {"state": "Waiting", "held": "Scheduler", "node": "", "message": FITS_NOW}
            return 200, orjson.dumps(words)
        if kind not in POD_WORDS:
            found = explain_gang(side.cache, UnitKey(namespace, name))
            if found is not None:
                return 200, orjson.dumps(answer_words(self._as_is(found), ours=True))
        what = "pod" if kind in POD_WORDS else "gang" if kind else "pod or gang"
        return _refusal(404, f"the co-scheduler knows no {what} {namespace}/{name}")

    def _as_is(self, answer: PlacementAnswer) -> PlacementAnswer:
        """Whom nobody evicts does not leave, and no room is kept."""
        if self._decides:
            return answer
        return replace(answer, leaving=(), nominated="", claims=())


def _refusal(status: int, sentence: str) -> tuple[int, bytes]:
    return status, orjson.dumps({"error": sentence})


def answer_words(answer: PlacementAnswer, *, ours: bool) -> Words:
    """The ANSWER of this module's docstring."""
    pod, gang, verdict = answer.pod, answer.gang, answer.verdict
    key = gang.key if pod is None and gang is not None else None
    state = _state(answer, ours=ours)
    held = _held(answer) if state == "Waiting" else ""
    return {
        "kind": "Gang" if pod is None else "Pod",
        "namespace": pod.namespace if pod is not None else key.namespace if key else "",
        "name": pod.name if pod is not None else key.name if key else "",
        "scheduler": pod.scheduler if pod is not None else "",
        "priority": pod.priority if pod is not None else None,
        "state": state,
        "node": answer.node,
        "nominated": answer.nominated,
        "message": verdict.message if verdict is not None else "",
        "gang": None if gang is None else _gang(gang),
        "member": answer.decisive_pod,
        "nodes": answer.decisive.nodes if answer.decisive is not None else None,
        "reasons": _reasons(answer.decisive),
        "domainKeys": list(answer.domain_keys),
        "domains": [
            {"name": one.name, "nodes": one.nodes, "room": one.pods, "needed": answer.needed}
            for one in answer.domains
        ],
        "reservedNodes": answer.reserved_nodes,
        "held": held,
        "waitsFor": _waits_for(answer, held) if held else [],
        "tried": verdict is not None,
        "notice": answer.note,
        "leaving": list(answer.leaving),
        "claims": list(answer.claims),
    }


def _state(answer: PlacementAnswer, *, ours: bool) -> str:
    pod = answer.pod
    if pod is None:
        return _gang_state(answer.gang) if answer.gang is not None else "Waiting"
    if pod.finished:
        return "Finished"
    if pod.deletion:
        return "Terminating"
    if answer.node:
        return "Binding" if answer.assumed and not pod.node else "Scheduled"
    if not ours:
        return "NotOurs"
    return "Gated" if pod.gated else "Waiting"


def _gang_state(gang: GangAnswer) -> str:
    members = gang.members
    if members.waiting:
        return "Waiting"
    if members.gated:
        return "Gated"
    return "Scheduled" if members.placed else "Finished"


def _gang(gang: GangAnswer) -> Words:
    members = gang.members
    return {
        "name": gang.key.name,
        "source": str(gang.mark.source),
        "minimum": gang.least,
        "waiting": len(members.waiting),
        "placed": len(members.placed),
        "gated": members.gated,
        "succeeded": members.succeeded,
        "failed": members.failed,
        "satisfied": gang.satisfied,
        "policy": str(gang.mark.policy),
        "companions": [f"{key.namespace}/{key.name}" for key in gang.companions],
    }


def _reasons(verdict: Verdict | None) -> list[Words]:
    return [
        {
            "plugin": one.refusal.plugin,
            "reason": one.refusal.reason,
            "nodes": one.nodes,
            "permanent": one.refusal.unresolvable,
        }
        for one in (verdict.counts if verdict is not None else ())
    ]


def _held(answer: PlacementAnswer) -> str:
    """The one word for what it waits for."""
    refusal = answer.verdict.refusal if answer.verdict is not None else None
    if answer.verdict is None:
        return "Turn"
    if answer.leaving:
        return "Leaving"
    if _missing(answer.gang):
        return "Gang"
    if refusal is None or answer.decisive is not None:
        return "Node"
    if refusal.plugin == "CapacityScheduling":
        return "Quota"
    if refusal.unresolvable:
        return "Object"
    return "Gang" if refusal.plugin == GANG else "Node"


def _missing(gang: GangAnswer | None) -> int:
    """How many of the pods that it needs the gang lacks."""
    if gang is None or gang.satisfied:
        return 0
    members = gang.members
    there = len(members.waiting) + len(members.placed) + members.succeeded + members.failed
    return max(0, gang.least - there)


def _waits_for(answer: PlacementAnswer, held: str) -> list[str]:
    """What would have it tried again, in sentences."""
    match held:
        case "Turn":
            return ["its first turn"]
        case "Leaving":
            return ["the pods that leave for it to be gone"]
        case "Gang":
            missing = _missing(answer.gang)
            if missing:
                return [f"{missing} more of its pods, without a scheduling gate"]
            return ["the PodGroup or gang that it names"]
        case "Quota":
            return ["quota: pods of the quotas it names that leave, or a change of the tree"]
        case "Object":
            return ["a change of what it asks for, or of the objects it names"]
    decisive = answer.decisive or answer.verdict
    waits = [] if decisive is None or decisive.unresolvable else ["a pod that leaves a node"]
    waits.append("a node that comes or changes")
    if decisive is not None and any(one.refusal.plugin in _VOLUMES for one in decisive.counts):
        waits.append("a volume or claim that does")
    return waits
