"""Reading manifests that anybody may have written: a wrong type reads as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.conditions import parse_rfc3339
from kube_queue.api.errors import InvalidInput

_NOTHING: Mapping[str, Any] = {}


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The JSON objects in the value if it is a list, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def number(value: object, default: int = 0) -> int:
    """The value if it is a whole number, else `default`."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def moment(value: object) -> int:
    """An RFC 3339 text as microseconds since the epoch; 0 when it is none."""
    try:
        return parse_rfc3339(value) if isinstance(value, str) else 0
    except InvalidInput:
        return 0


def merge_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that makes `before` into `after`; empty when they are equal."""
    changes: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        held = before.get(name)
        if isinstance(value, dict) and isinstance(held, dict):
            inner = merge_difference(held, value)
            if inner:
                changes[name] = inner
        elif name not in before or held != value:
            changes[name] = value
    return changes


def condition_status(conditions: object, kind: str) -> str:
    """ "True", "False" or "Unknown" as the condition of that type says; empty when it is absent."""
    for condition in mappings(conditions):
        if condition.get("type") == kind:
            return text(condition.get("status"))
    return ""


def controller_uid(metadata: Mapping[str, Any]) -> str:
    """The uid of the owner that controls the object; empty when nobody does."""
    for owner in mappings(metadata.get("ownerReferences")):
        if owner.get("controller") is True:
            return text(owner.get("uid"))
    return ""
