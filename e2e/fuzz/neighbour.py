"""A well-behaved client beside the hostile ones: what it writes it reads back, in time."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import aiohttp

from e2e.fuzz.patience import Patience
from e2e.fuzz.server import Unwell

PATH = "/api/v1/namespaces/neighbour/configmaps"
WATCHED = 25
"""It begins a new watch after so many rounds."""


class Neighbour:
    """Creates, reads, changes, watches and deletes one object, over and over."""

    def __init__(self, port: int, token: str, patience: Patience) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._patience = patience
        self._waits: list[float] = []

    async def run(self) -> None:
        """Go on until cancelled. Raises Unwell when an answer is late or wrong."""
        async with aiohttp.ClientSession(self._url, headers=self._headers) as session:
            await self._ask(
                session, "POST", "/api/v1/namespaces", {"metadata": {"name": "neighbour"}}
            )
            number = 0
            while True:
                await self._life(session, f"life-{number}")
                number += 1

    async def _life(self, session: aiohttp.ClientSession, name: str) -> None:
        value = {"metadata": {"name": name}, "data": {"value": "1"}}
        made = await self._ask(session, "POST", PATH, value)
        query = f"?watch=true&resourceVersion={made['metadata']['resourceVersion']}"
        began = time.perf_counter()
        try:
            async with self._patience.limit(), session.get(PATH + query) as watch:
                await self._ask(session, "PUT", f"{PATH}/{name}", {**value, "data": {"value": "2"}})
                line = await watch.content.readline()
        except (TimeoutError, aiohttp.ClientError) as why:
            raise Unwell(f"the neighbour's watch of {name} brought nothing: {why!r}") from None
        self._waits.append(time.perf_counter() - began)
        if b'"value":"2"' not in line:
            raise Unwell(f"the neighbour wrote {name} and its watch brought {line[:300]!r}")
        read = await self._ask(session, "GET", f"{PATH}/{name}", None)
        if read.get("data") != {"value": "2"}:
            raise Unwell(f"the neighbour wrote {name} and read {read}")
        await self._ask(session, "DELETE", f"{PATH}/{name}", None)
        listed = await self._ask(session, "GET", PATH, None)
        if listed["items"]:
            raise Unwell(f"the neighbour deleted {name} and still sees {listed['items']}")
        await asyncio.sleep(0.05)

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any
    ) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            async with (
                self._patience.limit(),
                session.request(method, path, json=body) as answer,
            ):
                told: dict[str, Any] = await answer.json()
        except (TimeoutError, aiohttp.ClientError) as why:
            raise Unwell(f"the neighbour's {method} {path} got no answer: {why!r}") from None
        self._waits.append(time.perf_counter() - began)
        if answer.status >= 300:
            raise Unwell(f"the neighbour's {method} {path} was answered {answer.status}: {told}")
        return told

    def shown(self) -> str:
        """How long it waited, for a person."""
        waits = sorted(self._waits) or [0.0]
        return (
            f"{len(waits)} answers, median {statistics.median(waits) * 1000:.1f} ms, "
            f"p99 {waits[len(waits) * 99 // 100] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms"
        )
