"""A caller of the server, in process or over HTTP, and the objects the tests send.

The same tests speak to both: what differs is only the transport.
"""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from kube_queue.apiserver.core import ApiServer, Request
from kube_queue.apiserver.http import serve

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
UNITS = "/apis/test.kube-queue.io/v1/namespaces/default/units"
START = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, Any]
    warnings: Sequence[str] = ()

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))

    @property
    def causes(self) -> dict[str, str]:
        return {c["field"]: c["message"] for c in self.body["details"]["causes"]}


class Stream:
    """A watch whose events are taken one by one; waiting for one that does not come fails."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def next(self) -> Object:
        async with asyncio.timeout(30):
            event: Object = json.loads(await anext(self._lines))
        return event

    async def names(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]

    async def ended(self) -> bool:
        async with asyncio.timeout(30):
            return await anext(self._lines, None) is None


class Wire(Protocol):
    async def send(self, request: Request) -> Answer: ...
    async def stream(self, request: Request) -> Stream: ...


@dataclass
class InProcess:
    """Straight into the handler."""

    server: ApiServer
    open: list[Any] = field(default_factory=list)

    async def send(self, request: Request) -> Answer:
        response = await self.server.handle(request)
        assert isinstance(response.body, bytes)
        body = json.loads(response.body) if response.body[:1] == b"{" else response.body
        return Answer(response.status, body, response.headers, response.warnings)

    async def stream(self, request: Request) -> Stream:
        response = await self.server.handle(request)
        assert not isinstance(response.body, bytes), response.body
        self.open.append(response.body)
        return Stream(response.body)

    async def close(self) -> None:
        for stream in self.open:
            await stream.aclose()


class OverHttp:
    """Through a socket, with aiohttp."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.open: list[aiohttp.ClientResponse] = []

    async def start(self) -> None:
        self.running = await serve(self.server, token="secret")
        self.session = aiohttp.ClientSession(
            base_url=self.running.url, headers={"Authorization": "Bearer secret"}
        )

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        return await self.session.request(
            request.method,
            request.path,
            params=list(request.query),
            headers=dict(request.headers),
            data=io.BytesIO(request.body) if request.body else None,
        )

    async def send(self, request: Request) -> Answer:
        response = await self._ask(request)
        raw = await response.read()
        body = json.loads(raw) if raw[:1] == b"{" else raw
        texts = [
            value.removeprefix('299 - "').removesuffix('"').replace('\\"', '"')
            for value in response.headers.getall("Warning", [])
        ]
        return Answer(response.status, body, response.headers, texts)

    async def stream(self, request: Request) -> Stream:
        response = await self._ask(request)
        assert response.status == 200, await response.text()
        self.open.append(response)

        async def lines() -> AsyncIterator[bytes]:
            async for line in response.content:
                yield line

        return Stream(lines())

    async def close(self) -> None:
        for response in self.open:
            response.close()
        await self.session.close()
        await self.running.close()


class Api:
    """The verbs, short."""

    def __init__(self, wire: Wire, server: ApiServer, clock: Clock) -> None:
        self.wire = wire
        self.server = server
        self.clock = clock

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        media: str = "application/json",
        accept: str = "",
    ) -> Answer:
        return await self.wire.send(_request(method, path, body, query, media, accept))

    async def get(self, path: str, *, accept: str = "", **query: str) -> Answer:
        return await self.call("GET", path, query=query, accept=accept)

    async def create(self, path: str, obj: Object, **query: str) -> Answer:
        return await self.call("POST", path, obj, query=query)

    async def made(self, path: str, obj: Object) -> Object:
        """The object as it was created; anything but success fails the test."""
        answer = await self.create(path, obj)
        assert answer.status == 201, answer.body
        made: Object = answer.body
        return made

    async def replace(self, path: str, obj: Object, **query: str) -> Answer:
        return await self.call("PUT", path, obj, query=query)

    async def patch(self, path: str, patch: Any, media: str = MERGE, **query: str) -> Answer:
        return await self.call("PATCH", path, patch, media=media, query=query)

    async def delete(self, path: str, options: Object | None = None, **query: str) -> Answer:
        return await self.call("DELETE", path, options, query=query)

    async def watch(self, path: str, *, accept: str = "", **query: str) -> Stream:
        chosen = {"watch": "true", **query}
        return await self.wire.stream(_request("GET", path, None, chosen, "", accept))

    async def names(self, path: str, **query: str) -> list[str]:
        answer = await self.get(path, **query)
        assert answer.status == 200, answer.body
        return [item["metadata"]["name"] for item in answer.body["items"]]

    async def settle(self) -> None:
        """What follows a request soon has followed."""
        for _ in range(20):
            await asyncio.sleep(0)


def _request(
    method: str, path: str, body: Any, query: Mapping[str, str] | None, media: str, accept: str
) -> Request:
    headers = {"content-type": media} if media else {}
    if accept:
        headers["accept"] = accept
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Request(method, path, tuple((query or {}).items()), headers, raw)


def a_server(window: int = 10_000, clock: Clock | None = None) -> ApiServer:
    return ApiServer(clock=clock or Clock(), rng=random.Random(7), window=window)


def named(name: str, **labels: str) -> Object:
    """Metadata."""
    return {"name": name, "labels": labels} if labels else {"name": name}


def a_config_map(name: str = "a", **labels: str) -> Object:
    return {"metadata": named(name, **labels), "data": {"key": "value"}}


def a_pod(name: str = "p", **spec: Any) -> Object:
    container = {"name": "main", "image": "busybox:1"}
    return {"metadata": named(name), "spec": {"containers": [container], **spec}}


def a_job(name: str = "j", **spec: Any) -> Object:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1"}]}
    return {"metadata": named(name), "spec": {"template": {"spec": pod}, **spec}}


def a_unit(name: str = "u", **spec: Any) -> Object:
    return {
        "apiVersion": "test.kube-queue.io/v1",
        "kind": "Unit",
        "metadata": named(name),
        "spec": {"size": 1, **spec},
    }


SPEC_SCHEMA: Object = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "colour": {"type": "string", "default": "grey", "enum": ["grey", "red"]},
        "note": {"type": "string", "nullable": True, "maxLength": 5},
        "amount": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "parts": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "count": {"type": "integer", "default": 2},
                },
            },
        },
    },
}


def a_definition(
    plural: str = "units",
    kind: str = "Unit",
    *,
    scope: str = "Namespaced",
    spec: Object | None = None,
    status: bool = True,
    short_names: Sequence[str] = (),
) -> Object:
    """A CRD with one version."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.kube-queue.io"},
        "spec": {
            "group": "test.kube-queue.io",
            "scope": scope,
            "names": {"plural": plural, "kind": kind, "shortNames": list(short_names)},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} if status else {},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": spec or SPEC_SCHEMA,
                                "status": {
                                    "type": "object",
                                    "x-kubernetes-preserve-unknown-fields": True,
                                },
                            },
                        }
                    },
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"}
                    ],
                }
            ],
        },
    }
