"""create, update and patch.

Holds: the three verbs and the steps they share, in this order: decode, metadata, precondition,
what the request may touch, unknown fields and defaults, the kind's own rules, judgement, store.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from kube_queue.apiserver import body, managers, meta, options, patches, strategic
from kube_queue.apiserver.conversion import to_served, to_stored
from kube_queue.apiserver.judging import check_types, judge
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import WriteOptions
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.reading import JSON_HEADERS, find, view_of
from kube_queue.apiserver.rules import Rules, rules_of
from kube_queue.apiserver.schema import settle
from kube_queue.apiserver.status import (
    FieldError,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    field_invalid,
    forbidden,
    invalid,
    not_found,
    too_large,
    unsupported_media_type,
)
from kube_queue.apiserver.store import NO_FIELDS, Object, Record, object_key
from kube_queue.apiserver.world import Call, World

_SERVER_SET = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
_NAME_ATTEMPTS = 8
OBJECT_LIMIT = 3 << 20
"""Bytes of one object."""
_SMALL = 16 << 10
"""What is sent and what was there: from less, no object of that size comes."""


@dataclass(frozen=True, slots=True)
class _Change:
    """An update on its way: what it was and what the request makes of it."""

    record: Record
    old: Object
    new: Object
    warnings: tuple[str, ...]


def create(world: World, call: Call) -> Response:
    """The object exists, or a 4xx says why not."""
    chosen = options.write_options(call.request)
    obj = body.decode_object(call.request)
    if call.namespace:
        check_namespace(world, call, obj)
    repeated = _repeated(call, chosen, obj)
    _check_identity(call, obj)
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
    for key in _SERVER_SET:
        metadata.pop(key, None)
    unknown = settle(obj, world.model(call.kind).shape)
    warnings = _judge_fields(call, chosen, unknown, repeated)
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
    _check_size(call, obj, 0)
    for gate in world.gates:
        gate(call.kind, obj, None)
    to_stored(call.kind, obj)
    warnings = (*warnings, *rules.warnings(obj))
    record = _put(world, call, obj, dry_run=chosen.dry_run)
    return _answer(world, call, record, 201, warnings)


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


def _check_identity(call: Call, obj: Object) -> None:
    """apiVersion and kind are those of the path; a built-in object may leave them out."""
    kind = call.kind
    for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        value = obj.get(key)
        if value is None or value == "":
            if not kind.builtin:
                raise bad_request(f"Object '{key[0].upper()}{key[1:]}' is missing in the object")
            obj[key] = wanted
        elif value != wanted:
            if key == "apiVersion":
                raise bad_request(
                    f"the API version in the data ({value}) does not match the expected API "
                    f"version ({wanted})"
                )
            raise bad_request(f"the kind in the data ({value}) does not match the kind {wanted}")


def check_place(call: Call, metadata: Object) -> None:
    """The object is in the namespace of the path, and says so."""
    if not call.kind.namespaced:
        metadata.pop("namespace", None)
        return
    stated = metadata.setdefault("namespace", call.namespace) or call.namespace
    if stated != call.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = call.namespace


def _repeated(call: Call, chosen: WriteOptions, decoded: Any) -> list[str]:
    if chosen.validation == "Ignore" or body.media_type(call.request) == body.PROTOBUF:
        return []
    return body.duplicate_fields(call.request.body, decoded)


def _judge_fields(
    call: Call, chosen: WriteOptions, unknown: list[str], repeated: Sequence[str]
) -> tuple[str, ...]:
    problems = body.field_problems(unknown, list(repeated))
    kind = call.kind
    return body.judge_fields(
        problems,
        chosen.validation,
        lambda text: bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'
        ),
    )


def _check_size(call: Call, obj: Object, before: int) -> None:
    """A 413 when defaults, or one patch after another, have made the object too large."""
    if before + len(call.request.body) > _SMALL and len(orjson.dumps(obj)) > OBJECT_LIMIT:
        raise too_large(OBJECT_LIMIT)


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


def _answer(
    world: World, call: Call, record: Record, status: int, warnings: tuple[str, ...]
) -> Response:
    raw = view_of(world, call).one(record)
    return Response(status, JSON_HEADERS, raw, warnings)


def update(world: World, call: Call) -> Response:
    """The object is replaced, if it still is what the caller believes."""
    chosen = options.write_options(call.request)
    record = find(call)
    new = body.decode_object(call.request)
    repeated = _repeated(call, chosen, new)
    _check_identity(call, new)
    metadata = meta.read(call.kind, new)
    check_place(call, metadata)
    if not metadata.get("name"):
        raise bad_request(
            f"the name of the object ({call.name} based on URL) was undeterminable: name must be "
            "provided"
        )
    if metadata["name"] != call.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    if not metadata.get("resourceVersion") and not call.kind.builtin:
        problem = field_invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid(call.kind.group, call.kind.plural, call.name, [problem])
    old = _before(world, call.kind, record)
    unknown = settle(new, world.model(call.kind).shape)
    warnings = _judge_fields(call, chosen, unknown, repeated)
    check_types(world, call.kind, new)
    return _finish(world, call, chosen, _Change(record, old, new, warnings))


def patch(world: World, call: Call) -> Response:
    """The object is changed as the patch says, in one step."""
    chosen = options.write_options(call.request)
    document = patch_document(call)
    record = find(call)
    repeated = _repeated(call, chosen, document)
    new = record.decode()
    to_served(call.kind, new)
    new = patched(new, body.media_type(call.request), document, world.merging(call.kind))
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        raise bad_request("the patch does not leave an object with metadata")
    body.check_depth(new)
    return become(world, call, chosen, new, repeated)


def become(
    world: World, call: Call, chosen: WriteOptions, new: Object, repeated: Sequence[str] = ()
) -> Response:
    """The object is what a patch has made of it; `repeated` fields were given twice."""
    record = find(call)
    old = _before(world, call.kind, record)
    with _as_of_patch(call):
        _check_identity(call, new)
        metadata = meta.read(call.kind, new)
    if metadata.get("name") != call.name:
        raise bad_request(
            f"the name of the object ({metadata.get('name')}) does not match the name on the URL "
            f"({call.name})"
        )
    check_place(call, metadata)
    unknown = settle(new, world.model(call.kind).shape)
    warnings = body.judge_fields(
        body.field_problems(unknown, list(repeated)),
        chosen.validation,
        lambda text: _patch_invalid(call, text),
    )
    with _as_of_patch(call):
        check_types(world, call.kind, new)
    _check_same_object(call.kind, record, metadata)
    return _finish(world, call, chosen, _Change(record, old, new, warnings))


def _check_same_object(kind: Kind, record: Record, metadata: Object) -> None:
    # To a patch a uid is a field like any other, and one that never changes; to PUT and DELETE it
    # says which object is meant.
    check_preconditions(kind, record, "", metadata.get("resourceVersion", ""))
    uid = metadata.get("uid", "")
    if uid and uid != record.uid:
        problem = field_invalid("metadata.uid", uid, "field is immutable")
        raise invalid(kind.group, kind.kind, record.name, [problem])


def _before(world: World, kind: Kind, record: Record) -> Object:
    """The object as it was served until now, with defaults that came after it was stored."""
    old = record.decode()
    to_served(kind, old)
    model = world.model(kind)
    if model.fills and record.rv <= model.since:
        settle(old, model.shape)
    return old


@contextmanager
def _as_of_patch(call: Call) -> Iterator[None]:
    """What cannot be decoded after a patch is the patch's fault: a 422, as in Kubernetes."""
    try:
        yield
    except StatusError as problem:
        raise (_patch_invalid(call, str(problem)) if problem.code == 400 else problem) from None


def _patch_invalid(call: Call, text: str) -> StatusError:
    problem = FieldError("patch", "FieldValueInvalid", f"Invalid value: {text}")
    return invalid(call.kind.group, call.kind.kind, call.name, [problem])


def patch_document(call: Call) -> Any:
    """The patch a request carries; 415 when the kind takes none of its type."""
    kinds = [body.JSON_PATCH, body.MERGE]
    if call.kind.builtin:
        kinds.append(body.STRATEGIC)
    asked = body.media_type(call.request)
    if asked not in kinds:
        raise unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join([*kinds, body.APPLY])
        )
    return body.decode_json(call.request.body)


def patched(target: Any, asked: str, document: Any, merging: strategic.Merging) -> Any:
    """The target, changed by a patch of the media type asked for."""
    try:
        if asked == body.JSON_PATCH:
            return patches.json_patch(target, document)
        if not isinstance(document, dict):
            raise bad_request("the patch must be an object")
        if asked == body.MERGE:
            return patches.merge_patch(target, document)
        return strategic.strategic_patch(target, document, merging)
    except patches.PatchMalformed as problem:
        raise bad_request(f"error decoding patch: {problem}") from None
    except patches.PatchRefused as problem:
        raise StatusError(
            422,
            "Invalid",
            f"the server rejected our request due to an error in our request: {problem}",
            {},
        ) from None


def _finish(world: World, call: Call, chosen: WriteOptions, change: _Change) -> Response:
    kind, record, old, new = call.kind, change.record, change.old, change.new
    check_preconditions(
        kind, record, new["metadata"].get("uid", ""), new["metadata"].get("resourceVersion", "")
    )
    rules = rules_of(kind)
    if call.subresource == "status":
        new = _status_only(kind, old, new)
    elif "status" in kind.subresources:
        _carry(old, new, "status")
    _keep_metadata(old["metadata"], new["metadata"])
    rules.prepare(world, kind, new, old)
    if rules.generation(kind) and _content_changed(kind, rules, old, new):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    judge(world, kind, new, old)
    if not call.subresource:
        for gate in world.gates:
            gate(kind, new, old)
    if body.media_type(call.request) != body.APPLY:
        _note_manager(world, call, old, new)
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    if same(old, new):
        return _answer(world, call, record, 200, change.warnings)
    _check_size(call, new, len(record.raw))
    to_stored(kind, new)
    if chosen.dry_run:
        return _answer(world, call, Record(new, record.rv, NO_FIELDS), 200, change.warnings)
    if _gone(new["metadata"]):
        # What has gone is answered as it was last: the version of its end is for watchers.
        stored = Record(new, record.rv, NO_FIELDS)
        world.store.remove(call.collection, new)
    else:
        stored = world.store.put(call.collection, new)
    return _answer(world, call, stored, 200, change.warnings)


def _note_manager(world: World, call: Call, old: Object, new: Object) -> None:
    if "managedFields" not in old["metadata"] and "managedFields" not in new["metadata"]:
        return
    agent = call.request.headers.get("user-agent", "").partition("/")[0]
    name = call.query.get("fieldManager") or agent or "unknown"
    manager = managers.Manager(name[:128], "Update", call.kind.api_version, call.subresource)
    managers.note_update(old, new, world.merging(call.kind), manager, world.now())


def check_preconditions(kind: Kind, record: Record, uid: str, rv: str) -> None:
    """A 409 when the caller means another object, or another version of it."""
    if uid and uid != record.uid:
        raise conflict(
            kind,
            record.name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}",
        )
    if rv and rv != str(record.rv):
        if not rv.isdigit():
            problem = field_invalid("metadata.resourceVersion", rv, "must be a number")
            raise invalid(kind.group, kind.kind, record.name, [problem])
        raise conflict(kind, record.name)


def _carry(old: Object, new: Object, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def _status_only(kind: Kind, old: Object, new: Object) -> Object:
    """The old object with the new status; built-in kinds also take labels and annotations."""
    merged: Object = orjson.loads(orjson.dumps(old))
    _carry(new, merged, "status")
    _carry(new["metadata"], merged["metadata"], "managedFields")
    if kind.builtin:
        for key in ("labels", "annotations", "finalizers"):
            _carry(new["metadata"], merged["metadata"], key)
    return merged


def _keep_metadata(old: Object, new: Object) -> None:
    for key in (*_SERVER_SET, "generateName"):
        _carry(old, new, key)


def _content_changed(kind: Kind, rules: Rules, old: Object, new: Object) -> bool:
    ignored = {"metadata", "apiVersion", "kind"}
    if "status" in kind.subresources:
        ignored.add("status")
    if rules.counts_spec_only:
        return not same(old.get("spec"), new.get("spec"))
    return not same(
        {key: value for key, value in old.items() if key not in ignored},
        {key: value for key, value in new.items() if key not in ignored},
    )


def _gone(metadata: Object) -> bool:
    """Whether the last thing that kept a deleted object has just been taken away."""
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )
