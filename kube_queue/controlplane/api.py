"""The few requests that bring a cluster up, spoken to its API server."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from kube_queue.controlplane.errors import Refused

Object = dict[str, Any]

_TOO_MANY = 429
_RETRY_SECONDS = 0.2
_REQUEST_SECONDS = 30.0


class Api:
    """One API server, on paths: `/api/v1/nodes`. Raises Refused for what it does not take."""

    def __init__(self, server: str, token: str, authority: str) -> None:
        """`authority` is the PEM certificate that is trusted, and no other."""
        self._server = server
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"},
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority)),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        )

    async def close(self) -> None:
        """The connections are closed."""
        await self._session.close()

    async def get(self, path: str) -> Object | None:
        """The object or list there; None when there is none."""
        status, answer = await self._send("GET", path, None)
        return None if status == 404 else _taken(path, status, answer)

    async def create(self, path: str, manifest: Mapping[str, Any]) -> None:
        """An object of that name is in the collection; one that was there stays as it is."""
        status, answer = await self._send("POST", path, manifest)
        if status != 409:
            _taken(path, status, answer)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, Object]:
        while True:
            status, text = await self._ask(method, path, body)
            if status != _TOO_MANY:
                return status, _parsed(text)
            # "storage is (re)initializing", just after a definition was created.
            await asyncio.sleep(_RETRY_SECONDS)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, str]:
        try:
            async with self._session.request(method, self._server + path, json=body) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise Refused(f"{path} was not answered: {problem}") from problem


def _parsed(text: str) -> Object:
    """Some answers, such as that to an unknown path, are plain text."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"message": text.strip()}


def _taken(path: str, status: int, answer: Object) -> Object:
    if status >= 400:
        raise Refused(f"{path} was answered with {status}: {answer.get('message', answer)}")
    return answer
