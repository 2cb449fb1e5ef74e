"""What the queue knows, as JSON; every answer comes from memory.

::

    GET /visibility/v1/units[?namespace=&queue=&limit=]   {"units": [UNIT...], "total": 12}
    GET /visibility/v1/queues                             {"queues": [QUEUE...]}
    GET /visibility/v1/quotas                             {"system": elasticquota or resourcequota,
                                                           "tree": TREE | null,
                                                           "quotas": [QUOTA...]}
    GET /visibility/v1/explain?namespace=&name=[&kind=]   UNIT and more; 404, and 409 where several
                                                          have the name: {"error": "..."}
    GET /visibility/v1/try?unit=JSON                      what explain would say of a QueueUnit that
                                                          does not exist, runsNow, and evicts:
                                                          [{namespace, name, job}] that would have
                                                          to leave first

    UNIT   namespace, name, uid, job {apiVersion, kind, namespace, name, uid} | null, queue, quota
           (path, "" when none), phase, active, priority, preemptible, request {cpu: "3", ...},
           position (1-based among the waiting of its queue, 0 when it does not wait),
           submitted (RFC 3339), waitedSeconds (so far; null when it does not wait), reason, message
    QUEUE  namespace, name, policy (it is served by), notice (what it asks for and does not get;
           the policy is empty for a Queue that is not served), priority, stopPolicy (None, Hold
           or HoldAndDrain), quotaPath, createdByUs, pending, reserved, admitted,
           head ("namespace/name")
    QUOTA  path, name, parent (path | null), leaf, namespaces, resourceQuota (whether it is one:
           the path is then namespace/name, and max is its hard), and used, request, min, max
           {resource: quantity}, the bounds as they apply: times the oversell rate; parents before
           their children
    TREE   namespace, name, valid, reason, message
    explain: a UNIT, and what ``explaining`` lists

Units of one queue stand in its order: those that wait by position, then the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from kube_queue.admission import Summary
from kube_queue.api.conditions import rfc3339_micro
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from kube_queue.config.settings import QuotaSystem
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.controller.records import UnitRecord
from kube_queue.serving.explaining import amounts_words, explained_words, job_words
from kube_queue.serving.naming import several, units_named, unknown
from kube_queue.serving.quotas import quota_rows

PREFIX: Final = "/visibility/v1"
CHUNK: Final = 1_000
"""Units put into words before others have a turn."""
PUT_ASIDE: Final = frozenset(
    {
        (Reason.NOT_ACTIVE, Reason.ADMISSION_CHECK_REJECTED),
        (Reason.BACKOFF, Reason.ADMISSION_CHECK_RETRY),
        (Reason.BACKOFF, Reason.RUNNING_TIMEOUT),
    }
)
"""What decides now, and what the status says that led to it."""
FITS_NOW: Final = "it fits now; nobody admits it while no controller answers"
Words = dict[str, Any]


class _Refused(Exception):
    """A question that cannot be answered: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Visibility:
    """Answers questions about units, queues and quotas out of the present queue side's memory.

    Without ``decides`` nobody carries out what that side has in mind: a unit that would be admitted
    still waits.
    """

    def __init__(
        self, side: Callable[[], QueueSide], clock: Callable[[], float], *, decides: bool = True
    ) -> None:
        self._present = side
        self._clock = clock
        self._decides = decides

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
        """HTTP status and JSON of one question: units, queues, quotas, explain or try."""
        questions: Mapping[str, Callable[[Mapping[str, str]], Awaitable[Words]]] = {
            "units": self._units,
            "queues": self._queues,
            "quotas": self._quotas,
            "explain": self._explain,
            "try": self._try,
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
            unit, told = self._cache.unit(record.uid), self._cache.summary(record.uid)
            if unit is not None and told is not None:
                words.append(self._words(unit, told))
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
                    "stopPolicy": str(queue.stop),
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
        by_namespace = self._side.quotas.by_namespace
        system = QuotaSystem.RESOURCE_QUOTA if by_namespace else QuotaSystem.ELASTIC_QUOTA
        return {"system": system.value, "tree": self._tree_words(), "quotas": self._quota_words()}

    async def _explain(self, query: Mapping[str, str]) -> Words:
        namespace = query.get("namespace", "")
        name = query.get("name", "")
        kind = query.get("kind", "")
        if not namespace or not name:
            raise _Refused(400, "namespace and name: both are needed")
        units = (record.unit for record in self._side.units.values())
        found = units_named(units, namespace, name, kind.lower())
        if len(found) > 1:
            raise _Refused(409, several(namespace, name, found))
        explained = self._cache.explain(found[0].uid, self._clock()) if found else None
        if explained is None:
            raise _Refused(404, unknown(namespace, name, kind))
        return {**self._words(found[0], explained), **explained_words(explained)}

    async def _try(self, query: Mapping[str, str]) -> Words:
        try:
            unit = self._side.imagined(orjson.loads(query.get("unit", "")))
        except (orjson.JSONDecodeError, TypeError):
            raise _Refused(400, "unit: is not the JSON of a QueueUnit") from None
        trial = self._cache.trial(unit, self._clock())
        return {
            **self._words(unit, trial.explained),
            **explained_words(trial.explained),
            "runsNow": trial.runs_now,
            "evicts": [
                {"namespace": one.namespace, "name": one.name, "job": job_words(one.job)}
                for one in trial.evicts
            ],
        }

    def _words(self, unit: Unit, told: Summary) -> Words:
        phase, (reason, message) = told.phase, _why(unit, told)
        if not self._decides and self._cache.assumed(unit.uid):
            phase, reason, message = unit.phase, Reason.ENQUEUED, FITS_NOW
        held = unit.phase is Phase.ENQUEUED and unit.reason == Reason.NODES_HAVE_NO_ROOM
        if held and self._cache.assumed(unit.uid):
            # Others were evicted for it: its quota is kept, and the nodes are waited for.
            phase, reason, message = unit.phase, unit.reason, unit.message
        waits = told.position > 0 or unit.phase is Phase.ENQUEUED
        return {
            "namespace": unit.namespace,
            "name": unit.name,
            "uid": unit.uid,
            "job": job_words(unit.job),
            "queue": told.queue,
            "quota": told.quota,
            "phase": str(phase),
            "active": unit.active,
            "priority": unit.priority,
            "preemptible": unit.preemptible,
            "request": unit.request.manifest(),
            "position": told.position,
            "submitted": rfc3339_micro(unit.submitted),
            "waitedSeconds": max(0.0, self._clock() - unit.submitted / 1e6) if waits else None,
            "reason": str(reason),
            "message": message,
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
        return [
            {
                "path": row.path,
                "name": row.name,
                "parent": row.parent,
                "leaf": row.leaf,
                "namespaces": list(row.namespaces),
                "resourceQuota": row.resource_quota,
                "used": amounts_words(row.used),
                "request": amounts_words(row.request),
                "min": amounts_words(row.min),
                "max": amounts_words(row.max),
            }
            for row in quota_rows(self._side)
        ]


def _why(unit: Unit, told: Summary) -> tuple[str, str]:
    """Reason and message; what put the unit aside says more than that it is aside."""
    if (told.reason, unit.reason) in PUT_ASIDE:
        return unit.reason, unit.message
    return told.reason, told.message


def _listing_order(record: UnitRecord) -> tuple[str, bool, tuple[int, int, str, str]]:
    unit = record.unit
    return unit.queue, unit.phase is not Phase.ENQUEUED, order_key(unit)


def _limit(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _Refused(400, "limit: is no number from 0 up; leave it out for all")
    return int(text)
