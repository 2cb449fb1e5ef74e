"""Owner references: dependents go when their owners are gone.

Holds: Garbage, which follows every change. Works soon after the request that caused it, in the
order of the changes. An owner counts as alive when an object with its uid exists in the same
namespace or in none; an owner of a kind that is not served is left in doubt, and so alive.
"""

from functools import partial

from kube_queue.apiserver import deleting
from kube_queue.apiserver.deleting import FOREGROUND, ORPHAN
from kube_queue.apiserver.options import DeleteOptions
from kube_queue.apiserver.store import DELETED, Collection, Event, Object
from kube_queue.apiserver.world import World


class Garbage:
    """Deletes what has lost its owners, and holds owners until their dependents are gone."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def seen(self, collection: Collection, event: Event) -> None:
        """A change that may concern owners or dependents is looked at soon."""
        record, previous = event.record, event.previous
        if event.type == DELETED:
            if record.uid in self._store.dependents:
                self._world.later(lambda: self._owner_gone(record.uid))
        elif record.owners and (previous is None or previous.owners != record.owners):
            self._world.later(lambda: self._attend(record.uid))
        if record.leaving:
            self._world.later(lambda: self._owner_leaving(record.uid))
        if previous is not None and previous.owners:
            for owner in previous.owners:
                found = self._store.find_uid(owner)
                if found is not None and FOREGROUND in found[1].leaving:
                    self._world.later(lambda uid=owner: self._owner_leaving(uid))  # type: ignore[misc]

    def resume(self) -> None:
        """Whatever an owner that is gone or leaves has left behind is looked at soon."""
        uids = self._store.uids
        for uid, (collection, key) in tuple(uids.items()):
            record = collection.records[key]
            if record.leaving:
                self._world.later(partial(self._owner_leaving, uid))
            if any(owner not in uids for owner in record.owners):
                self._world.later(partial(self._attend, uid))

    def _owner_gone(self, uid: str) -> None:
        for dependent in tuple(self._store.dependents.get(uid, ())):
            self._attend(dependent, dead=uid)

    def _owner_leaving(self, uid: str) -> None:
        found = self._store.find_uid(uid)
        if found is None:
            return
        collection, record = found
        if ORPHAN in record.leaving:
            for dependent in tuple(self._store.dependents.get(uid, ())):
                self._disown(dependent, {uid})
            deleting.strip_finalizer(self._world, collection, record, ORPHAN)
        elif FOREGROUND in record.leaving:
            blocking = [d for d in self._store.dependents.get(uid, ()) if self._blocks(d, uid)]
            if not blocking:
                deleting.strip_finalizer(self._world, collection, record, FOREGROUND)
            for dependent in blocking:
                self._attend(dependent)

    def _blocks(self, dependent: str, owner: str) -> bool:
        found = self._store.find_uid(dependent)
        return found is not None and any(
            reference["uid"] == owner and reference.get("blockOwnerDeletion")
            for reference in found[1].decode()["metadata"].get("ownerReferences", ())
        )

    def _attend(self, uid: str, dead: str = "") -> None:
        """The object is deleted if no owner of it stays; owners that are gone are forgotten."""
        found = self._store.find_uid(uid)
        if found is None:
            return
        collection, record = found
        obj = record.decode()
        if "deletionTimestamp" in obj["metadata"]:
            return
        gone: set[str] = set()
        waiting: set[str] = set()
        references = obj["metadata"].get("ownerReferences", ())
        for reference in references:
            if not self._alive(reference, record.namespace, dead):
                gone.add(reference["uid"])
            elif reference.get("blockOwnerDeletion") and self._leaves_last(reference["uid"]):
                waiting.add(reference["uid"])
        if not gone and not waiting:
            return
        if len(gone | waiting) < len({reference["uid"] for reference in references}):
            self._disown(uid, gone | waiting)
            return
        propagation = ""
        if waiting:
            propagation = "Foreground" if uid in self._store.dependents else ""
        kind = self._world.kind_of(collection)
        chosen = DeleteOptions(False, None, propagation, uid, "")
        if kind is not None:
            deleting.remove(self._world, kind, collection, record, chosen)

    def _leaves_last(self, owner: str) -> bool:
        found = self._store.find_uid(owner)
        return found is not None and FOREGROUND in found[1].leaving

    def _alive(self, reference: Object, namespace: str, dead: str) -> bool:
        if reference["uid"] == dead:
            return False
        found = self._store.find_uid(reference["uid"])
        if found is not None:
            return found[1].namespace in ("", namespace)
        group, _, version = reference["apiVersion"].rpartition("/")
        return self._world.kinds.by_kind(group, version, reference["kind"]) is None

    def _disown(self, uid: str, owners: set[str]) -> None:
        found = self._store.find_uid(uid)
        if found is None:
            return
        collection, record = found
        obj = record.decode()
        kept = [r for r in obj["metadata"].get("ownerReferences", ()) if r["uid"] not in owners]
        if kept:
            obj["metadata"]["ownerReferences"] = kept
        else:
            obj["metadata"].pop("ownerReferences", None)
        self._store.put(collection, obj)
