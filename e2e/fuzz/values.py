"""Values for bodies: objects made from a schema, and junk put in their places.

Holds: Maker, junk, spoiled, encoded. All chance comes from the random.Random that is handed in.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
DEEPEST = 7
RAW = {
    "@nan@": b"NaN",
    "@infinity@": b"-Infinity",
    "@huge@": b"1e400",
    "@minus@": b"-0",
    "@long@": b"9" * 400,
    "@longer@": b"7" * 5000,
    "@fraction@": b"0." + b"3" * 400,
    "@surrogate@": b'"\\ud800"',
    "@latin@": b'"\xff\xfe"',
    "@nul@": b'"\\u0000"',
    "@cut@": b'"',
    "@comma@": b",",
    "@twice@": b'{"a":1,"a":2}',
    "@deep@": b"[" * 180 + b"]" * 180,
    "@deeper@": b'{"a":' * 600 + b"1" + b"}" * 600,
}
"""Markers in an object -> the bytes that stand for them once it is encoded."""
_JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *(1.5, 1e308, -1e-300, "", " ", "a", "A", "-", "true", "null", "0", "-1", "1e999", "1E3"),
    *("1Ki", ".5", "+1", "1.", "0x10", "9" * 30, "9" * 5000, "1" * 70_000, "1e-999", "100%"),
    *("a" * 64, "a" * 254, "b" * 70_000, "é", "\U0001f4a5", "\x7f", "a\nb", "a\r\nX-Y: z"),
    *("..", "../../x", "%2f", "a/b", "a/b/c", "//", "$patch", "{}", "[0]", "(((((", "a{1,9999}"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-40T99:99:99Z", "1h", "-1s"),
    *("2026-01-01T00:00:00.123456Z", "2026-01-01T00:00:00+23:59", "default", "kube-system", "x"),
    *([], {}, [None], [[]], [[[[]]]], {"": None}, {"a": {"b": {"c": []}}}, ["a", "a"], [1, "a"]),
    *({"$patch": "delete"}, {"$patch": 1}, [{"$patch": "replace"}], {"$ref": "#"}, {"name": []}),
    *RAW,
)


class Maker:
    """Makes values that fit a schema, more or less: what is missing is as likely as what is odd."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def make(self, rng: random.Random, schema: Schema, key: str = "", depth: int = 0) -> Any:
        """A value for the place `key` with this schema."""
        schema = self._followed(schema)
        kind = schema.get("type", "")
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if kind == "object" or "properties" in schema:
            return self._object(rng, schema, depth)
        if kind == "array":
            items = schema.get("items") or {}
            many = 0 if depth > DEEPEST else rng.choice((0, 1, 1, 2))
            return [self.make(rng, items, key, depth + 1) for _ in range(many)]
        if kind == "integer":
            return rng.choice((0, 1, 2, 30, 100))
        if kind == "number":
            return rng.choice((0, 1, 0.5))
        if kind == "boolean":
            return rng.random() < 0.5
        return _text(rng, key, schema)

    def _followed(self, schema: Schema) -> Schema:
        while True:
            if "allOf" in schema and len(schema["allOf"]) == 1:
                schema = schema["allOf"][0]
            elif "$ref" in schema:
                schema = self._definitions.get(schema["$ref"].rpartition("/")[2], {})
            else:
                return schema

    def _object(self, rng: random.Random, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        share = 0.5 if depth < 2 else 0.25 if depth < DEEPEST else 0.0
        made = {
            key: self.make(rng, child, key, depth + 1)
            for key, child in properties.items()
            if key in required or rng.random() < share
        }
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) and depth < DEEPEST:
            for name in rng.sample(("cpu", "memory", "a", "kube-queue/x"), rng.randint(0, 2)):
                made[name] = self.make(rng, extra, name, depth + 1)
        return made


def _text(rng: random.Random, key: str, schema: Schema) -> str:
    if schema.get("format") == "date-time" or key.endswith(("Time", "Timestamp")):
        return "2026-01-01T00:00:00Z"
    if schema.get("format") == "byte":
        return "YQ=="
    if key in ("cpu", "memory") or "Quantity" in str(schema.get("description", "")):
        return rng.choice(("1", "100m", "1Gi", "1.5", "2e3"))
    return rng.choice(("a", "b", "x-1", "Always", "1", "kube-queue.io/v1", ""))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container in the value with each key or index of it."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            found += [(node, key) for key in node]
            todo += node.values()
        elif isinstance(node, list):
            found += [(node, index) for index in range(len(node))]
            todo += node
    return found


def junk(rng: random.Random) -> Any:
    """One of the odd values, the caller's own: what he puts into it is in no later one."""
    return _copied(rng.choice(_JUNK))


def spoiled(rng: random.Random, value: Any) -> Any:
    """The value with junk in one to three places; it is changed itself."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        known = places(value)
        if not known or rng.random() < 0.02:
            return junk(rng)
        node, key = rng.choice(known)
        _spoil(rng, node, key, known)
    return value


def _spoil(rng: random.Random, node: Any, key: Any, known: list[tuple[Any, Any]]) -> None:
    how = rng.random()
    if how < 0.7:
        node[key] = junk(rng)
    elif how < 0.76:
        del node[key]
    elif how < 0.82:
        other, place = rng.choice(known)
        node[key] = _copied(other[place]) if _is_there(other, place) else None
    elif how < 0.88 and isinstance(node, dict):
        node[str(junk(rng))[:300]] = _copied(node[key])
    elif how < 0.94 and isinstance(node[key], list):
        node[key] = (node[key] or [{}]) * rng.choice((2, 50, 5000))
    elif isinstance(node, list):
        node.insert(0, junk(rng))
    else:
        node[key] = [_copied(node[key])]


def _is_there(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else key < len(node)


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def encoded(value: Any) -> bytes:
    """The value as JSON, markers replaced by what they stand for."""
    body = json.dumps(value).encode()
    if b'"@' in body:
        for marker, raw in RAW.items():
            body = body.replace(f'"{marker}"'.encode(), raw)
    return body
