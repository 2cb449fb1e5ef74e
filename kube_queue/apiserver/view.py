"""How objects look to one caller: plain, as a table, as metadata only, in the version asked for.

Holds: View, negotiate. A record whose stored bytes are already the answer is never decoded.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from kube_queue.apiserver import table
from kube_queue.apiserver.conversion import converted, to_served
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.schema import settle
from kube_queue.apiserver.status import bad_request, not_acceptable
from kube_queue.apiserver.store import Event, Object, Record, watch_line
from kube_queue.apiserver.world import World

PLAIN, TABLE, METADATA = "", "Table", "PartialObjectMetadata"
_META_TYPES = {"Table": TABLE, "PartialObjectMetadata": METADATA}
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def negotiate(accept: str) -> str:
    """The first form of the Accept header that is served; 406 when none is."""
    if not accept or accept == "application/json":
        return PLAIN
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        if media not in ("application/json", "*/*"):
            continue
        chosen = dict(part.split("=", 1) for part in parameters if "=" in part)
        form = chosen.get("as", "")
        if not form:
            return PLAIN
        known = _META_TYPES.get(form.removesuffix("List"))
        if known and chosen.get("g") == "meta.k8s.io" and chosen.get("v") == "v1":
            return known
    raise not_acceptable(accept)


class View:
    """The look of one kind's objects for one request."""

    def __init__(self, world: World, kind: Kind, form: str, include: str = "") -> None:
        self.world = world
        self.kind = kind
        self.form = form
        self.include = include or "Metadata"
        if form == TABLE and self.include not in ("None", "Metadata", "Object"):
            raise bad_request(
                f'includeObject: Unsupported value: "{include}": use None, Metadata or Object'
            )
        self.key = (kind.version, form, self.include)
        model = None if kind.builtin else world.model(kind)
        self._fill_before = model.since if model is not None and model.fills else -1
        self._as_stored = not converted(kind)

    def raw(self, record: Record) -> bytes:
        """The object in the version asked for, encoded."""
        if self._as_stored and record.rv > self._fill_before:
            return record.raw
        return orjson.dumps(self.object(record))

    def object(self, record: Record) -> Object:
        """The object in the version asked for, decoded."""
        obj = record.decode()
        if not self._as_stored or record.rv <= self._fill_before:
            to_served(self.kind, obj)
            settle(obj, self.world.model(self.kind).shape)
        return obj

    def one(self, record: Record) -> bytes:
        """The body of an answer that is one object."""
        return self.shaped(self.raw(record))

    def shaped(self, raw: bytes) -> bytes:
        """One encoded object in the form asked for."""
        if self.form == PLAIN:
            return raw
        obj = orjson.loads(raw)
        if self.form == METADATA:
            return orjson.dumps(_metadata_only(obj))
        version = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return orjson.dumps(self._table([obj], version))

    def _table(self, objects: list[Object], list_meta: dict[str, Any]) -> dict[str, Any]:
        return table.render(
            self.kind, objects, list_meta=list_meta, now=self.world.clock(), include=self.include
        )

    def many(self, records: Sequence[Record], list_meta: dict[str, Any]) -> bytes:
        """The body of a list."""
        if self.form == TABLE:
            return orjson.dumps(self._table([self.object(r) for r in records], list_meta))
        if self.form == METADATA:
            items: Iterable[bytes] = (
                orjson.dumps(_metadata_only(self.object(record))) for record in records
            )
            kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        else:
            items = map(self.raw, records)
            kind, version = self.kind.list_kind, self.kind.api_version
        head = {"kind": kind, "apiVersion": version, "metadata": list_meta}
        return b'%b,"items":[%b]}' % (orjson.dumps(head)[:-1], b",".join(items))

    def line(self, type_: str, event: Event) -> bytes:
        """One watch line for an event, announced as `type_`."""
        if self.form == PLAIN and self._as_stored:
            if type_ == event.type:
                return event.line
            return watch_line(type_, event.record.raw)
        if event.memo is None:
            event.memo = {}
        key = (type_, *self.key)
        if key not in event.memo:
            event.memo[key] = watch_line(type_, self.one(event.record))
        return event.memo[key]

    def left(self, event: Event) -> bytes:
        """The DELETED line for an object that no longer fits the selector."""
        assert event.previous is not None
        obj = self.object(event.previous)
        obj["metadata"]["resourceVersion"] = str(event.rv)
        return watch_line("DELETED", self.shaped(orjson.dumps(obj)))

    def initial(self, record: Record) -> bytes:
        """The ADDED line for an object that is there when a watch begins."""
        return watch_line("ADDED", self.one(record))

    def bookmark(self, rv: int, *, initial_end: bool = False) -> bytes:
        """A line that only says how far the watch has come."""
        meta: dict[str, Any] = {"resourceVersion": str(rv)}
        if initial_end:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Object = {
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version,
            "metadata": meta,
        }
        if self.form == TABLE:
            obj = self._table([], {"resourceVersion": str(rv)})
            if initial_end:
                obj["rows"] = [{"cells": [], "object": _metadata_only({"metadata": meta})}]
        elif self.form == METADATA:
            obj = _metadata_only(obj)
        return watch_line("BOOKMARK", orjson.dumps(obj))


def _metadata_only(obj: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
