"""create: a new object, from a POST or from the first apply.

Holds: create, insert, check_namespace.
"""

from collections.abc import Sequence

from kube_queue.apiserver import body, meta, options
from kube_queue.apiserver.conversion import to_stored
from kube_queue.apiserver.judging import check_types, judge
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import WriteOptions
from kube_queue.apiserver.rules import rules_of
from kube_queue.apiserver.schema import settle
from kube_queue.apiserver.status import (
    already_exists,
    bad_request,
    forbidden,
    not_found,
)
from kube_queue.apiserver.store import NO_FIELDS, Object, Record, object_key
from kube_queue.apiserver.world import Call, World
from kube_queue.apiserver.writing import (
    SERVER_SET,
    answer,
    check_identity,
    check_place,
    check_size,
    judge_fields,
    repeated_fields,
)

_NAME_ATTEMPTS = 8


def create(world: World, call: Call) -> Response:
    """The object exists, or a 4xx says why not."""
    chosen = options.write_options(call.request)
    obj = body.decode_object(call.request)
    if call.namespace:
        check_namespace(world, call, obj)
    repeated = repeated_fields(call, chosen, obj)
    check_identity(call, obj)
    metadata = meta.read(call.kind, obj)
    metadata.pop("managedFields", None)
    check_place(call, metadata)
    return insert(world, call, chosen, obj, repeated)


def insert(
    world: World, call: Call, chosen: WriteOptions, obj: Object, repeated: Sequence[str] = ()
) -> Response:
    """The object, whose metadata has been read, exists; `repeated` fields were given twice."""
    metadata = obj["metadata"]
    if metadata.pop("resourceVersion", ""):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in SERVER_SET:
        metadata.pop(key, None)
    unknown = settle(obj, world.model(call.kind).shape)
    warnings = judge_fields(call, chosen, unknown, repeated)
    check_types(world, call.kind, obj)
    metadata["uid"] = meta.new_uid(world.rng)
    metadata["creationTimestamp"] = world.now()
    rules = rules_of(call.kind)
    if "status" in call.kind.subresources and not rules.keeps_status:
        obj.pop("status", None)
    if rules.generation(call.kind):
        metadata["generation"] = 1
    _name(world, call, metadata)
    rules.prepare(world, call.kind, obj, None)
    judge(world, call.kind, obj, None)
    check_size(call, obj, 0)
    for gate in world.gates:
        gate(call.kind, obj, None)
    to_stored(call.kind, obj)
    warnings = (*warnings, *rules.warnings(obj))
    record = _put(world, call, obj, dry_run=chosen.dry_run)
    return answer(world, call, record, 201, warnings)


def check_namespace(world: World, call: Call, obj: Object) -> None:
    """The namespace of the path takes new objects, this one being the first."""
    found = world.namespace(call.namespace)
    namespaces = world.kinds.find("", "v1", "namespaces")
    if namespaces is None:
        return
    if found is None:
        raise not_found(namespaces, call.namespace)
    if found.fields.get("status.phase") == "Terminating":
        why = (
            f"unable to create new content in namespace {call.namespace} because it is being "
            "terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {call.namespace} is being terminated",
            "field": "metadata.namespace",
        }
        metadata = obj.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        raise forbidden(call.kind, str(name), why, [cause])


def _name(world: World, call: Call, metadata: Object) -> None:
    base = metadata.get("generateName", "")
    if metadata.get("name") or not base:
        return
    for _ in range(_NAME_ATTEMPTS):
        name = meta.generated_name(base, world.rng)
        if object_key(call.namespace, name) not in call.collection.records:
            break
    metadata["name"] = name


def _put(world: World, call: Call, obj: Object, *, dry_run: bool) -> Record:
    name = obj["metadata"]["name"]
    if object_key(call.namespace, name) in call.collection.records:
        raise already_exists(call.kind, name)
    if dry_run:
        return Record(obj, world.store.rv, NO_FIELDS)
    return world.store.put(call.collection, obj)
