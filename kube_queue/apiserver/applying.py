"""Server-side apply: the PATCH that states what its sender wants to be true.

Holds: patch, which sends every other patch on to changing.py.
"""

from typing import Any

import orjson
import yaml

from kube_queue.apiserver import body, changing, creating, managers, meta, options, typed, writing
from kube_queue.apiserver.conversion import to_served
from kube_queue.apiserver.managers import Applying, Manager
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.status import (
    bad_request,
    conflict,
    field_forbidden,
    field_required,
    invalid,
    not_found,
    too_large,
)
from kube_queue.apiserver.store import Object, object_key
from kube_queue.apiserver.world import Call, World

_NAMED = ("name", "namespace", "uid", "resourceVersion")


_YAML_LIMIT = 1 << 20
"""Bytes of a body that is not JSON: YAML takes seconds where JSON takes milliseconds."""


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def patch(world: World, call: Call) -> Response:
    """The object is changed as the patch says; an apply may create it."""
    if body.media_type(call.request) != body.APPLY:
        if "force" in call.query:
            problem = field_forbidden("force", "may not be specified for non-apply patch")
            raise invalid("meta.k8s.io", "PatchOptions", "", [problem])
        return changing.patch(world, call)
    name = call.query.get("fieldManager", "")
    if not name:
        problem = field_required("fieldManager", "is required for apply patch")
        raise invalid("meta.k8s.io", "PatchOptions", "", [problem])
    chosen = options.write_options(call.request)
    config = _config(call)
    how = Applying(
        Manager(name, "Apply", call.kind.api_version, call.subresource),
        call.query.get("force", "false").lower() not in ("false", "0"),
        _ignored(call),
        world.now(),
    )
    place = world.merging(call.kind)
    wrong = typed.problem(config, place)
    if wrong:
        place_ = f"{call.namespace}/{call.name}" if call.namespace else f"/{call.name}"
        raise bad_request(
            f"failed to create typed patch object ({place_}; {call.kind.api_version}, "
            f"Kind={call.kind.kind}): {wrong}"
        )
    record = call.collection.records.get(object_key(call.namespace, call.name))
    if record is None:
        if call.subresource:
            raise not_found(call.kind, call.name)
        if call.namespace:
            creating.check_namespace(world, call, config)
        if config["metadata"].get("uid"):
            raise conflict(
                call.kind,
                call.name,
                f"uid mismatch: the provided object specified uid {config['metadata']['uid']}, and "
                "no existing object was found",
            )
        return creating.insert(world, call, chosen, managers.apply(None, config, place, how))
    live = record.decode()
    to_served(call.kind, live)
    return changing.become(world, call, chosen, managers.apply(live, config, place, how))


def _ignored(call: Call) -> Object | None:
    splits = "status" in call.kind.subresources and not call.subresource
    return {"f:status": {}} if splits else None


def _config(call: Call) -> Object:
    """What the sender wants: an object of the call's kind and name."""
    config = _decoded(call.request.body)
    if not isinstance(config, dict):
        raise bad_request("error decoding YAML: the configuration must be an object")
    stated, kind = config.get("apiVersion"), call.kind
    if stated != kind.api_version:
        raise bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {stated}, "
            f"expected: {kind.api_version}"
        )
    if config.get("kind") != kind.kind:
        raise bad_request(f"the kind in the data ({config.get('kind')}) is not {kind.kind}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    metadata = meta.read(kind, config)
    if metadata.setdefault("name", call.name) != call.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL "
            f"({call.name})"
        )
    writing.check_place(call, metadata)
    if call.subresource:
        named = {key: metadata[key] for key in _NAMED if key in metadata}
        config = {"apiVersion": stated, "kind": kind.kind, "metadata": named, **_status_of(config)}
    return config


def _status_of(config: Object) -> Object:
    return {"status": config["status"]} if "status" in config else {}


def _decoded(raw: bytes) -> Any:
    if len(raw) > body.BODY_LIMIT:
        raise too_large(body.BODY_LIMIT)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        if len(raw) > _YAML_LIMIT:
            raise too_large(_YAML_LIMIT) from None
        value = _from_yaml(raw)
    body.check_depth(value)
    return value


def _from_yaml(raw: bytes) -> Any:
    try:
        events = yaml.parse(raw, _Loader) if b"*" in raw else ()
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            # They can make much of a small text.
            raise yaml.YAMLError("aliases are not supported")
        value = yaml.load(raw, _Loader)
        # What YAML knows and JSON does not, such as keys that are no text, is refused.
        return orjson.loads(orjson.dumps(value))
    except (yaml.YAMLError, orjson.JSONEncodeError, ValueError, RecursionError) as problem:
        text = " ".join(str(problem).split())
        raise bad_request(f"error decoding YAML: {text}") from None
