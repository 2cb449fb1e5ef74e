"""delete and deletecollection.

Holds: the two verbs, preconditions, grace periods, propagation policies and finalizers.
"""

from dataclasses import replace

import orjson

from kube_queue.apiserver import body, meta, options
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import DeleteOptions
from kube_queue.apiserver.reading import JSON_HEADERS, find, selector, view_of
from kube_queue.apiserver.rules import rules_of
from kube_queue.apiserver.status import StatusError, conflict, success
from kube_queue.apiserver.store import NO_FIELDS, Collection, Object, Record
from kube_queue.apiserver.world import Call, World

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_POLICY_FINALIZER = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def read_options(call: Call) -> DeleteOptions:
    """What the request says about how to delete."""
    content = body.decode_object(call.request) if call.request.body else {}
    return options.delete_options(call.request, content)


def delete(world: World, call: Call) -> Response:
    """The object is gone, or marked to go."""
    chosen = read_options(call)
    record = find(call)
    kind = call.kind
    check_delete_preconditions(kind, record, chosen)
    warnings = tuple(rules_of(kind).deletion_warnings(chosen.propagation))
    left = remove(world, kind, call.collection, record, chosen)
    if left is None and not rules_of(kind).returns_deleted:
        return Response(
            200, JSON_HEADERS, orjson.dumps(success(kind, record.name, record.uid)), warnings
        )
    return Response(200, JSON_HEADERS, view_of(world, call).one(left or record), warnings)


def check_delete_preconditions(kind: Kind, record: Record, chosen: DeleteOptions) -> None:
    """A 409 when the object is not the one, or not the version, the caller means."""
    if chosen.uid and chosen.uid != record.uid:
        raise _not_the_one(
            kind,
            record.name,
            f"the UID in the precondition ({chosen.uid}) does not match the UID in record "
            f"({record.uid}). The object might have been deleted and then recreated",
        )
    if chosen.rv and chosen.rv != str(record.rv):
        raise _not_the_one(
            kind,
            record.name,
            f"the ResourceVersion in the precondition ({chosen.rv}) does not match the "
            f"ResourceVersion in record ({record.rv}). The object might have been modified",
        )


def _not_the_one(kind: Kind, name: str, why: str) -> StatusError:
    """The 409 of a delete, which names the kind where others name the resource."""
    return conflict(replace(kind, plural=kind.kind), name, why)


def remove(
    world: World, kind: Kind, collection: Collection, record: Record, chosen: DeleteOptions
) -> Record | None:
    """None when the object is gone; else the record that waits for finalizers or its grace."""
    rules = rules_of(kind)
    rules.before_delete(world, kind, record)
    obj = record.decode()
    metadata = obj["metadata"]
    grace = rules.grace(obj, chosen.grace)
    propagation = chosen.propagation or rules.default_propagation
    if propagation == "Orphan" and record.uid not in world.store.dependents:
        propagation = "Background"  # There is nothing to orphan, so nothing to wait for.
    finalizers = _finalizers(metadata, propagation)
    deleting = "deletionTimestamp" in metadata
    shorter = grace < metadata.get("deletionGracePeriodSeconds", 0)
    if not finalizers and not grace and not rules.holds(obj):
        if not chosen.dry_run:
            world.store.remove(collection, obj)
        return None
    if deleting and not shorter and finalizers == metadata.get("finalizers", []):
        return record
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if not deleting or shorter:
        metadata["deletionTimestamp"] = meta.timestamp(world.clock() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
    if not deleting and metadata.get("generation"):
        metadata["generation"] += 1
    rules.prepare_deletion(obj)
    if chosen.dry_run:
        return Record(obj, record.rv, NO_FIELDS)
    return world.store.put(collection, obj)


def _finalizers(metadata: Object, propagation: str) -> list[str]:
    kept = list(metadata.get("finalizers", ()))
    if not propagation:
        return kept
    kept = [name for name in kept if name not in (FOREGROUND, ORPHAN)]
    added = _POLICY_FINALIZER.get(propagation)
    return [*kept, added] if added else kept


def strip_finalizer(world: World, collection: Collection, record: Record, finalizer: str) -> None:
    """The object no longer waits for that finalizer; it goes if it was the last."""
    obj = record.decode()
    metadata = obj["metadata"]
    metadata["finalizers"] = [name for name in metadata.get("finalizers", ()) if name != finalizer]
    if metadata["finalizers"]:
        world.store.put(collection, obj)
        return
    del metadata["finalizers"]
    if "deletionTimestamp" in metadata and not metadata.get("deletionGracePeriodSeconds"):
        world.store.remove(collection, obj)
    else:
        world.store.put(collection, obj)


def delete_collection(world: World, call: Call) -> Response:
    """Every object that fits the selectors is gone or marked to go; answers with them."""
    chosen = read_options(call)
    listed = options.list_options(call.query)
    test = selector(call.kind, listed)
    view = view_of(world, call)
    chosen_records = [
        record
        for record in call.collection.ordered()
        if (not call.namespace or record.namespace == call.namespace)
        and (test is None or test(record))
    ]
    for record in chosen_records:
        present = call.collection.records.get(record.key)
        if present is None or present.uid != record.uid:
            continue
        try:
            remove(world, call.kind, call.collection, present, chosen)
        except StatusError as refusal:
            if refusal.code != 403 or call.kind.plural != "namespaces":
                raise
    meta_ = {"resourceVersion": str(world.store.rv)}
    return Response(200, JSON_HEADERS, view.many(chosen_records, meta_))
