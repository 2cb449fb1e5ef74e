"""What every verb works on: the store, the kinds with their compiled schemas, clock and chance.

Holds: World, Model, Call.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import orjson

from kube_queue.apiserver.builtin import definitions, load_kinds
from kube_queue.apiserver.kinds import GVR, Kind, KindRegistry
from kube_queue.apiserver.messages import Request
from kube_queue.apiserver.meta import timestamp
from kube_queue.apiserver.schema import REF_PREFIX, Schema, Shape, compile_builtin, compile_custom
from kube_queue.apiserver.store import Collection, Object, Record, Store
from kube_queue.apiserver.strategic import Merging
from kube_queue.apiserver.validation import Validator

_BATCH = 200
_TEXT = {"type": "string"}
_OBJECT_META = {"$ref": f"{REF_PREFIX}io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A kind's compiled schema. Objects stored before `since` may lack its defaults."""

    shape: Shape
    validator: Validator
    since: int
    fills: bool
    """Whether any default exists."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one resource: a collection of a kind, or one object of it."""

    request: Request
    query: Mapping[str, str]
    kind: Kind
    collection: Collection
    namespace: str
    name: str
    subresource: str


_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_SCHEMA = {"$ref": f"{REF_PREFIX}{_APIEXTENSIONS}.JSONSchemaProps"}
_CHOICES = {
    f"{_APIEXTENSIONS}.JSONSchemaPropsOrBool": {"anyOf": [_SCHEMA, {"type": "boolean"}]},
    f"{_APIEXTENSIONS}.JSONSchemaPropsOrArray": {"anyOf": [_SCHEMA, {"type": "array"}]},
}
"""What these two really are: their published schemas accept anything."""


@cache
def _builtin_model(gvr: GVR) -> Model:
    """Compiled once for all servers of a process: built-in schemas never change."""
    schema = next(kind.schema for kind in load_kinds() if kind.gvr == gvr)
    shared = definitions()
    shape = compile_builtin(schema, {**shared, **dict.fromkeys(_CHOICES, _SCHEMA)})
    return Model(shape, Validator(schema, {**shared, **_CHOICES}), 0, fills=False)


def _with_metadata(kind: Kind) -> Schema:
    """The kind's schema; that of a custom kind need not say what every object has."""
    if kind.builtin:
        return kind.schema
    said = kind.schema.get("properties", {})
    common = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": _OBJECT_META}
    return {**kind.schema, "properties": {**said, **common}}


class World:
    """The server's mutable state and its doors to time and chance."""

    def __init__(self, store: Store, clock: Callable[[], float], rng: random.Random) -> None:
        self.store = store
        self.kinds = KindRegistry()
        self.clock = clock
        self.rng = rng
        self.gates: list[Callable[[Kind, Object, Object | None], None]] = []
        """Asked of every object before it is stored, with what it replaces; they raise a 403."""
        self.guards: list[Callable[[Object], None]] = []
        """Asked of every pod before it is evicted; they raise a 429."""
        self._models: dict[GVR, Model] = {}
        self._mergings: dict[GVR, Merging] = {}
        self._work: deque[Callable[[], None]] = deque()
        self._handle: asyncio.Handle | None = None

    def now(self) -> str:
        """The present as a timestamp."""
        return timestamp(self.clock())

    def model(self, kind: Kind) -> Model:
        """The kind's compiled schema, compiled when first needed."""
        found = self._models.get(kind.gvr)
        if found is None:
            found = self._compile(kind)
            self._models[kind.gvr] = found
        return found

    def _compile(self, kind: Kind) -> Model:
        if kind.builtin:
            return _builtin_model(kind.gvr)
        fills = b'"default":' in orjson.dumps(kind.schema)
        return Model(
            compile_custom(kind.schema), Validator(kind.schema), self.store.rv, fills=fills
        )

    def merging(self, kind: Kind) -> Merging:
        """How patches merge the kind's lists."""
        found = self._mergings.get(kind.gvr)
        if found is None:
            found = self._mergings[kind.gvr] = Merging(_with_metadata(kind), definitions())
        return found

    def serve(self, kind: Kind, model: Model | None = None) -> None:
        """The kind is served from now on."""
        self._models.pop(kind.gvr, None)
        self._mergings.pop(kind.gvr, None)
        if model is not None:
            self._models[kind.gvr] = model
        self.kinds.add(kind)

    def stop_serving(self, kind: Kind) -> None:
        """The kind is no longer served."""
        self._models.pop(kind.gvr, None)
        self._mergings.pop(kind.gvr, None)
        self.kinds.remove(kind)

    def kind_of(self, collection: Collection) -> Kind | None:
        """A kind whose objects the collection holds; None when none is served."""
        kinds = [k for k in self.kinds.of_group(collection.group) if k.plural == collection.plural]
        return next((kind for kind in kinds if kind.storage), kinds[0] if kinds else None)

    def namespace(self, name: str) -> Record | None:
        """The namespace's record, or None."""
        return self.store.collection("", "namespaces").records.get(name)

    def later(self, work: Callable[[], None]) -> None:
        """The work runs soon, after the present request, in the order given."""
        self._work.append(work)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._handle = None
        for _ in range(min(_BATCH, len(self._work))):
            self._work.popleft()()
        if self._work and self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._run)

    def forget_work(self) -> None:
        """What was to run soon does not."""
        self._work.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """No work runs any more and every watch ends."""
        self.forget_work()
        for collection in self.store.collections.values():
            collection.end()
