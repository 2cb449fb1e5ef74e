"""get, list and watch.

Holds: the three verbs, and pages that stay consistent while the world goes on.
"""

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from kube_queue.apiserver import options, selectors
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import ListOptions, version_number
from kube_queue.apiserver.selectors import Selector, SelectorError
from kube_queue.apiserver.status import (
    bad_request,
    expired,
    method_not_allowed,
    not_found,
    version_too_large,
)
from kube_queue.apiserver.store import Record
from kube_queue.apiserver.view import View, negotiate
from kube_queue.apiserver.watch import WatchStream
from kube_queue.apiserver.world import Call, World

JSON_HEADERS = {"Content-Type": "application/json"}
MIN_WATCH_SECONDS = 1800.0
_PAGE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter."
)


def view_of(world: World, call: Call) -> View:
    """How the caller wants to see the objects."""
    form = negotiate(call.request.headers.get("accept", ""))
    return View(world, call.kind, form, call.query.get("includeObject", ""))


def get(world: World, call: Call) -> Response:
    """The object, or 404."""
    record = find(call)
    asked = call.query.get("resourceVersion", "")
    if asked and version_number(asked) > world.store.rv:
        raise version_too_large(int(asked), world.store.rv)
    return Response(200, JSON_HEADERS, view_of(world, call).one(record))


def find(call: Call) -> Record:
    """The record the call names, or a 404."""
    key = f"{call.namespace}/{call.name}" if call.namespace else call.name
    record = call.collection.records.get(key)
    if record is None:
        raise not_found(call.kind, call.name)
    return record


def list_or_watch(world: World, call: Call) -> Response:
    """A list, or a watch when the query says so."""
    chosen = options.list_options(call.query)
    view = view_of(world, call)
    test = selector(call.kind, chosen)
    if chosen.watch:
        if call.request.method == "HEAD":
            raise method_not_allowed()
        return _watch(world, call, view, chosen, test)
    return _list(world, call, view, chosen, test)


def watch_one(world: World, call: Call) -> Response:
    """A watch of one object by its path."""
    named = f"metadata.name={call.name}"
    query = {**call.query, "fieldSelector": named}
    return list_or_watch(world, replace(call, query=query, name=""))


def selector(kind: Kind, chosen: ListOptions) -> Selector | None:
    """The test both selectors make; 400 when one cannot be read or is not supported."""
    try:
        labels = selectors.parse_labels(chosen.label_selector) if chosen.label_selector else None
        supported = (*selectors.EVERYWHERE, *kind.selectable)
        fields = selectors.field_test(
            selectors.parse_fields(chosen.field_selector, supported)
            if chosen.field_selector
            else ()
        )
    except SelectorError as problem:
        raise bad_request(str(problem)) from None
    return selectors.both(labels, fields)


def _list(
    world: World, call: Call, view: View, chosen: ListOptions, test: Selector | None
) -> Response:
    records, rv, start = _snapshot(world, call, chosen)
    namespace, limit = call.namespace, chosen.limit
    page, rest = _page(records, namespace, test, start, limit)
    meta: dict[str, Any] = {"resourceVersion": str(rv)}
    if rest is not None:
        call.collection.keep(rv, records)
        meta["continue"] = _token(rv, page[-1].key)
        if test is None:
            meta["remainingItemCount"] = rest
    return Response(200, JSON_HEADERS, view.many(page, meta))


def _snapshot(world: World, call: Call, chosen: ListOptions) -> tuple[list[Record], int, str]:
    """The records to page through, as of which version, and after which key."""
    current = world.store.rv
    if chosen.token:
        if chosen.rv not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        rv, start = _read_token(chosen.token)
        records = call.collection.at(rv) if rv <= current else None
        if records is None:
            raise expired(_PAGE_EXPIRED)
        return records, rv, start
    asked = version_number(chosen.rv) if chosen.rv else 0
    if asked > current:
        raise version_too_large(asked, current)
    exact = chosen.match == "Exact" or (asked and chosen.limit and not chosen.match)
    if exact and asked:
        records = call.collection.at(asked)
        if records is None:
            raise expired(f"The resourceVersion for the provided list is too old: {asked}")
        return records, asked, ""
    return call.collection.ordered(), current, ""


def _page(
    records: list[Record], namespace: str, test: Selector | None, start: str, limit: int
) -> tuple[Sequence[Record], int | None]:
    """The records of one page and how many follow; None when it is the last."""
    low, high = _bounds(records, namespace, start)
    if test is None:
        end = min(high, low + limit) if limit else high
        return records[low:end], (high - end if end < high else None)
    page: list[Record] = []
    for place in range(low, high):
        record = records[place]
        if test(record):
            if limit and len(page) == limit:
                return page, high - place
            page.append(record)
    return page, None


def _bounds(records: list[Record], namespace: str, start: str) -> tuple[int, int]:
    low, high = 0, len(records)
    if namespace:
        low = bisect_left(records, namespace + "/", key=lambda record: record.key)
        high = bisect_left(records, namespace + "0", key=lambda record: record.key)
    if start:
        low = max(low, bisect_right(records, start, key=lambda record: record.key))
    return low, max(low, high)


def _token(rv: int, key: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"rv": rv, "start": key})).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        padded = token + "=" * (-len(token) % 4)
        content = orjson.loads(base64.urlsafe_b64decode(padded))
        rv, start = content["rv"], content["start"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: it was not made by this server") from None
    if type(rv) is not int or type(start) is not str:
        raise bad_request("continue key is not valid: it was not made by this server")
    return rv, start


def _watch(
    world: World, call: Call, view: View, chosen: ListOptions, test: Selector | None
) -> Response:
    collection, store = call.collection, world.store
    stream = WatchStream(view, collection, namespace=call.namespace, test=test)
    rv = version_number(chosen.rv) if chosen.rv else 0
    wants_state = chosen.initial_events or (rv == 0 and chosen.initial_events is None)
    if rv > store.rv:
        # The version is of another life of this server: only a new list can help.
        stream.fail(expired(f"too old resource version: {rv} (current: {store.rv})"))
    elif wants_state:
        within = collection.namespaces.get(call.namespace, {}) if call.namespace else None
        stream.begin_with(collection.ordered() if within is None else list(within.values()))
        if chosen.initial_events and chosen.bookmarks:
            stream.say(view.bookmark(store.rv, initial_end=True))
    elif rv:
        missed = collection.since(rv)
        if missed is None:
            stream.fail(expired(f"too old resource version: {rv} ({collection.floor})"))
        for event in missed or ():
            stream.offer(event)
    if not stream.ended:
        timeout = chosen.timeout or MIN_WATCH_SECONDS * (1 + world.rng.random())
        stream.start(timeout, bookmarks=chosen.bookmarks)
    return Response(200, {**JSON_HEADERS, "Cache-Control": "no-cache, private"}, stream)
