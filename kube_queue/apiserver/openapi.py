"""The OpenAPI documents of the served kinds: what kubectl needs to apply, patch and explain.

Holds: respond; the index /openapi/v3 and one document for each group-version, with the schemas of
its kinds, merge strategies among them, and their operations with the query parameters understood;
an OpenAPI v2 document for those who insist.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from kube_queue.apiserver.builtin import REF_PREFIX, definition_names, definitions
from kube_queue.apiserver.discovery import JSON, KUBERNETES_VERSION, subresources_of
from kube_queue.apiserver.kinds import Kind, KindRegistry

Answer = tuple[int, str, bytes, dict[str, str]]

_TITLE = "Kubernetes"
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_OBJECT_META = f"{_META}.ObjectMeta"
_LIST_META = f"{_META}.ListMeta"
_DELETE_OPTIONS = f"{_META}.DeleteOptions"
_STATUS = f"{_META}.Status"
_PATCH = f"{_META}.Patch"
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
)
_STRATEGIC = "application/strategic-merge-patch+json"
_DESCRIPTIONS = {
    "apiVersion": "The API group and version this object is written in.",
    "kind": "The kind of this object.",
    "metadata": "Name, namespace, labels, annotations and other data every object has.",
    "spec": "What is wanted.",
    "status": "What was last observed; written by the system.",
}
_SELECT = ("fieldSelector", "labelSelector")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LIST = (
    "allowWatchBookmarks",
    "continue",
    *_SELECT,
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_TYPES = {
    "allowWatchBookmarks": "boolean",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "limit": "integer",
    "orphanDependents": "boolean",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
# verb -> HTTP method, action, query parameters
_ON_COLLECTION = {
    "list": ("get", "list", _LIST),
    "create": ("post", "post", _WRITE),
    "deletecollection": ("delete", "deletecollection", (*_DELETE, "continue", *_SELECT, "limit")),
}
_ON_OBJECT = {
    "get": ("get", "get", ()),
    "update": ("put", "put", _WRITE),
    "patch": ("patch", "patch", (*_WRITE, "force")),
    "delete": ("delete", "delete", _DELETE),
}
_ON_SUBRESOURCE = {
    "get": ("get", "get", ()),
    "create": ("post", "post", _WRITE),
    "update": ("put", "put", _WRITE),
    "patch": ("patch", "patch", (*_WRITE, "force")),
}


def respond(
    path: str, query: Iterable[tuple[str, str]], registry: KindRegistry, accept: str = ""
) -> Answer | None:
    """Status, content type, body and caching headers for an OpenAPI path; None for others.

    A request that names the document's present hash may keep the answer for good. `accept` decides
    between JSON and protobuf for /openapi/v2.
    """
    parts = [part for part in path.split("/") if part]
    if parts == ["openapi", "v2"]:
        return _version_two(accept)
    if parts[:2] != ["openapi", "v3"]:
        return None
    served = _group_versions(registry)
    if len(parts) == 2:
        body = _index(served)
        return 200, JSON, body, {"ETag": _etag(body)}
    found = served.get("/".join(parts[2:]))
    if found is None:
        return None
    body = _document(found)
    headers = {"ETag": _etag(body), "Vary": "Accept"}
    if ("hash", _hash(body)) in query:
        headers["Cache-Control"] = "public, immutable, max-age=31536000"
    return 200, JSON, body, headers


def _version_two(accept: str) -> Answer:
    """An OpenAPI v2 document without definitions.

    kubectl asks for it, in protobuf, before it sends a List or a kind it does not know; finding no
    definition it leaves the judgement to the server, where it belongs.
    """
    if "protobuf" not in accept:
        info = {"title": _TITLE, "version": KUBERNETES_VERSION}
        document = {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}
        return 200, JSON, orjson.dumps(document), {"Vary": "Accept"}
    info_message = _text_field(1, _TITLE) + _text_field(2, KUBERNETES_VERSION)
    body = _text_field(1, "2.0") + _field(2, info_message) + _field(8, b"")
    return 200, _V2_PROTOBUF, body, {"Vary": "Accept"}


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, shorter than 128."""
    return bytes([number << 3 | 2, len(content)]) + content


def _text_field(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _group_versions(registry: KindRegistry) -> dict[str, tuple[Kind, ...]]:
    """`api/v1` or `apis/group/version` -> its kinds."""
    found: dict[str, list[Kind]] = {}
    for kind in registry.kinds():
        found.setdefault(_root(kind), []).append(kind)
    return {root: tuple(kinds) for root, kinds in sorted(found.items())}


def _root(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _index(served: dict[str, tuple[Kind, ...]]) -> bytes:
    paths = {
        root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={_hash(_document(kinds))}"}
        for root, kinds in served.items()
    }
    return orjson.dumps({"paths": paths})


@lru_cache(maxsize=256)
def _hash(body: bytes) -> str:
    return sha256(body).hexdigest()[:32].upper()


def _etag(body: bytes) -> str:
    return f'"{_hash(body)}"'


@lru_cache(maxsize=256)
def _document(kinds: tuple[Kind, ...]) -> bytes:
    """The document of one group-version; the same kinds give the same bytes."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in kinds:
        schemas[definition_name(kind)] = _kind_schema(kind)
        if "list" in kind.verbs:
            schemas[_list_name(kind)] = _list_schema(kind)
        paths.update(_paths(kind))
    used = {_STATUS, _DELETE_OPTIONS, _PATCH} | set(_references([schemas, paths]))
    _add_definitions(schemas, used)
    return orjson.dumps(
        {
            "openapi": "3.0.0",
            "info": {"title": _TITLE, "version": KUBERNETES_VERSION},
            "paths": paths,
            "components": {"schemas": dict(sorted(schemas.items()))},
        }
    )


# --------------------------------------------------------------------------------- schemas


def definition_name(kind: Kind) -> str:
    """The name of a kind's definition; for a custom kind its group backwards, as in Java."""
    if kind.builtin:
        return definition_names()[kind.group, kind.version, kind.kind]
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _list_name(kind: Kind) -> str:
    return definition_name(kind).rpartition(".")[0] + f".{kind.list_kind}"


def _kind_schema(kind: Kind) -> dict[str, Any]:
    schema = dict(kind.schema)
    properties = dict(schema.get("properties", {}))
    if not kind.builtin:
        text = {"type": "string"}
        properties |= {"apiVersion": text, "kind": text, "metadata": _ref(_OBJECT_META)}
        schema["type"] = "object"
        schema["x-kubernetes-group-version-kind"] = [_gvk(kind, kind.kind)]
    for name, description in _DESCRIPTIONS.items():
        if name in properties and "description" not in properties[name]:
            properties[name] = _described(properties[name], description)
    schema["properties"] = properties
    return schema


def _described(schema: dict[str, Any], description: str) -> dict[str, Any]:
    """A reference has to be wrapped: what stands beside `$ref` does not count."""
    if "$ref" in schema:
        return {"allOf": [schema], "description": description}
    return {**schema, "description": description}


def _list_schema(kind: Kind) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _described(text, _DESCRIPTIONS["apiVersion"]),
            "kind": _described(text, _DESCRIPTIONS["kind"]),
            "metadata": _ref(_LIST_META),
            "items": {"type": "array", "items": _ref(definition_name(kind))},
        },
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_kind)],
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"{REF_PREFIX}{name}"}


def _gvk(kind: Kind, name: str) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": name}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.removeprefix(REF_PREFIX)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _add_definitions(schemas: dict[str, Any], names: Iterable[str]) -> None:
    """The shared definitions named, and those they refer to, stand among the schemas."""
    waiting, shared = list(names), definitions()
    while waiting:
        name = waiting.pop()
        if name not in schemas and name in shared:
            schemas[name] = shared[name]
            waiting.extend(_references(shared[name]))


# ------------------------------------------------------------------------------ operations


def _paths(kind: Kind) -> dict[str, Any]:
    root = f"/{_root(kind)}"
    scope = f"{root}/namespaces/{{namespace}}" if kind.namespaced else root
    collection, one = f"{scope}/{kind.plural}", f"{scope}/{kind.plural}/{{name}}"
    paths = {
        collection: _path(kind, _ON_COLLECTION, kind.verbs, collection),
        one: _path(kind, _ON_OBJECT, kind.verbs, one),
    }
    if kind.namespaced and "list" in kind.verbs:
        every = f"{root}/{kind.plural}"
        paths[every] = _path(kind, {"list": _ON_COLLECTION["list"]}, kind.verbs, every)
    for entry in subresources_of(kind):
        path = f"{one}/{entry.name}"
        paths[path] = _path(kind, _ON_SUBRESOURCE, entry.verbs, path)
    return {path: item for path, item in paths.items() if item}


def _path(
    kind: Kind,
    operations: dict[str, tuple[str, str, tuple[str, ...]]],
    verbs: Iterable[str],
    path: str,
) -> dict[str, Any]:
    item: dict[str, Any] = {
        method: _operation(kind, action, parameters, path)
        for verb, (method, action, parameters) in operations.items()
        if verb in verbs
    }
    if item:
        item["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("namespace", "name")
            if f"{{{name}}}" in path
        ]
    return item


def _operation(kind: Kind, action: str, parameters: tuple[str, ...], path: str) -> dict[str, Any]:
    own = _ref(definition_name(kind))
    answer = _ref(_list_name(kind)) if action == "list" else own
    operation: dict[str, Any] = {
        "operationId": f"{action}:{path}",
        "tags": [kind.api_version.replace("/", "_")],
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": _TYPES.get(name, "string")}}
            for name in parameters
        ],
        "responses": {
            "200": {
                "description": "OK",
                "content": {
                    JSON: {"schema": _ref(_STATUS) if action.startswith("delete") else answer}
                },
            }
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind, kind.kind),
    }
    if action in ("post", "put"):
        operation["requestBody"] = {"content": {"*/*": {"schema": own}}, "required": True}
    elif action == "patch":
        types = (*_PATCH_TYPES, _STRATEGIC) if kind.builtin else _PATCH_TYPES
        content = {media: {"schema": _ref(_PATCH)} for media in types}
        operation["requestBody"] = {"content": content, "required": True}
    elif action.startswith("delete"):
        operation["requestBody"] = {"content": {"*/*": {"schema": _ref(_DELETE_OPTIONS)}}}
    return operation
