"""Whether an object fits its schema, said the way Kubernetes says it.

Holds: Validator, compiled by jsonschema-rs from a kind's schema; the wording of each violation.
Patterns run on a linear-time engine, so a hostile pattern or value cannot stall the server.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import jsonschema_rs
import orjson

from kube_queue.apiserver.schema import REF_PREFIX, Schema, join
from kube_queue.apiserver.status import (
    MOST_CAUSES,
    FieldError,
    field_invalid,
    field_required,
    field_unsupported,
)

_KEPT = frozenset(
    {
        "enum", "exclusiveMaximum", "exclusiveMinimum", "maxItems", "maxLength", "maxProperties",
        "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern",
        "required", "uniqueItems",
    }
)  # fmt: skip
_NATIVE_FORMATS = {"date", "date-time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"}
_INTEGER_BOUNDS = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
}
_LARGE = 64 << 10
_MOST_PATTERNS = 5000
_PATTERN_BYTES = 100 << 20
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|ms|s|m|h|d|w))+)")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _is_base64,
    "cidr": _is_cidr,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "mac": lambda text: _MAC.fullmatch(text) is not None,
}


class SchemaError(ValueError):
    """A schema cannot be compiled; the text says why."""


class Validator:
    """A compiled schema."""

    def __init__(self, schema: Schema, definitions: Mapping[str, Schema] | None = None) -> None:
        translated = _translate(schema, builtin=definitions is not None)
        if definitions is not None:
            shared = _reachable(schema, definitions)
            translated["components"] = {
                "schemas": {name: _translate(definitions[name], builtin=True) for name in shared}
            }
        try:
            self._compiled = jsonschema_rs.Draft4Validator(
                translated,
                validate_formats=True,
                formats=_FORMATS,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=_pattern_limit(schema)),
            )
        except (jsonschema_rs.ValidationError, ValueError) as problem:
            raise SchemaError(str(problem).splitlines()[0]) from problem

    def fits(self, value: Any) -> bool:
        """Whether the value breaks nothing."""
        return bool(self._compiled.is_valid(value))

    def errors(self, value: Any) -> list[FieldError]:
        """What the value breaks, MOST_CAUSES of it; of a large value only the first."""
        return [_field_error(error) for error in islice(self._broken(value), MOST_CAUSES)]

    def _broken(self, value: Any) -> Iterator[Any]:
        # The engine finds all errors or the first: a hundred thousand would take it seconds.
        if len(orjson.dumps(value)) <= _LARGE:
            yield from self._compiled.iter_errors(value)
            return
        try:
            self._compiled.validate(value)
        except jsonschema_rs.ValidationError as first:
            yield first

    def type_mismatches(self, value: Any) -> Iterator[tuple[str, str, Any]]:
        """Path, expected type or format, and value of each wrongly typed field."""
        for error in self._broken(value):
            path = join(error.instance_path)
            kind: Any = error.kind
            keyword = kind.name
            if keyword == "type":
                yield path, _expected(error), error.instance
            elif keyword == "format":
                yield path, kind.format, error.instance
            elif keyword in ("minimum", "maximum", "oneOf", "anyOf"):
                yield path, "a type that holds it", error.instance


def _pattern_limit(schema: Schema) -> int:
    """Bytes that each pattern may take once compiled: many small ones, or a few large ones.

    Raises SchemaError when there are more than are of any use.
    """
    count = orjson.dumps(schema).count(b'"pattern":')
    if count > _MOST_PATTERNS:
        raise SchemaError(f"a schema has at most {_MOST_PATTERNS} patterns")
    return _PATTERN_BYTES // max(count, 10)


def _reachable(schema: Schema, definitions: Mapping[str, Schema]) -> set[str]:
    found: set[str] = set()
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, Mapping):
            ref = node.get("$ref")
            if isinstance(ref, str):
                name = ref.removeprefix(REF_PREFIX)
                if name not in found:
                    found.add(name)
                    todo.append(definitions[name])
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
    return found


def _translate(schema: Schema, *, builtin: bool) -> dict[str, Any]:
    """The Draft 4 schema that accepts what the OpenAPI one does."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    out: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        out["type"] = ["integer", "string"]
    elif "type" in schema:
        out["type"] = schema["type"]
    format_ = schema.get("format", "")
    if format_ in _NATIVE_FORMATS or format_ in _FORMATS:
        out["format"] = format_
    if builtin and schema.get("type") == "integer":
        out = {**_INTEGER_BOUNDS.get(format_, {}), **out}
    if schema.get("nullable"):
        _allow_null(out)
    for key in ("properties", "patternProperties"):
        if key in schema:
            out[key] = {
                name: _translate(child, builtin=builtin) for name, child in schema[key].items()
            }
    for key in ("items", "additionalProperties", "not"):
        child = schema.get(key)
        if isinstance(child, Mapping):
            out[key] = _translate(child, builtin=builtin)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema and not schema.get("x-kubernetes-int-or-string"):
            out[key] = [_translate(child, builtin=builtin) for child in schema[key]]
    return out


def _allow_null(out: dict[str, Any]) -> None:
    if "type" in out:
        kept = out["type"] if isinstance(out["type"], list) else [out["type"]]
        out["type"] = [*kept, "null"]
    if "enum" in out and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]


def _expected(error: Any) -> str:
    return ",".join(name for name in error.kind.types if name != "null")


def type_name(value: Any) -> str:
    """The JSON type of a value, as messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _field_error(error: Any) -> FieldError:
    path = join(error.instance_path)
    value, kind = error.instance, error.kind
    name = kind.name
    if name == "required":
        return field_required(f"{path}.{kind.property}" if path else kind.property)
    if name == "type":
        found = type_name(value)
        detail = f'{path or "body"} in body must be of type {_expected(error)}: "{found}"'
        return FieldError(path, "FieldValueTypeInvalid", f'Invalid value: "{found}": {detail}')
    if name == "enum":
        return field_unsupported(path, value, kind.options)
    if name == "maxLength":
        return FieldError(
            path, "FieldValueTooLong", f"Too long: may not be more than {kind.limit} bytes"
        )
    if name in ("maxItems", "maxProperties"):
        return FieldError(
            path,
            "FieldValueTooMany",
            f"Too many: {len(value)}: must have at most {kind.limit} items",
        )
    told = field_invalid(path, _brief(value), _detail(path, name, kind, error))
    return FieldError(path, "FieldValueTypeInvalid", told.text) if name == "format" else told


def _brief(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else type_name(value)


_DETAILS: dict[str, Callable[[str, Any, Any], str]] = {
    "pattern": lambda path, kind, _: f"{path} in body should match '{kind.pattern}'",
    "minimum": lambda path, kind, _: (
        f"{path} in body should be greater than or equal to {kind.limit}"
    ),
    "maximum": lambda path, kind, _: f"{path} in body should be less than or equal to {kind.limit}",
    "exclusiveMinimum": lambda path, kind, _: f"{path} in body should be greater than {kind.limit}",
    "exclusiveMaximum": lambda path, kind, _: f"{path} in body should be less than {kind.limit}",
    "minLength": lambda path, kind, _: f"{path} in body should be at least {kind.limit} chars long",
    "minItems": lambda path, kind, _: f"{path} in body should have at least {kind.limit} items",
    "minProperties": lambda path, kind, _: (
        f"{path} in body should have at least {kind.limit} properties"
    ),
    "multipleOf": lambda path, kind, _: (
        f"{path} in body should be a multiple of {kind.multiple_of}"
    ),
    "format": lambda path, kind, value: f'{path} in body must be of type {kind.format}: "{value}"',
    "anyOf": lambda path, kind, _: f'"{path}" must validate at least one schema (anyOf)',
    "oneOf": lambda path, kind, _: (
        f'"{path}" must validate one and only one schema (oneOf). Found '
        + ("several valid" if [] in kind.context else "none valid")
    ),
    "not": lambda path, kind, _: f'"{path}" must not validate the schema (not)',
}
"""JSON schema keyword -> how its violation is worded, from path, kind of error and value."""


def _detail(path: str, name: str, kind: Any, error: Any) -> str:
    wording = _DETAILS.get(name)
    return wording(path, kind, error.instance) if wording else str(error.message)
