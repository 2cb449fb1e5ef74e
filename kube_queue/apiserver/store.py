"""The truth: every object, one rising resourceVersion, and the recent past.

Holds: Record, Event, Collection, Store.

An object is kept as its encoded bytes plus the few facts that finding it needs; who wants to
change it decodes a fresh copy. So nothing stored can be mutated by accident, a read costs no
encoding, and a hundred thousand objects give the garbage collector nothing to walk.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import orjson

Object = dict[str, Any]
Fields = Mapping[str, str]
NO_FIELDS: Fields = {}
ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
WINDOW = 10_000
"""How many events of one collection are kept for watches that resume and lists that continue."""
WINDOW_BYTES = 64 << 20
"""How many bytes of objects those events may hold."""
SNAPSHOTS = 8


class Record:
    """One version of one object; never changed after it is stored."""

    __slots__ = (
        "deleting", "fields", "key", "labels", "leaving", "name", "namespace", "owners", "raw",
        "rv", "uid",
    )  # fmt: skip

    def __init__(self, obj: Object, rv: int, fields: Fields, raw: bytes = b"") -> None:
        meta = obj["metadata"]
        self.namespace: str = meta.get("namespace", "")
        self.name: str = meta["name"]
        self.key = object_key(self.namespace, self.name)
        self.uid: str = meta["uid"]
        self.rv = rv
        self.labels: Mapping[str, str] = meta.get("labels") or NO_FIELDS
        self.fields = fields
        owners = meta.get("ownerReferences")
        self.owners: tuple[str, ...] = tuple(ref["uid"] for ref in owners) if owners else ()
        self.deleting = "deletionTimestamp" in meta
        self.leaving: tuple[str, ...] = ()
        """The finalizers that hold an object that is being deleted."""
        if self.deleting:
            self.leaving = tuple(meta.get("finalizers", ()))
        # orjson's bytes keep the room they were written in, 4 KB at least; a copy does not.
        self.raw: bytes = raw or bytes(memoryview(orjson.dumps(obj)))

    def decode(self) -> Object:
        """A fresh copy of the object."""
        obj: Object = orjson.loads(self.raw)
        return obj


def object_key(namespace: str, name: str) -> str:
    """Where an object sorts: the order of Kubernetes lists."""
    return f"{namespace}/{name}" if namespace else name


class Event:
    """One change. `line` is its watch line, encoded once and shared by every watcher."""

    __slots__ = ("_line", "memo", "previous", "record", "rv", "type")

    def __init__(self, type_: str, record: Record, previous: Record | None) -> None:
        self.type = type_
        self.record = record
        self.previous = previous
        self.rv = record.rv
        self._line = b""
        self.memo: dict[Any, bytes] | None = None
        """Other encodings of the same event (tables, other versions), shared likewise."""

    @property
    def line(self) -> bytes:
        if not self._line:
            self._line = watch_line(self.type, self.record.raw)
        return self._line


def watch_line(type_: str, raw: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), raw)


class Subscriber(Protocol):
    """Who is told of every change of a collection, at once and in order."""

    def offer(self, event: Event) -> None: ...
    def end(self) -> None: ...


class Collection:
    """All objects of one group and plural, whatever version they are served in."""

    def __init__(
        self, group: str, plural: str, extract: Callable[[Object], Fields] | None, floor: int
    ) -> None:
        self.group = group
        self.plural = plural
        self.resource = f"{group}/{plural}"
        self.extract = extract
        self.records: dict[str, Record] = {}
        self.namespaces: dict[str, dict[str, Record]] = {}
        self.events: deque[Event] = deque()
        self._event_bytes = 0
        self.floor = floor
        """Events up to this resourceVersion are forgotten: who asks for them gets a 410."""
        self.changed = floor
        """resourceVersion of the last change."""
        self.subscribers: dict[Subscriber, int] = {}
        """Who is told, and up to which resourceVersion they know all."""
        self._sorted: list[Record] | None = None
        self._snapshots: OrderedDict[int, list[Record]] = OrderedDict()

    def within(self, namespace: str) -> Iterable[Record]:
        """The records of one namespace, or all of them ("")."""
        return (self.namespaces.get(namespace, {}) if namespace else self.records).values()

    def ordered(self) -> list[Record]:
        """Every record in list order; the result is shared: do not change it."""
        if self._sorted is None:
            self._sorted = sorted(self.records.values(), key=lambda record: record.key)
        return self._sorted

    def at(self, rv: int) -> list[Record] | None:
        """Every record as of a resourceVersion, in order; None when that past is forgotten."""
        if rv >= self.changed:
            return self.ordered()
        if rv in self._snapshots:
            return self._snapshots[rv]
        if rv < self.floor:
            return None
        past: dict[str, Record] = dict(self.records)
        for event in reversed(self.events):
            if event.rv <= rv:
                break
            if event.previous is None:
                past.pop(event.record.key, None)
            else:
                past[event.record.key] = event.previous
        snapshot = sorted(past.values(), key=lambda record: record.key)
        self.keep(rv, snapshot)
        return snapshot

    def keep(self, rv: int, snapshot: list[Record]) -> None:
        """A list that will be continued stays readable as of `rv`, for a while."""
        self._snapshots[rv] = snapshot
        self._snapshots.move_to_end(rv)
        while len(self._snapshots) > SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def since(self, rv: int) -> list[Event] | None:
        """The events after a resourceVersion, oldest first; None when some are forgotten."""
        if rv < self.floor:
            return None
        missed = []
        for event in reversed(self.events):
            if event.rv <= rv:
                break
            missed.append(event)
        missed.reverse()
        return missed

    def apply(self, event: Event, window: int) -> None:
        """The collection shows the event's record."""
        if event.type == DELETED:
            self.drop(event.record)
        else:
            self.place(event.record)
        self.changed = event.rv
        self.events.append(event)
        self._event_bytes += len(event.record.raw)
        while len(self.events) > window or self._event_bytes > WINDOW_BYTES:
            oldest = self.events.popleft()
            self._event_bytes -= len(oldest.record.raw)
            self.floor = oldest.rv

    def place(self, record: Record) -> None:
        """The record is shown, instead of an older one of its key."""
        self.records[record.key] = record
        self._sorted = None
        if record.namespace:
            self.namespaces.setdefault(record.namespace, {})[record.key] = record

    def drop(self, record: Record) -> None:
        """No record of that key is shown."""
        del self.records[record.key]
        self._sorted = None
        if record.namespace:
            inside = self.namespaces[record.namespace]
            del inside[record.key]
            if not inside:
                del self.namespaces[record.namespace]

    def tell(self, event: Event | None) -> None:
        """The subscribers know of the event; None tells them that the collection is gone."""
        if event is None:
            self.end()
            return
        for subscriber, known in tuple(self.subscribers.items()):
            if event.rv > known:
                subscriber.offer(event)

    def forget_after(self, rv: int) -> None:
        """No trace is left of events after that resourceVersion."""
        while self.events and self.events[-1].rv > rv:
            self._event_bytes -= len(self.events.pop().record.raw)
        self.changed, self.floor = min(self.changed, rv), min(self.floor, rv)
        for late in [version for version in self._snapshots if version > rv]:
            del self._snapshots[late]

    def end(self) -> None:
        """Every watch of the collection ends."""
        for subscriber in tuple(self.subscribers):
            subscriber.end()


Step = tuple[Collection, Event | None]
"""A change of a collection; None: the collection is gone."""


class Store:
    """All collections. Every method is atomic: one event loop, no await.

    Subscribers are told of a change at once, or, once `held_for` is set, when `release` says so;
    until then `undo` can take it back. `held_for` is called at every change that is held.
    """

    def __init__(self, *, window: int = WINDOW) -> None:
        self.rv = 0
        self.window = window
        self.collections: dict[tuple[str, str], Collection] = {}
        self.uids: dict[str, tuple[Collection, str]] = {}
        self.dependents: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """Owner uid -> uids of the objects that name it as an owner."""
        self.listeners: list[Callable[[Collection, Event], None]] = []
        self.held_for: Callable[[], None] | None = None
        self.held: list[Step] = []

    @property
    def told(self) -> int:
        """The resourceVersion up to which subscribers know everything."""
        if not self.held:
            return self.rv
        event = self.held[0][1]
        assert event is not None  # A collection goes in the same step as its definition.
        return event.rv - 1

    def collection(self, group: str, plural: str) -> Collection:
        """The collection of that resource; KeyError when it is not served."""
        return self.collections[(group, plural)]

    def add_collection(
        self, group: str, plural: str, extract: Callable[[Object], Fields] | None = None
    ) -> Collection:
        """The collection exists, empty or as it was."""
        found = self.collections.get((group, plural))
        if found is None:
            found = Collection(group, plural, extract, self.rv)
            self.collections[(group, plural)] = found
        else:
            found.extract = extract
        return found

    def drop_collection(self, group: str, plural: str) -> None:
        """The collection is gone and its watches end."""
        found = self.collections.pop((group, plural), None)
        if found is not None:
            self._tell(found, None)

    def find_uid(self, uid: str) -> tuple[Collection, Record] | None:
        """Where the object with that uid is, or None."""
        place = self.uids.get(uid)
        return (place[0], place[0].records[place[1]]) if place else None

    def put(self, collection: Collection, obj: Object) -> Record:
        """The object is stored under a new resourceVersion (written into it) and announced."""
        record = self._record(collection, obj)
        previous = collection.records.get(record.key)
        if previous is None:
            self.uids[record.uid] = (collection, record.key)
        if previous is None or previous.owners != record.owners:
            self._index_owners(previous, record)
        self._announce(collection, Event(ADDED if previous is None else MODIFIED, record, previous))
        return record

    def remove(self, collection: Collection, obj: Object) -> Record:
        """The object is gone; the announced last state is `obj` at a new resourceVersion."""
        record = self._record(collection, obj)
        previous = collection.records[record.key]
        self.uids.pop(previous.uid, None)
        self._index_owners(previous, None)
        self._announce(collection, Event(DELETED, record, previous))
        return record

    def _record(self, collection: Collection, obj: Object) -> Record:
        rv = self.rv + 1
        obj["metadata"]["resourceVersion"] = str(rv)
        fields = collection.extract(obj) if collection.extract else NO_FIELDS
        record = Record(obj, rv, fields)
        self.rv = rv
        return record

    def _index_owners(self, previous: Record | None, record: Record | None) -> None:
        if previous is not None:
            for owner in previous.owners:
                named = self.dependents.get(owner)
                if named is not None:
                    named.pop(previous.uid, None)
                    if not named:
                        del self.dependents[owner]
        if record is not None:
            for owner in record.owners:
                self.dependents[owner][record.uid] = None

    def _announce(self, collection: Collection, event: Event) -> None:
        collection.apply(event, self.window)
        self._tell(collection, event)
        for listener in self.listeners:
            listener(collection, event)

    def _tell(self, collection: Collection, event: Event | None) -> None:
        if self.held_for is None:
            collection.tell(event)
        else:
            self.held.append((collection, event))
            self.held_for()

    def restore(self, collection: Collection, raw: bytes) -> Record:
        """The object is there again as it was stored; nobody is told."""
        obj = orjson.loads(raw)
        fields = collection.extract(obj) if collection.extract else NO_FIELDS
        record = Record(obj, int(obj["metadata"]["resourceVersion"]), fields, raw)
        self._return(collection, record)
        return record

    def _return(self, collection: Collection, record: Record) -> None:
        collection.place(record)
        self.uids[record.uid] = (collection, record.key)
        self._index_owners(None, record)

    def release(self, count: int) -> list[Step]:
        """The oldest changes that were held, now to be told."""
        steps = self.held[:count]
        del self.held[:count]
        return steps

    def undo(self, step_back: Callable[[Collection, Event], None]) -> None:
        """What is held has never happened; `step_back` is told of each step.

        The resourceVersions are given again: nobody has seen them.
        """
        rv, steps = self.told, self.release(len(self.held))
        held_for, self.held_for = self.held_for, None
        for collection, event in reversed(steps):
            if event is None:
                self.collections[(collection.group, collection.plural)] = collection
            else:
                step_back(collection, self._back(collection, event))
        self.held_for = held_for
        self.rv = rv
        for collection in self.collections.values():
            collection.forget_after(rv)

    def _back(self, collection: Collection, event: Event) -> Event:
        record, previous = event.record, event.previous
        if event.type != DELETED:
            self._index_owners(record, None)
            if previous is None:
                collection.drop(record)
                del self.uids[record.uid]
                return Event(DELETED, record, None)
        assert previous is not None
        self._return(collection, previous)
        return Event(ADDED, previous, None)
