"""What a schema does to an object before it is judged: unknown fields, nulls and defaults.

Holds: Shape (a schema compiled for walking), compile_shape, settle.
Unknown fields are dropped and named, nulls of fields that are not nullable vanish, missing fields
take their default: the pruning and defaulting of structural schemas.
"""

from collections.abc import Mapping
from typing import Any

import orjson

Schema = Mapping[str, Any]
Path = tuple[Any, Any] | None
"""A path as nested pairs (parent, key): cheap to extend, rendered only when a problem is found."""
REF_PREFIX = "#/components/schemas/"
DEFAULTS_LIMIT = 16 << 20
_ENTRY = 64

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_FLAG = {"type": "boolean"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_OWNER = {
    **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _TEXT),
    **dict.fromkeys(("controller", "blockOwnerDeletion"), _FLAG),
}
META_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "selfLink": _TEXT,
        "uid": _TEXT,
        "resourceVersion": _TEXT,
        "generation": _NUMBER,
        "creationTimestamp": _TEXT,
        "deletionTimestamp": _TEXT,
        "deletionGracePeriodSeconds": _NUMBER,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "ownerReferences": {"type": "array", "items": {"type": "object", "properties": _OWNER}},
        "finalizers": {"type": "array", "items": _TEXT},
        "managedFields": {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}},
    },
}
"""ObjectMeta, for objects whose own schema does not spell it out."""


class Shape:
    """One node of a schema, reduced to what settling and comparing need."""

    __slots__ = (
        "deep", "default", "defaults", "extra", "items", "keep", "list_keys", "list_set",
        "nullable", "omit", "props", "texts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.props: dict[str, Shape] = {}
        self.extra: Shape | None = None
        self.items: Shape | None = None
        self.keep = False
        self.nullable = False
        self.default: bytes = b""
        self.defaults: tuple[tuple[str, bytes], ...] = ()
        self.list_keys: tuple[str, ...] = ()
        self.list_set = False
        self.deep = False
        self.omit = False
        """Whether an empty value is no value, as with every list and map of a built-in kind."""
        self.texts = False
        """Whether it is a built-in map of texts, in which null is the empty one."""


def follow(schema: Schema, definitions: Mapping[str, Schema]) -> tuple[Schema, str]:
    """The schema a reference leads to, and the name of its definition ("" when inline)."""
    name = ""
    while True:
        ref = schema.get("$ref")
        if ref is None and len(schema.get("allOf", ())) == 1 and "properties" not in schema:
            ref = schema["allOf"][0].get("$ref")
        if ref is None:
            return schema, name
        name = ref.removeprefix(REF_PREFIX)
        schema = definitions[name]


def compile_builtin(schema: Schema, definitions: Mapping[str, Schema]) -> Shape:
    """The shape of a built-in kind: nulls mean absent, schema defaults are not applied."""
    return _Compiler(definitions, builtin=True).shape(schema)


def compile_custom(schema: Schema) -> Shape:
    """The shape of a custom kind; its metadata is ObjectMeta whatever the schema says."""
    compiler = _Compiler({}, builtin=False)
    shape = compiler.shape(schema)
    _embed(shape, compiler)
    return shape


def _embed(shape: Shape, compiler: "_Compiler") -> None:
    for name in ("apiVersion", "kind"):
        shape.props.setdefault(name, Shape())
    shape.props["metadata"] = compile_builtin(META_SCHEMA, {})
    shape.deep = True


class _Compiler:
    def __init__(self, definitions: Mapping[str, Schema], *, builtin: bool) -> None:
        self.definitions = definitions
        self.builtin = builtin
        self.named: dict[str, Shape] = {}

    def shape(self, schema: Schema) -> Shape:
        schema, name = follow(schema, self.definitions)
        if name in self.named:
            return self.named[name]
        shape = Shape()
        if name:
            shape.deep = True
            self.named[name] = shape
        self._fill(shape, schema)
        if name.endswith("Status"):
            # A count that a status does not give is a zero, as it is in Kubernetes' own types.
            shape.defaults = tuple(
                (key, b"0")
                for key in schema.get("required", ())
                if schema["properties"][key].get("type") == "integer"
            )
        return shape

    def _fill(self, shape: Shape, schema: Schema) -> None:
        properties = schema.get("properties", {})
        shape.props = {key: self.shape(child) for key, child in properties.items()}
        for key in schema.get("required", ()) if self.builtin else ():
            # What every object has is shown even when it is empty.
            if "$ref" not in properties.get(key, {"$ref": ""}):
                shape.props[key].omit = False
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping):
            shape.extra = self.shape(extra)
        items = schema.get("items")
        if isinstance(items, Mapping):
            shape.items = self.shape(items)
        shape.keep = (
            bool(schema.get("x-kubernetes-preserve-unknown-fields"))
            or extra is True
            or schema.get("type", "object") != "object"
            or (self.builtin and not properties and extra is None)
        )
        shape.texts = self.builtin and isinstance(extra, Mapping) and extra.get("type") == "string"
        shape.omit = self.builtin and (
            shape.items is not None or (shape.extra is not None and not properties)
        )
        if not self.builtin:
            shape.nullable = bool(schema.get("nullable"))
            if schema.get("default") is not None:
                shape.default = orjson.dumps(schema["default"])
            shape.defaults = tuple(
                (key, child.default) for key, child in shape.props.items() if child.default
            )
            if schema.get("x-kubernetes-embedded-resource"):
                _embed(shape, self)
        if schema.get("x-kubernetes-list-type") == "map":
            shape.list_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        shape.list_set = schema.get("x-kubernetes-list-type") == "set"
        shape.deep = bool(
            shape.props
            or not shape.keep
            or shape.list_set
            or (shape.extra and shape.extra.deep)
            or (shape.extra and not shape.extra.nullable)
            or (shape.items and shape.items.deep)
        )


class _Unknown(list[str]):
    """Paths of unknown fields, and how many bytes of defaults may still come in."""

    room = DEFAULTS_LIMIT

    def fill(self, value: dict[str, Any], key: str, default: bytes) -> None:
        """The default is in the value, as long as there is room."""
        self.room -= len(default) + _ENTRY
        if self.room >= 0:
            value[key] = orjson.loads(default)
        else:
            value.pop(key, None)


def settle(obj: dict[str, Any], shape: Shape) -> list[str]:
    """Unknown fields are gone and returned as paths; nulls are gone; defaults are in.

    Of defaults, not more than DEFAULTS_LIMIT bytes come in: no object may be as large as that.
    """
    unknown = _Unknown()
    _settle_map(obj, shape, None, unknown)
    return unknown


def _settle_map(value: dict[str, Any], shape: Shape, path: Path, unknown: _Unknown) -> None:
    props, extra = shape.props, shape.extra
    for key in tuple(value):
        child = props.get(key) or extra
        if child is None:
            if not shape.keep:
                unknown.append(render((path, key)))
                del value[key]
            continue
        item = value[key]
        if item is None:
            if shape.texts:
                value[key] = ""
            elif not child.nullable:
                if child.default:
                    unknown.fill(value, key, child.default)
                else:
                    del value[key]
        elif child.omit and not item and type(item) in (dict, list):
            del value[key]
        elif child.deep:
            if type(item) is dict:
                _settle_map(item, child, (path, key), unknown)
            elif type(item) is list and child.items is not None:
                _settle_list(item, child.items, (path, key), unknown)
    for key, default in shape.defaults:
        if key not in value:
            unknown.fill(value, key, default)


def _settle_list(value: list[Any], shape: Shape, path: Path, unknown: _Unknown) -> None:
    for index, item in enumerate(value):
        if type(item) is dict:
            _settle_map(item, shape, (path, index), unknown)
        elif type(item) is list and shape.items is not None:
            _settle_list(item, shape.items, (path, index), unknown)


def render(path: Path) -> str:
    """A path as Kubernetes writes it: `spec.containers[0].name`."""
    keys: list[Any] = []
    while path is not None:
        path, key = path
        keys.append(key)
    return join(reversed(keys))


def join(keys: Any) -> str:
    """The same, from keys in order."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else str(key)
    return text


def duplicates(value: Any, shape: Shape, path: Path = None) -> list[tuple[str, Any]]:
    """Path and value of each second occurrence in lists that are sets or maps by key."""
    found: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            child = shape.props.get(key) or shape.extra
            if child is not None and child.deep:
                found += duplicates(item, child, (path, key))
    elif isinstance(value, list):
        if shape.list_keys or shape.list_set:
            found += _twice(value, shape, path)
        if shape.items is not None and shape.items.deep:
            for index, item in enumerate(value):
                found += duplicates(item, shape.items, (path, index))
    return found


def _twice(value: list[Any], shape: Shape, path: Path) -> list[tuple[str, Any]]:
    seen: set[bytes] = set()
    found = []
    for index, item in enumerate(value):
        identity = item
        if shape.list_keys:
            if not isinstance(item, dict):
                continue
            identity = {key: item[key] for key in shape.list_keys if key in item}
        token = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        if token in seen:
            found.append((render((path, index)), identity))
        seen.add(token)
    return found
