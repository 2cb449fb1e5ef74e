"""update and patch: the object becomes what the request makes of it.

Holds: update, patch, become, patch_document, patched, check_preconditions. The steps are, in this
order: decode, metadata, precondition, what the request may touch, unknown fields and defaults, the
kind's own rules, judgement, store.
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
from kube_queue.apiserver.reading import find
from kube_queue.apiserver.rules import Rules, rules_of
from kube_queue.apiserver.schema import settle
from kube_queue.apiserver.status import (
    FieldError,
    StatusError,
    bad_request,
    conflict,
    field_invalid,
    invalid,
    unsupported_media_type,
)
from kube_queue.apiserver.store import NO_FIELDS, Object, Record
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


@dataclass(frozen=True, slots=True)
class _Change:
    """An update on its way: what it was and what the request makes of it."""

    record: Record
    old: Object
    new: Object
    warnings: tuple[str, ...]


def update(world: World, call: Call) -> Response:
    """The object is replaced, if it still is what the caller believes."""
    chosen = options.write_options(call.request)
    record = find(call)
    new = body.decode_object(call.request)
    repeated = repeated_fields(call, chosen, new)
    check_identity(call, new)
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
    warnings = judge_fields(call, chosen, unknown, repeated)
    check_types(world, call.kind, new)
    return _finish(world, call, chosen, _Change(record, old, new, warnings))


def patch(world: World, call: Call) -> Response:
    """The object is changed as the patch says, in one step."""
    chosen = options.write_options(call.request)
    document = patch_document(call)
    record = find(call)
    repeated = repeated_fields(call, chosen, document)
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
        check_identity(call, new)
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
        return answer(world, call, record, 200, change.warnings)
    check_size(call, new, len(record.raw))
    to_stored(kind, new)
    if chosen.dry_run:
        return answer(world, call, Record(new, record.rv, NO_FIELDS), 200, change.warnings)
    if _gone(new["metadata"]):
        # What has gone is answered as it was last: the version of its end is for watchers.
        stored = Record(new, record.rv, NO_FIELDS)
        world.store.remove(call.collection, new)
    else:
        stored = world.store.put(call.collection, new)
    return answer(world, call, stored, 200, change.warnings)


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
    for key in (*SERVER_SET, "generateName"):
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
