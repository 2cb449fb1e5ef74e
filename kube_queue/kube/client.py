"""Verbs on typed paths: JSON objects in and out, refusals as errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from kube_queue.api.errors import Expired
from kube_queue.api.types import ResourceType
from kube_queue.kube.errors import decoded, refusal
from kube_queue.kube.transport import JSON, Query, Response, Transport

Object = dict[str, Any]
Objects = list[Object]
PatchKind = Literal["merge", "json", "strategic"]

PATCH_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PAGE_SIZE = 500
LIST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its objects and the list's version."""

    items: Objects
    resource_version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch is narrowed to; empty fields narrow nothing.

    `metadata_only`: the objects come without spec and status.
    """

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False

    def query(self) -> list[tuple[str, str]]:
        """The selectors as query parameters."""
        pairs = (("labelSelector", self.label_selector), ("fieldSelector", self.field_selector))
        return [(name, value) for name, value in pairs if value]


EVERYTHING = Selection()


class Client:
    """One API server, spoken to in objects.

    Every method raises the ApiError class of an answer >= 400 and ConnectionLost without an answer.
    `requests` counts what was asked, by verb: get list watch create update patch delete raw.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.requests: Counter[str] = Counter()

    async def get(self, resource: ResourceType, namespace: str, name: str) -> Object:
        """The object as it is now. Raises NotFound."""
        return await self._object("get", "GET", resource.path(namespace, name))

    async def list(
        self,
        resource: ResourceType,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Objects:
        """Every object selected, of all pages, apiVersion and kind filled in."""
        selection = Selection(namespace, label_selector, field_selector)
        try:
            return [item async for page in self.pages(resource, selection) for item in page.items]
        except Expired:
            # The snapshot behind the pages is gone. One page of everything cannot lose it again.
            pages = self.pages(resource, selection, page_size=0)
            return [item async for page in pages for item in page.items]

    async def pages(
        self,
        resource: ResourceType,
        selection: Selection = EVERYTHING,
        *,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Page]:
        """The pages of one consistent list; `page_size` 0 asks for one page of everything.

        Raises Expired between pages when the server forgot the list's version: start again.
        """
        token = ""
        path = resource.path(selection.namespace, "")
        while True:
            query = selection.query()
            if page_size:
                query.append(("limit", str(page_size)))
            if token:
                query.append(("continue", token))
            body = await self._object(
                "list",
                "GET",
                path,
                query=query,
                accept=METADATA_LIST if selection.metadata_only else JSON,
                timeout=LIST_SECONDS,
            )
            metadata = body.get("metadata") or {}
            token = metadata.get("continue") or ""
            items = body.get("items") or []
            for item in items:
                # Items of a list do not repeat what the list says once.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
            yield Page(items, str(metadata.get("resourceVersion", "")))
            if not token:
                return

    def watch(
        self,
        resource: ResourceType,
        resource_version: str,
        selection: Selection = EVERYTHING,
        *,
        seconds: int,
        read_timeout: float,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """An open watch from a version on, with bookmarks: raw lines of {"type", "object"}.

        The server ends it after `seconds`; `read_timeout` seconds of silence raise ConnectionLost.
        Entering raises Expired when the version is too old.
        """
        self.requests["watch"] += 1
        query = [
            *selection.query(),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(seconds)),
        ]
        path = resource.path(selection.namespace, "")
        accept = METADATA if selection.metadata_only else JSON
        return self.transport.stream(path, query=query, read_timeout=read_timeout, accept=accept)

    async def create(
        self, resource: ResourceType, obj: Mapping[str, Any], namespace: str = ""
    ) -> Object:
        """The object exists, as the server completed it. Raises AlreadyExists, Invalid."""
        place = namespace or _metadata(obj).get("namespace", "")
        return await self._object("create", "POST", resource.path(place, ""), body=obj)

    async def replace(
        self, resource: ResourceType, obj: Mapping[str, Any], *, subresource: str = ""
    ) -> Object:
        """The object is this one now. Raises Conflict when it carries an older resourceVersion."""
        metadata = _metadata(obj)
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._object("update", "PUT", path, body=obj)

    async def patch(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
    ) -> Object:
        """The patch is applied. Raises Conflict when its metadata.uid or resourceVersion differ."""
        path = resource.path(namespace, name, subresource)
        return await self._object(
            "patch", "PATCH", path, body=patch, content_type=PATCH_TYPES[kind]
        )

    async def delete(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        propagation: str = "",
        grace_seconds: int | None = None,
    ) -> Object:
        """The object is gone or going. Raises NotFound, Conflict when `uid` is another object's."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        path = resource.path(namespace, name)
        return await self._object("delete", "DELETE", path, body=options)

    async def create_subresource(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        subresource: str,
        obj: Mapping[str, Any],
        *,
        timeout: float = 30.0,
    ) -> Object:
        """The subresource took the object: a pod's binding or eviction.

        No answer within `timeout` seconds is ConnectionLost.
        """
        path = resource.path(namespace, name, subresource)
        return await self._object("create", "POST", path, body=obj, timeout=timeout)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Response:
        """The answer to any request, if it is not a refusal."""
        self.requests["raw"] += 1
        response = await self.transport.request(
            method, path, query=query, body=body, content_type=content_type, accept=accept
        )
        if response.status >= 400:
            raise refusal(response)
        return response

    async def close(self) -> None:
        """The transport is closed."""
        await self.transport.close()

    async def _object(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 30.0,
    ) -> Object:
        self.requests[verb] += 1
        response = await self.transport.request(
            method,
            path,
            query=query,
            body=None if body is None else orjson.dumps(body),
            content_type=content_type,
            accept=accept,
            timeout=timeout,
        )
        if response.status >= 400:
            raise refusal(response)
        return decoded(response)


def _metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}
