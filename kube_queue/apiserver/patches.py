"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on decoded objects.

Holds: merge_patch, json_patch, PatchRefused. Both change the target they are given and return the
result; the caller owns the target. A patch is never shared with the result.
"""

from typing import Any

import orjson

COPY_LIMIT = 3 * 1024 * 1024
"""Bytes all `copy` operations of one patch may add."""
OPERATIONS_LIMIT = 10_000


class PatchMalformed(ValueError):
    """The patch document itself is wrong."""


class PatchRefused(ValueError):
    """The patch is well formed but does not apply to this object."""


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch merged in; nulls in the patch remove."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merge_patch(target.get(key), value)
        else:
            target[key] = value
    return target


def json_patch(target: Any, patch: Any) -> Any:
    """The target after every operation in order; PatchRefused leaves it half changed."""
    if not isinstance(patch, list):
        raise PatchMalformed("a JSON patch must be an array of operations")
    if len(patch) > OPERATIONS_LIMIT:
        raise PatchMalformed(f"a JSON patch may have at most {OPERATIONS_LIMIT} operations")
    copied = 0
    for operation in patch:
        if not isinstance(operation, dict):
            raise PatchMalformed("each operation of a JSON patch must be an object")
        name = operation.get("op")
        path = _pointer(operation, "path")
        if name == "copy":
            value = _found(target, _pointer(operation, "from"))
            encoded = _encoded(value)
            copied += len(encoded)
            if copied > COPY_LIMIT:
                raise PatchRefused(f"copy operations may add at most {COPY_LIMIT} bytes")
            target = _add(target, path, orjson.loads(encoded))
        elif name == "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and len(path) > len(source):
                raise PatchRefused("cannot move a value into itself")
            value = _get(target, source)
            target = _add(_remove(target, source), path, value)
        elif name == "remove":
            target = _remove(target, path)
        elif name in ("add", "replace", "test"):
            target = _with_value(target, name, path, operation.get("value"))
        else:
            raise PatchRefused(f"unexpected kind: {name}")
    return target


def _encoded(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Earlier operations can nest values deeper than any body may be.
        raise PatchRefused("a value to copy is nested too deeply") from None


def _found(target: Any, path: list[str]) -> Any:
    """What stands there; the members that a map lacks are null, as Kubernetes has it."""
    parent = _get(target, path[:-1])
    if path and isinstance(parent, dict):
        return parent.get(path[-1])
    return _get(target, path)


def _with_value(target: Any, name: str, path: list[str], value: Any) -> Any:
    if name == "test":
        if not same(_found(target, path), value):
            raise PatchRefused(f"testing value /{'/'.join(path)} failed")
        return target
    value = orjson.loads(orjson.dumps(value))
    if name == "add":
        return _add(target, path, value)
    if not path:
        return value
    _found(target, path)
    parent = _get(target, path[:-1])
    if isinstance(parent, list):
        parent[_index(parent, path[-1], len(parent) - 1)] = value
    else:
        parent[path[-1]] = value
    return target


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike Python, true is not 1 and 1.0 is not 1."""
    return left == right and orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        right, option=orjson.OPT_SORT_KEYS
    )


def _pointer(operation: dict[str, Any], key: str) -> list[str]:
    text = operation.get(key)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchRefused(f"operation needs a JSON pointer in {key!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(parent: list[Any], text: str, last: int) -> int:
    if not text.isascii() or not text.isdigit() or (text[0] == "0" and text != "0"):
        raise PatchRefused(f"invalid array index {text!r}")
    index = int(text[:12])
    if index > last:
        raise PatchRefused(f"array index {text} is out of bounds")
    return index


def _get(target: Any, path: list[str]) -> Any:
    for place, part in enumerate(path):
        if isinstance(target, dict) and part in target:
            target = target[part]
        elif isinstance(target, list):
            target = target[_index(target, part, len(target) - 1)]
        else:
            raise PatchRefused(f"path /{'/'.join(path[: place + 1])} does not exist")
    return target


def _add(target: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(target, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        last = path[-1]
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent)), value)
    else:
        raise PatchRefused(f"path /{'/'.join(path)} leads into a plain value")
    return target


def _remove(target: Any, path: list[str]) -> Any:
    if not path:
        raise PatchRefused("the whole object cannot be removed")
    parent = _get(target, path[:-1])
    if isinstance(parent, dict) and path[-1] in parent:
        del parent[path[-1]]
    elif isinstance(parent, list):
        del parent[_index(parent, path[-1], len(parent) - 1)]
    else:
        raise PatchRefused(f"path /{'/'.join(path)} does not exist")
    return target
