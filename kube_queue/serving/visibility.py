"""What the queue knows, as JSON; every answer comes from memory.

::

    GET /visibility/v1/units[?namespace=&queue=&limit=]   {"units": [UNIT...], "total": 12}
    GET /visibility/v1/queues                             {"queues": [QUEUE...]}
    GET /visibility/v1/quotas                             {"tree": TREE | null,
                                                           "quotas": [QUOTA...]}
    GET /visibility/v1/explain?namespace=&name=[&kind=]   UNIT and more; 404 {"error": "..."}

    UNIT   namespace, name, uid, job {apiVersion, kind, namespace, name, uid} | null, queue, quota
           (path, "" when none), phase, active, priority, preemptible, request {cpu: "3", ...},
           position (1-based among the waiting of its queue, 0 when it does not wait),
           submitted (RFC 3339), waitedSeconds (so far; null when it does not wait), reason, message
    QUEUE  namespace, name, policy (it is served by), notice (what it asks for and does not get;
           the policy is empty for a Queue that is not served), priority, quotaPath, createdByUs,
           pending, reserved, admitted, head ("namespace/name")
    QUOTA  path, name, parent (path | null), leaf, namespaces, and used, request, min, max
           {resource: quantity}, the bounds as they apply: times the oversell rate; parents before
           their children
    TREE   namespace, name, valid, reason, message
    explain: a UNIT, and policy ("" while there is no such Queue), notice, waitsFor (a sentence),
           levels [{path, resources [{resource, requested, used, min, max, available}]}] from the
           leaf to the root; an absent min or max is null, available null where nothing limits,
           shortages [{path, resource, bound, requested, used, limit, missing, message}]

Units of one queue stand in its order: those that wait by position, then the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from kube_queue.admission import Explanation, QuotaLevel, Shortage
from kube_queue.api.conditions import rfc3339_micro
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.resources import format_amount
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.controller.records import UnitRecord

PREFIX: Final = "/visibility/v1"
CHUNK: Final = 1_000
"""Units put into words before others have a turn."""
PODS_GONE: Final = "waits until the pods of its job are gone"
"""What an evicted unit that still holds quota waits for."""
Words = dict[str, Any]


class _Refused(Exception):
    """A question that cannot be answered: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Visibility:
    """Answers questions about units, queues and quotas out of the present queue side's memory."""

    def __init__(self, side: Callable[[], QueueSide], clock: Callable[[], float]) -> None:
        self._present = side
        self._clock = clock

    @property
    def _side(self) -> QueueSide:
        return self._present()

    @property
    def _cache(self) -> Cache:
        return self._side.cache

    def routes(self) -> list[web.RouteDef]:
        """The routes of this module's docstring."""

        async def reply(request: web.Request) -> web.Response:
            status, body = await self.answer(request.match_info["what"], request.query)
            return web.Response(
                body=body, status=status, content_type="application/json", charset="utf-8"
            )

        return [web.get(f"{PREFIX}/{{what}}", reply)]

    async def answer(self, what: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """HTTP status and JSON of one question: units, queues, quotas or explain."""
        questions: Mapping[str, Callable[[Mapping[str, str]], Awaitable[Words]]] = {
            "units": self._units,
            "queues": self._queues,
            "quotas": self._quotas,
            "explain": self._explain,
        }
        ask = questions.get(what)
        if ask is None:
            problem = f"{what}: is no question; ask for {', '.join(questions)}"
            return 404, orjson.dumps({"error": problem})
        try:
            return 200, orjson.dumps(await ask(query))
        except _Refused as refused:
            return refused.status, orjson.dumps({"error": refused.sentence})

    async def _units(self, query: Mapping[str, str]) -> Words:
        namespace = query.get("namespace", "")
        queue = query.get("queue", "")
        limit = _limit(query.get("limit", ""))
        chosen = [
            record
            for record in self._side.units.values()
            if (not namespace or record.namespace == namespace)
            and (not queue or record.unit.queue == queue)
        ]
        chosen.sort(key=_listing_order)
        total = len(chosen)
        words: list[dict[str, Any]] = []
        for number, record in enumerate(chosen[:limit] if limit else chosen):
            if number % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
            # It may have changed while others had their turn: what is known now is told.
            unit = self._cache.unit(record.uid)
            if unit is not None:
                words.append(self._unit_words(unit))
        return {"units": words, "total": total}

    async def _queues(self, _: Mapping[str, str]) -> Words:
        words = []
        for record in sorted(self._side.queues.values(), key=lambda one: (one.namespace, one.name)):
            queue = record.queue
            counts = self._cache.queue_status(queue.key)
            words.append(
                {
                    "namespace": queue.namespace,
                    "name": queue.name,
                    "policy": "" if counts is None else str(counts.policy),
                    "notice": "" if counts is None else counts.notice,
                    "priority": queue.priority,
                    "quotaPath": queue.quota_path,
                    "createdByUs": queue.created_by_us,
                    "pending": 0 if counts is None else counts.pending,
                    "reserved": 0 if counts is None else counts.reserved,
                    "admitted": 0 if counts is None else counts.admitted,
                    "head": "" if counts is None else counts.head,
                }
            )
        return {"queues": words}

    async def _quotas(self, _: Mapping[str, str]) -> Words:
        return {"tree": self._tree_words(), "quotas": self._quota_words()}

    async def _explain(self, query: Mapping[str, str]) -> Words:
        namespace = query.get("namespace", "")
        name = query.get("name", "")
        kind = query.get("kind", "")
        if not namespace or not name:
            raise _Refused(400, "namespace and name: both are needed")
        unit = self._find(namespace, name, kind)
        explained = None if unit is None else self._cache.explain(unit.uid, self._clock())
        if unit is None or explained is None:
            what = f"{kind or 'job or unit'} {namespace}/{name}"
            raise _Refused(404, f"the queue knows no {what}")
        return self._explained(unit, explained)

    def _find(self, namespace: str, name: str, kind: str) -> Unit | None:
        """The unit of a job of this name, else the unit of this name."""
        if not kind or kind.lower() in {"queueunit", "queueunits", "qu", "qus"}:
            record = self._side.units.get(namespace, name)
            if record is not None:
                return record.unit
        for record in self._side.units.values():
            job = record.unit.job
            if (
                job is not None
                and record.namespace == namespace
                and job.name == name
                and (not kind or kind.lower() in (job.kind.lower(), f"{job.kind.lower()}s"))
            ):
                return record.unit
        return None

    def _unit_words(self, unit: Unit) -> dict[str, Any]:
        explained = self._cache.explain(unit.uid, self._clock())
        return {} if explained is None else self._words(unit, explained)

    def _words(self, unit: Unit, explained: Explanation) -> dict[str, Any]:
        waits = explained.position > 0 or unit.phase is Phase.ENQUEUED
        job = unit.job
        return {
            "namespace": unit.namespace,
            "name": unit.name,
            "uid": unit.uid,
            "job": None
            if job is None
            else {
                "apiVersion": job.api_version,
                "kind": job.kind,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
            "queue": explained.queue,
            "quota": explained.quota,
            "phase": str(explained.phase),
            "active": unit.active,
            "priority": unit.priority,
            "preemptible": unit.preemptible,
            "request": unit.request.manifest(),
            "position": explained.position,
            "submitted": rfc3339_micro(unit.submitted),
            "waitedSeconds": max(0.0, self._clock() - unit.submitted / 1e6) if waits else None,
            "reason": unit.reason if _leaves(unit) else str(explained.reason),
            "message": _present_message(explained),
        }

    def _explained(self, unit: Unit, explained: Explanation) -> dict[str, Any]:
        return {
            **self._words(unit, explained),
            "policy": str(explained.policy or ""),
            "notice": explained.notice,
            "waitsFor": PODS_GONE if _leaves(unit) else explained.waits_for,
            "levels": [_level_words(level) for level in explained.levels],
            "shortages": [_shortage_words(one) for one in explained.shortages],
        }

    def _tree_words(self) -> dict[str, Any] | None:
        first = self._side.keeper.first()
        if first is None:
            return None
        verdict = self._side.keeper.verdict(first)
        return {
            "namespace": first.namespace,
            "name": first.name,
            "valid": verdict.valid,
            "reason": str(verdict.reason),
            "message": verdict.message,
        }

    def _quota_words(self) -> list[dict[str, Any]]:
        tree = self._side.keeper.in_force
        if tree is None:
            return []
        usage = self._cache.quota_status()
        return [
            {
                "path": path,
                "name": node.name,
                "parent": node.parent,
                "leaf": node.leaf,
                "namespaces": list(node.namespaces),
                "used": _amounts(usage[path].used),
                "request": _amounts(usage[path].request),
                "min": _amounts(usage[path].min),
                "max": _amounts(usage[path].max),
            }
            for path, node in tree.nodes.items()
        ]


def _present_message(explained: Explanation) -> str:
    """The last verdict in the numbers of this moment; a sleeping unit keeps those of its try."""
    for shortage in explained.shortages:
        if shortage.reason is explained.reason:
            return shortage.message
    return explained.message


def _leaves(unit: Unit) -> bool:
    """Whether it is evicted and still holds its quota: its own status says why."""
    return unit.evicted and unit.phase in HOLDS_QUOTA and bool(unit.reason)


def _listing_order(record: UnitRecord) -> tuple[str, bool, tuple[int, int, str]]:
    unit = record.unit
    return unit.queue, unit.phase is not Phase.ENQUEUED, order_key(unit)


def _limit(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _Refused(400, "limit: is no number from 0 up; leave it out for all")
    return int(text)


def _amounts(amounts: Mapping[str, int]) -> dict[str, str]:
    return {name: format_amount(name, amount) for name, amount in sorted(amounts.items())}


def _amount(name: str, amount: int | None) -> str | None:
    return None if amount is None else format_amount(name, amount)


def _level_words(level: QuotaLevel) -> dict[str, Any]:
    return {
        "path": level.path,
        "resources": [
            {
                "resource": one.resource,
                "requested": _amount(one.resource, one.requested),
                "used": _amount(one.resource, one.used),
                "min": _amount(one.resource, one.min),
                "max": _amount(one.resource, one.max),
                "available": _amount(one.resource, one.available),
            }
            for one in level.resources
        ],
    }


def _shortage_words(shortage: Shortage) -> dict[str, Any]:
    name = shortage.resource
    return {
        "path": shortage.path,
        "resource": name,
        "bound": shortage.bound.name.lower(),
        "requested": _amount(name, shortage.requested),
        "used": _amount(name, shortage.used),
        "limit": _amount(name, shortage.limit),
        "missing": _amount(name, shortage.missing),
        "message": shortage.message,
    }
