"""Whether a custom resource's schema is structural: every place says its type.

Holds: schema_errors. Rules follow the Kubernetes documentation on structural schemas.
"""

from typing import Any

from kube_queue.apiserver.status import (
    FieldError,
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
)

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_NEVER = ("$ref", "definitions", "dependencies", "id", "patternProperties", "additionalItems")
_OUTSIDE = ("type", "default", "additionalProperties", "nullable", "description", "title")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_JUNCTORS = ("allOf", "anyOf", "oneOf")


def schema_errors(schema: Any, path: str) -> list[FieldError]:
    """What keeps the root schema from being structural."""
    found: list[FieldError] = []
    if schema.get("type") != "object":
        wrong = schema.get("type")
        found.append(
            field_invalid(f"{path}.type", wrong, "must be object at the root")
            if wrong
            else field_required(f"{path}.type", "must not be empty at the root")
        )
    properties = schema.get("properties", {})
    for key in properties.get("metadata", {}).get("properties", {}):
        if key not in ("name", "generateName"):
            found.append(
                field_forbidden(
                    f"{path}.properties[metadata].properties[{key}]",
                    "only name and generateName may be restricted in metadata",
                )
            )
    _node(schema, path, found, "at the root", root=True)
    return found


def _node(
    schema: dict[str, Any], path: str, found: list[FieldError], where: str, *, root: bool = False
) -> None:
    _own_type(schema, path, found, where, root=root)
    for key in _NEVER:
        if key in schema:
            found.append(field_forbidden(f"{path}.{key}", f"{key} is not supported"))
    if schema.get("uniqueItems"):
        found.append(field_forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true"))
    _list_type(schema, path, found)
    _children(schema, path, found)
    for junctor in _JUNCTORS:
        for place, child in enumerate(schema.get(junctor, ())):
            _junctor(child, f"{path}.{junctor}[{place}]", found, bool(schema.get(_INT_OR_STRING)))
    if isinstance(schema.get("not"), dict):
        _junctor(schema["not"], f"{path}.not", found, allow_type=False)


def _own_type(
    schema: dict[str, Any], path: str, found: list[FieldError], where: str, *, root: bool
) -> None:
    type_ = schema.get("type", "")
    if not type_:
        if not root and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
            found.append(field_required(f"{path}.type", f"must not be empty {where}"))
    elif type_ not in _TYPES:
        found.append(field_unsupported(f"{path}.type", type_, _TYPES))
    elif schema.get(_INT_OR_STRING):
        found.append(
            field_invalid(f"{path}.type", type_, f"must be empty if {_INT_OR_STRING} is true")
        )
    if schema.get(_PRESERVE) is False:
        found.append(field_invalid(f"{path}.{_PRESERVE}", False, "must be true or undefined"))
    if schema.get("x-kubernetes-embedded-resource") and type_ != "object":
        found.append(field_invalid(f"{path}.type", type_, "must be object"))


def _children(schema: dict[str, Any], path: str, found: list[FieldError]) -> None:
    for key, child in schema.get("properties", {}).items():
        _node(child, f"{path}.properties[{key}]", found, "for specified object fields")
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        if schema.get("properties"):
            found.append(
                field_forbidden(
                    f"{path}.additionalProperties",
                    "additionalProperties and properties are mutual exclusive",
                )
            )
        _node(extra, f"{path}.additionalProperties", found, "for specified object fields")
    elif extra is False and schema.get("properties"):
        found.append(
            field_forbidden(
                f"{path}.additionalProperties", "additionalProperties cannot be set to false"
            )
        )
    items = schema.get("items")
    if isinstance(items, dict):
        _node(items, f"{path}.items", found, "for specified array items")
    elif isinstance(items, list):
        found.append(
            field_forbidden(f"{path}.items", "items must be a schema object and not an array")
        )
    elif schema.get("type") == "array":
        found.append(field_required(f"{path}.items", "must be specified"))


def _junctor(schema: dict[str, Any], path: str, found: list[FieldError], allow_type: bool) -> None:
    for key in _OUTSIDE:
        if key in schema and not (key == "type" and allow_type):
            found.append(field_forbidden(f"{path}.{key}", "must be empty to be structural"))
    for key, child in schema.get("properties", {}).items():
        _junctor(child, f"{path}.properties[{key}]", found, allow_type=False)
    if isinstance(schema.get("items"), dict):
        _junctor(schema["items"], f"{path}.items", found, allow_type=False)
    for junctor in _JUNCTORS:
        for place, child in enumerate(schema.get(junctor, ())):
            _junctor(child, f"{path}.{junctor}[{place}]", found, allow_type)


def _list_type(schema: dict[str, Any], path: str, found: list[FieldError]) -> None:
    list_type = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if list_type is None:
        if keys:
            found.append(
                field_invalid(
                    f"{path}.x-kubernetes-list-type",
                    "",
                    "must be map if list-map-keys is non-empty",
                )
            )
        return
    if list_type not in ("atomic", "set", "map"):
        found.append(
            field_unsupported(f"{path}.x-kubernetes-list-type", list_type, ["atomic", "set", "map"])
        )
    if schema.get("type") != "array":
        found.append(field_invalid(f"{path}.type", schema.get("type"), "must be array"))
    if list_type == "map":
        if not keys:
            found.append(
                field_required(
                    f"{path}.x-kubernetes-list-map-keys",
                    "must not be empty if x-kubernetes-list-type is map",
                )
            )
        items = schema.get("items")
        known = items.get("properties", {}) if isinstance(items, dict) else {}
        for place, key in enumerate(keys):
            if key not in known:
                found.append(
                    field_invalid(
                        f"{path}.x-kubernetes-list-map-keys[{place}]",
                        key,
                        "entries must all be names of item properties",
                    )
                )
