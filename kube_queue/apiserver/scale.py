"""The scale subresource: replicas, read and written where the kind keeps them.

Holds: handle. A write of scale is a merge patch of the object itself, with its preconditions.
"""

from dataclasses import replace
from typing import Any

import orjson

from kube_queue.apiserver import body, changing
from kube_queue.apiserver.kinds import Column, Kind
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.printers.rows import labels_text, selector_text
from kube_queue.apiserver.reading import JSON_HEADERS, find
from kube_queue.apiserver.status import bad_request, field_invalid, invalid, method_not_allowed
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.strategic import Merging
from kube_queue.apiserver.view import View, negotiate
from kube_queue.apiserver.world import Call, World

_PLAIN = Merging({}, {})
_SCALE = Kind(
    "autoscaling",
    "v1",
    "Scale",
    list_kind="",
    plural="",
    singular="",
    namespaced=True,
    builtin=True,
    columns=(
        Column("Name", "string", ""),
        Column("Desired", "integer", ""),
        Column("Available", "integer", ""),
        Column("Age", "string", ""),
    ),
)
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def handle(world: World, call: Call) -> Response:
    """The object's scale, read, replaced or patched."""
    current = _scale_of(call, find(call).decode())
    method = call.request.method
    if method in ("GET", "HEAD"):
        return _answer(world, call, current)
    if method == "PUT":
        wanted: Any = body.decode_object(call.request)
    elif method == "PATCH":
        document = changing.patch_document(call)
        wanted = changing.patched(current, body.media_type(call.request), document, _PLAIN)
    else:
        raise method_not_allowed()
    answer = changing.patch(
        world, _as_patch(call, _replicas(wanted, call.name), wanted.get("metadata"))
    )
    assert isinstance(answer.body, bytes)
    return _answer(world, call, _scale_of(call, orjson.loads(answer.body)), answer.warnings)


def _answer(world: World, call: Call, scale: Object, warnings: tuple[str, ...] = ()) -> Response:
    form = negotiate(call.request.headers.get("accept", ""))
    view = View(world, _SCALE, form, call.query.get("includeObject", ""))
    return Response(200, JSON_HEADERS, view.shaped(orjson.dumps(scale)), warnings)


def _replicas(wanted: Any, name: str) -> int:
    spec = wanted.get("spec") if isinstance(wanted, dict) else None
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if type(replicas) is not int:
        raise bad_request("Scale needs a whole number in spec.replicas")
    if replicas < 0:
        problem = field_invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("autoscaling", "Scale", name, [problem])
    return replicas


def _as_patch(call: Call, replicas: int, metadata: Any) -> Call:
    content: Any = replicas
    for part in reversed(call.kind.scale[0].strip(".").split(".")):
        content = {part: content}
    stated = metadata if isinstance(metadata, dict) else {}
    content["metadata"] = {
        key: stated[key] for key in ("uid", "resourceVersion") if stated.get(key)
    }
    headers = {**call.request.headers, "content-type": body.MERGE}
    request = replace(call.request, method="PATCH", headers=headers, body=orjson.dumps(content))
    return replace(call, request=request)


def _scale_of(call: Call, obj: Object) -> Object:
    in_spec, in_status, selector = (_at(obj, path) for path in call.kind.scale)
    metadata = {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}
    status: Object = {"replicas": in_status if type(in_status) is int else 0}
    if isinstance(selector, dict):
        plain = call.kind.plural == "replicationcontrollers"
        selector = labels_text(selector) if plain else selector_text(selector)
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": in_spec if type(in_spec) is int else 0},
        "status": status,
    }


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split(".") if path else ():
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj if path else None
