"""What must be emptied before it can go: namespaces and custom resource definitions.

Holds: Lifecycle, which follows every change and finishes what is leaving once nothing is left.
"""

from kube_queue.apiserver import deleting
from kube_queue.apiserver.crds import RESOURCE
from kube_queue.apiserver.options import DeleteOptions
from kube_queue.apiserver.rules.crds import CLEANUP
from kube_queue.apiserver.store import DELETED, MODIFIED, Collection, Event, Record
from kube_queue.apiserver.world import World

_BACKGROUND = DeleteOptions(False, None, "Background", "", "")


class Lifecycle:
    """Empties and then removes what is marked to go."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._namespaces: set[str] = set()
        self._resources: dict[tuple[str, str], str] = {}
        """Resources whose definition is leaving -> the definition's name."""

    def seen(self, collection: Collection, event: Event) -> None:
        """Marks and removals lead to the next step, soon."""
        record, resource = event.record, (collection.group, collection.plural)
        if resource == ("", "namespaces"):
            self._namespace_seen(event)
        elif resource == RESOURCE:
            self._definition_seen(event)
        if event.type != DELETED:
            return
        if record.namespace in self._namespaces:
            self._world.later(lambda: self._finish_namespace(record.namespace))
        name = self._resources.get(resource)
        if name is not None:
            self._world.later(lambda: self._finish_definition(name))

    def resume(self) -> None:
        """What is leaving is followed, and nothing else, as the store says now."""
        self._namespaces.clear()
        self._resources.clear()
        for record in tuple(self._store.collection("", "namespaces").records.values()):
            self._namespace_seen(Event(MODIFIED, record, None))
        for record in tuple(self._store.collection(*RESOURCE).records.values()):
            self._definition_seen(Event(MODIFIED, record, None))

    def _namespace_seen(self, event: Event) -> None:
        name = event.record.name
        if event.type == DELETED:
            self._namespaces.discard(name)
        elif name not in self._namespaces and event.record.deleting:
            self._namespaces.add(name)
            self._world.later(lambda: self._empty_namespace(name))
        elif name in self._namespaces:
            self._world.later(lambda: self._finish_namespace(name))

    def _definition_seen(self, event: Event) -> None:
        plural, _, group = event.record.name.partition(".")
        if event.type == DELETED:
            self._resources.pop((group, plural), None)
        elif CLEANUP in event.record.leaving and (group, plural) not in self._resources:
            self._resources[(group, plural)] = event.record.name
            self._world.later(lambda: self._empty_definition(event.record.name))

    def _delete_all(self, collection: Collection, records: list[Record]) -> None:
        kind = self._world.kind_of(collection)
        for record in records:
            present = collection.records.get(record.key)
            if kind is not None and present is not None and not present.deleting:
                deleting.remove(self._world, kind, collection, present, _BACKGROUND)

    def _empty_namespace(self, name: str) -> None:
        for collection in tuple(self._store.collections.values()):
            self._delete_all(collection, list(collection.namespaces.get(name, {}).values()))
        self._finish_namespace(name)

    def _finish_namespace(self, name: str) -> None:
        collection = self._store.collection("", "namespaces")
        record = collection.records.get(name)
        if (
            record is None
            or not record.deleting
            or any(name in other.namespaces for other in self._store.collections.values())
        ):
            return
        obj = record.decode()
        held = obj.setdefault("spec", {}).pop("finalizers", None)
        if not obj["metadata"].get("finalizers"):
            self._store.remove(collection, obj)
        elif held:
            self._store.put(collection, obj)

    def _empty_definition(self, name: str) -> None:
        plural, _, group = name.partition(".")
        collection = self._store.collections.get((group, plural))
        if collection is not None:
            self._delete_all(collection, list(collection.records.values()))
        self._finish_definition(name)

    def _finish_definition(self, name: str) -> None:
        plural, _, group = name.partition(".")
        definitions = self._store.collection(*RESOURCE)
        record = definitions.records.get(name)
        instances = self._store.collections.get((group, plural))
        waits = instances is not None and instances.records
        if record is None or not record.deleting or waits:
            return
        deleting.strip_finalizer(self._world, definitions, record, CLEANUP)
