"""Cases played on a server.

Holds: play, which gives what one server answered to the cases, masked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from e2e.differential.case import Case, Step, expand, filled, lookup
from e2e.differential.mask import Masks
from e2e.differential.server import Answer, Server

AT_ONCE = 8
UNTIL_SECONDS = 90.0
_POLL_SECONDS = 0.1

Seen = dict[str, list[dict[str, Any]]]
"""Name of a case -> its answers, masked, one for each request."""


async def play(server: Server, cases: Sequence[Case]) -> Seen:
    """Every case was played, each in a fresh namespace of its own."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> list[dict[str, Any]]:
        async with places:
            return await _Played(server, case).whole()

    played = await asyncio.gather(*(one(case) for case in cases))
    return {case.name: answers for case, answers in zip(cases, played, strict=True)}


class _Played:
    """One case on one server."""

    def __init__(self, server: Server, case: Case) -> None:
        self._server = server
        self._case = case
        self._names = {"ns": case.slug, "g": f"{case.slug}.example.com"}
        self._bodies: list[Any] = []
        self._answers: list[Answer] = []
        self._only: list[tuple[str, ...]] = []

    async def whole(self) -> list[dict[str, Any]]:
        await self._prepare()
        for step in self._case.steps:
            await self._step(step)
        masks = Masks(fields=self._case.fields, bases=self._case.bases())
        return [
            masks.answer(_part(answer, only))
            for answer, only in zip(self._answers, self._only, strict=True)
        ]

    async def _prepare(self) -> None:
        """The namespace is there, and what every namespace gets."""
        manifest = {"metadata": {"name": self._case.slug}}
        created = await self._send(Step("POST", "/api/v1/namespaces", manifest))
        assert created.status == 201, created
        if self._server.name != "embedded":
            await self._until(Step("GET", "serviceaccounts/default", until=200))

    async def _step(self, step: Step) -> None:
        place = len(self._answers)
        # Its place is taken before those of the steps that are played while it runs.
        self._answers.append(Answer(0, ""))
        self._bodies.append(None)
        self._only.append(step.only)
        answer = await (self._until(step) if step.until else self._send(step))
        self._answers[place], self._bodies[place] = answer, answer.body
        if answer.events:
            self._bodies[place] = {"events": answer.events}

    async def _send(self, step: Step) -> Answer:
        path = filled(expand(step.path), self._names, self._bodies)
        headers = {"Accept": step.accept} if step.accept else {}
        if step.events is not None:
            return await self._server.watch(
                path, headers, step.events, lambda: self._meanwhile(step.during)
            )
        body = b""
        if step.body is not None:
            headers["Content-Type"] = step.media
            body = step.body
            if not isinstance(body, bytes):
                body = orjson.dumps(filled(step.body, self._names, self._bodies))
        return await self._server.ask(step.method, path, headers, body)

    async def _meanwhile(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            await self._step(step)

    async def _until(self, step: Step) -> Answer:
        answer = await self._send(step)
        try:
            async with asyncio.timeout(UNTIL_SECONDS):
                while not _holds(answer, step.until):
                    await asyncio.sleep(_POLL_SECONDS)
                    answer = await self._send(step)
        except TimeoutError:
            answer.late = f"not {step.until} within {UNTIL_SECONDS:.0f} s"
        return answer


def _holds(answer: Answer, wanted: int | str) -> bool:
    if isinstance(wanted, int):
        return answer.status == wanted
    path, _, value = wanted.rpartition("=")
    return str(lookup(answer.body, path)) == value


def _part(answer: Answer, only: tuple[str, ...]) -> Answer:
    """The answer with those parts of its body only, unless it is a refusal."""
    if not only or answer.status >= 400:
        return answer
    return replace(answer, body={path: lookup(answer.body, path) for path in only})
