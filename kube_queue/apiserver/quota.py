"""ResourceQuota: what a namespace uses, kept in status.used, and what it may no longer add.

Holds: Quotas, which follows every change. What is used is known at once, when a change happens, so
that no two requests can share the same rest; it is written to status soon after.
"""

from kube_queue.apiserver.counting import Counting
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.usage import (
    ZERO,
    Amount,
    Amounts,
    added,
    countable,
    fits_scopes,
    missing_requests,
    usage,
)
from kube_queue.apiserver.status import forbidden
from kube_queue.apiserver.store import DELETED, Collection, Event, Object, Record


class _Quota:
    """One quota: what it allows, who uses it and how much that is in all."""

    __slots__ = ("hard", "name", "obj", "shares", "spec", "used")

    def __init__(self, record: Record) -> None:
        self.name = record.name
        self.obj = record.decode()
        self.spec = self.obj.get("spec", {})
        stated = self.spec.get("hard", {})
        self.hard: Amounts = {name: Amount.read(text) for name, text in stated.items()}
        self.used: Amounts = dict.fromkeys(self.hard, ZERO)
        self.shares: dict[str, Amounts] = {}
        """Uid of an object -> what it uses."""

    def share(self, group: str, plural: str, obj: Object, now: float) -> Amounts:
        """What the object takes of this quota; {} when the quota does not count it."""
        used = usage(group, plural, obj, now)
        mine = {name: value for name, value in used.items() if name in self.hard}
        return mine if mine and fits_scopes(self.spec, plural, obj) else {}

    def count(self, uid: str, share: Amounts) -> bool:
        """The object uses that much; False when it did already."""
        before = self.shares.pop(uid, {})
        if share:
            self.shares[uid] = share
        if before == share:
            return False
        for name, value in before.items():
            self.used[name] -= value
        self.used = added(self.used, share)
        return True


class Quotas(Counting[_Quota]):
    """Every quota of every namespace."""

    resource = ("", "resourcequotas")

    def seen(self, collection: Collection, event: Event) -> None:
        """What an object uses is counted, or no longer."""
        record = event.record
        if (collection.group, collection.plural) == self.resource:
            self._note(event)
        for quota in self.of(record.namespace).values():
            share: Amounts = {}
            if event.type != DELETED and countable(collection.group, collection.plural, quota.hard):
                share = self._share(quota, collection, record)
            if quota.count(record.uid, share):
                self._mark(record.namespace, quota.name)

    def _share(self, quota: _Quota, collection: Collection, record: Record) -> Amounts:
        now = self._world.clock()
        return quota.share(collection.group, collection.plural, record.decode(), now)

    def _begin(self, record: Record) -> _Quota:
        return _Quota(record)

    def _counts_alike(self, one: _Quota, other: _Quota) -> bool:
        return bool(one.spec == other.spec)

    def _count_all(self, counted: _Quota, namespace: str) -> None:
        for collection in self._world.store.collections.values():
            if countable(collection.group, collection.plural, counted.hard):
                for record in tuple(collection.within(namespace)):
                    counted.count(record.uid, self._share(counted, collection, record))

    def _status(self, counted: _Quota) -> Object:
        used = {resource: str(value) for resource, value in counted.used.items()}
        return {"hard": counted.spec.get("hard", {}), "used": used}

    def admit(self, kind: Kind, obj: Object, old: Object | None) -> None:
        """Raises a 403 when the namespace may not have the object, or so much of it."""
        if old is not None and kind.plural == "pods":
            return  # What a pod asks for does not change.
        quotas = self.of(obj["metadata"].get("namespace", ""))
        for _, quota in sorted(quotas.items()):
            self._admit(quota, kind, obj, old)

    def _admit(self, quota: _Quota, kind: Kind, obj: Object, old: Object | None) -> None:
        name, now = obj["metadata"]["name"], self._world.clock()
        share = quota.share(kind.group, kind.plural, obj, now)
        if share and kind.plural == "pods":
            missing = missing_requests(quota.hard, obj)
            if missing:
                raise forbidden(kind, name, f"failed quota: {quota.name}: {missing}")
        before = {} if old is None else quota.share(kind.group, kind.plural, old, now)
        more = {resource: value - before.get(resource, ZERO) for resource, value in share.items()}
        exceeded = [
            resource
            for resource, value in sorted(more.items())
            if value.number > 0
            and (quota.used[resource] + value).number > quota.hard[resource].number
        ]
        if exceeded:
            told = [
                f"{word}: {','.join(f'{resource}={of[resource]}' for resource in exceeded)}"
                for word, of in (("requested", more), ("used", quota.used), ("limited", quota.hard))
            ]
            raise forbidden(kind, name, f"exceeded quota: {quota.name}, {', '.join(told)}")
