"""ResourceQuota: what a namespace uses, kept in status.used, and what it may no longer add.

Holds: Quotas, which follows every change. What is used is known at once, when a change happens, so
that no two requests can share the same rest; it is written to status soon after.
"""

from functools import partial

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
from kube_queue.apiserver.world import World

RESOURCE = ("", "resourcequotas")


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


class Quotas:
    """Every quota of every namespace."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._quotas: dict[str, dict[str, _Quota]] = {}
        """Namespace -> name -> quota."""
        self._marked: set[tuple[str, str]] = set()

    def seen(self, collection: Collection, event: Event) -> None:
        """What an object uses is counted, or no longer."""
        record = event.record
        if (collection.group, collection.plural) == RESOURCE:
            self._quota_seen(event)
        for quota in self._quotas.get(record.namespace, {}).values():
            share: Amounts = {}
            if event.type != DELETED and countable(collection.group, collection.plural, quota.hard):
                share = self._share(quota, collection, record)
            if quota.count(record.uid, share):
                self._mark(record.namespace, quota.name)

    def _share(self, quota: _Quota, collection: Collection, record: Record) -> Amounts:
        now = self._world.clock()
        return quota.share(collection.group, collection.plural, record.decode(), now)

    def _quota_seen(self, event: Event) -> None:
        record, within = event.record, self._quotas.setdefault(event.record.namespace, {})
        if event.type == DELETED:
            within.pop(record.name, None)
            return
        known, quota = within.get(record.name), _Quota(record)
        if known is not None and known.spec == quota.spec:
            known.obj = quota.obj
        else:
            within[record.name] = quota
            for collection in self._world.store.collections.values():
                if countable(collection.group, collection.plural, quota.hard):
                    for counted in tuple(collection.within(record.namespace)):
                        quota.count(counted.uid, self._share(quota, collection, counted))
        self._mark(record.namespace, record.name)

    def resume(self) -> None:
        """All is counted anew, as the store says now."""
        self._quotas.clear()
        self._marked.clear()
        for record in tuple(self._world.store.collection(*RESOURCE).records.values()):
            self._quota_seen(Event("ADDED", record, None))

    def _mark(self, namespace: str, name: str) -> None:
        if (namespace, name) not in self._marked:
            self._marked.add((namespace, name))
            self._world.later(partial(self._write, namespace, name))

    def _write(self, namespace: str, name: str) -> None:
        """The quota's status says what is used."""
        self._marked.discard((namespace, name))
        quota = self._quotas.get(namespace, {}).get(name)
        if quota is None:
            return
        used = {resource: str(value) for resource, value in quota.used.items()}
        status = {"hard": quota.spec.get("hard", {}), "used": used}
        if quota.obj.get("status") != status:
            obj = {**quota.obj, "metadata": dict(quota.obj["metadata"]), "status": status}
            self._world.store.put(self._world.store.collection(*RESOURCE), obj)

    def admit(self, kind: Kind, obj: Object, old: Object | None) -> None:
        """Raises a 403 when the namespace may not have the object, or so much of it."""
        if old is not None and kind.plural == "pods":
            return  # What a pod asks for does not change.
        quotas = self._quotas.get(obj["metadata"].get("namespace", ""), {})
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
