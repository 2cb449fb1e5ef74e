"""The objects of one kind as this process knows them, its own writes included.

An informer is always a little behind; a controller that has just created a pod and reads only the
informer creates a second one. So the answers to our own writes are put in here too, and of two
versions of an object the newer counts. (resourceVersions are compared as numbers: every server
since etcd 3 counts them up.)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from kube_queue.kube.informer import Informer, Projected

T = TypeVar("T", bound=Projected)

Handler = Callable[[T | None, T | None], None]

UNCONFIRMED_SECONDS: Final = 60.0
"""An object we wrote that no watch ever showed is forgotten after this: it came and went unseen."""
_GONE_REMEMBERED: Final = 10_000


class Table(Generic[T]):
    """One kind's objects by name, and by a group such as their owner's uid."""

    def __init__(self, informer: Informer[T], group: Callable[[T], str] | None = None) -> None:
        self._group = group
        self._objects: dict[tuple[str, str], T] = {}
        self._groups: dict[str, dict[str, T]] = {}
        self._by_uid: dict[str, T] = {}
        self._handlers: list[Handler[T]] = []
        self._unconfirmed: dict[str, asyncio.TimerHandle] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self.synced = informer.synced
        informer.add_handler(self._seen)

    def subscribe(self, handler: Handler[T]) -> None:
        """From now on `handler(old, new)` hears each change: (None, x), (a, b), (a, None)."""
        self._handlers.append(handler)

    def unsubscribe(self, handler: Handler[T]) -> None:
        """`handler` hears of nothing any more."""
        self._handlers.remove(handler)

    def with_uid(self, uid: str) -> T | None:
        """The object with this uid, or None."""
        return self._by_uid.get(uid)

    def get(self, namespace: str, name: str) -> T | None:
        """The object, or None."""
        return self._objects.get((namespace, name))

    def values(self) -> list[T]:
        """Every object."""
        return list(self._objects.values())

    def of_group(self, group: str) -> list[T]:
        """The objects of a group in the order of their names."""
        return sorted(self._groups.get(group, {}).values(), key=lambda each: each.name)

    def wrote(self, obj: T) -> None:
        """What the server answered to a write of ours is known before the watch tells."""
        if obj.uid in self._gone:
            return
        held = self._objects.get((obj.namespace, obj.name))
        if held is not None and held.uid == obj.uid and not _newer(obj, held):
            return
        if (held is None or held.uid != obj.uid) and obj.uid not in self._unconfirmed:
            loop = asyncio.get_running_loop()
            self._unconfirmed[obj.uid] = loop.call_later(UNCONFIRMED_SECONDS, self._expire, obj)
        self._put(obj)

    def _seen(self, old: T | None, new: T | None) -> None:
        if new is None:
            if old is not None:
                self._drop(old)
            return
        timer = self._unconfirmed.pop(new.uid, None)
        if timer is not None:
            timer.cancel()
        self._gone.pop(new.uid, None)
        held = self._objects.get((new.namespace, new.name))
        if held is None or held.uid != new.uid or not _newer(held, new):
            self._put(new)

    def _put(self, obj: T) -> None:
        key = (obj.namespace, obj.name)
        held = self._objects.get(key)
        if held is not None and held.uid != obj.uid:
            self._drop(held)
            held = None
        if held is not None:
            self._ungroup(held)
        self._objects[key] = obj
        self._by_uid[obj.uid] = obj
        if self._group is not None:
            self._groups.setdefault(self._group(obj), {})[obj.uid] = obj
        self._tell(held, obj)

    def _drop(self, obj: T) -> None:
        self._gone[obj.uid] = None
        if len(self._gone) > _GONE_REMEMBERED:
            self._gone.popitem(last=False)
        timer = self._unconfirmed.pop(obj.uid, None)
        if timer is not None:
            timer.cancel()
        held = self._objects.get((obj.namespace, obj.name))
        if held is None or held.uid != obj.uid:
            return
        del self._objects[(obj.namespace, obj.name)]
        self._by_uid.pop(obj.uid, None)
        self._ungroup(held)
        self._tell(held, None)

    def _expire(self, obj: T) -> None:
        if self._unconfirmed.pop(obj.uid, None) is not None:
            self._drop(obj)

    def _ungroup(self, obj: T) -> None:
        if self._group is None:
            return
        group = self._group(obj)
        members = self._groups.get(group, {})
        members.pop(obj.uid, None)
        if not members:
            self._groups.pop(group, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in tuple(self._handlers):
            handler(old, new)


def _newer(one: Projected, other: Projected) -> bool:
    return _number(one.resource_version) > _number(other.resource_version)


def _number(resource_version: str) -> int:
    return int(resource_version) if resource_version.isdigit() else 0
