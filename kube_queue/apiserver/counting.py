"""Kinds whose status says how much of something there is in their namespace: quotas and budgets.

Holds: Counted, Counting. What is counted is known at once, when a change happens; it is written to
the object's status soon after.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar, Generic, Protocol, TypeVar

from kube_queue.apiserver.store import DELETED, Event, Object, Record
from kube_queue.apiserver.world import World


class Counted(Protocol):
    """One object of the kind, with what has been counted for it."""

    name: str
    obj: Object


C = TypeVar("C", bound=Counted)


class Counting(ABC, Generic[C]):
    """Every object of the kind, in every namespace."""

    resource: ClassVar[tuple[str, str]]
    """Group and plural of the kind."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, dict[str, C]] = {}
        """Namespace -> name -> object."""
        self._marked: set[tuple[str, str]] = set()

    def resume(self) -> None:
        """All is counted anew, as the store says now."""
        self._known.clear()
        self._marked.clear()
        for record in tuple(self._world.store.collection(*self.resource).records.values()):
            self._note(Event("ADDED", record, None))

    def of(self, namespace: str) -> dict[str, C]:
        """Name -> object, of one namespace."""
        return self._known.get(namespace, {})

    @abstractmethod
    def _begin(self, record: Record) -> C:
        """The object, with nothing counted."""

    @abstractmethod
    def _counts_alike(self, one: C, other: C) -> bool:
        """Whether what was counted for the one holds for the other."""

    @abstractmethod
    def _count_all(self, counted: C, namespace: str) -> None:
        """What is in the namespace has been counted for the object."""

    @abstractmethod
    def _status(self, counted: C) -> Object:
        """What the object's status is to say."""

    def _note(self, event: Event) -> None:
        """An object of the kind itself has changed."""
        record, within = event.record, self._known.setdefault(event.record.namespace, {})
        if event.type == DELETED:
            within.pop(record.name, None)
            return
        known, counted = within.get(record.name), self._begin(record)
        if known is not None and self._counts_alike(known, counted):
            known.obj = counted.obj
        else:
            within[record.name] = counted
            self._count_all(counted, record.namespace)
        self._mark(record.namespace, record.name)

    def _mark(self, namespace: str, name: str) -> None:
        """The object's status is written soon."""
        if (namespace, name) not in self._marked:
            self._marked.add((namespace, name))
            self._world.later(partial(self._write, namespace, name))

    def _write(self, namespace: str, name: str) -> None:
        self._marked.discard((namespace, name))
        counted = self.of(namespace).get(name)
        if counted is None:
            return
        status = self._status(counted)
        if counted.obj.get("status") != status:
            obj = {**counted.obj, "metadata": dict(counted.obj["metadata"]), "status": status}
            self._world.store.put(self._world.store.collection(*self.resource), obj)
