"""Objects as their schema sees them: which fields stand for themselves, merged and compared.

Holds: field_set, merged, compare, pruned, problem.
Lists whose schema says `x-kubernetes-list-type: map` or `set` are taken apart into items, other
lists and maps that say `atomic` are one value. Source: the Kubernetes documentation on merge
strategies of server-side apply.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson

from kube_queue.apiserver.fieldsets import Fields, holds
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.schema import follow
from kube_queue.apiserver.strategic import Merging

Entries = dict[str, tuple[Any, Merging]]
_LIST_TYPE = "x-kubernetes-list-type"


class _Untyped(ValueError):
    """A list cannot be taken apart; the text says why."""


def _said(place: Merging, key: str) -> Any:
    """What the schema says, where it refers from or where the reference leads."""
    return place.schema.get(key) or follow(place.schema, place.definitions)[0].get(key)


def _taken_apart(value: Any, place: Merging) -> Entries | None:
    """The parts of a value by their path elements; None when it is one whole.

    Raises _Untyped for a list whose items have no keys of their own.
    """
    if isinstance(value, dict):
        if _said(place, "x-kubernetes-map-type") == "atomic":
            return None
        return {f"f:{key}": (item, place.child(key)) for key, item in value.items()}
    list_type = _said(place, _LIST_TYPE) if isinstance(value, list) else None
    if list_type not in ("map", "set"):
        return None
    item_place = place.item()
    keys = _said(place, "x-kubernetes-list-map-keys") if list_type == "map" else ()
    parts: Entries = {}
    for number, item in enumerate(value):
        element = _element(item, number, keys, item_place)
        if element in parts:
            raise _Untyped(f"duplicate entries for key {element[2:]}")
        parts[element] = (item, item_place)
    return parts


def _element(item: Any, number: int, keys: tuple[str, ...], place: Merging) -> str:
    if not keys:
        return f"v:{orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()}"
    if not isinstance(item, dict):
        raise _Untyped(f"element {number}: associative list with keys may not have plain elements")
    found = {}
    for key in sorted(keys):
        value = item.get(key)
        if value is None:
            value = place.child(key).schema.get("default")
        if value is None:
            raise _Untyped(
                f"element {number}: associative list with keys has an element that omits key field "
                f'"{key}" (and doesn\'t have default value)'
            )
        found[key] = value
    return f"k:{orjson.dumps(found).decode()}"


def _parts(value: Any, place: Merging) -> Entries | None:
    try:
        return _taken_apart(value, place)
    except _Untyped:
        return None


def _declared(place: Merging, element: str) -> bool:
    properties = follow(place.schema, place.definitions)[0].get("properties", {})
    return element.startswith("f:") and element[2:] in properties


def problem(value: Any, place: Merging, path: str = "") -> str:
    """The first thing that keeps a value from being taken apart by its schema; "" when nothing."""
    try:
        parts = _taken_apart(value, place)
    except _Untyped as why:
        return f"{path}: {why}"
    schema = follow(place.schema, place.definitions)[0]
    closed = bool(schema.get("properties")) and not isinstance(
        schema.get("additionalProperties"), Mapping
    )
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        closed = False
    for element, (item, child) in (parts or {}).items():
        if element.startswith("f:"):
            below = f"{path}.{element[2:]}"
            if closed and not _declared(place, element):
                return f"{below}: field not declared in schema"
        else:
            below = f"{path}[{element[2:]}]"
        found = problem(item, child, below)
        if found:
            return found
    return ""


def field_set(value: Any, place: Merging) -> Fields:
    """The fields a value gives."""
    fields: Fields = {}
    for element, (item, child) in (_parts(value, place) or {}).items():
        node = field_set(item, child)
        if node and not _declared(place, element):
            node["."] = {}
        fields[element] = node
    return fields


def merged(live: Any, config: Any, place: Merging) -> Any:
    """The live value with the config put over it, part by part."""
    before, wanted = _parts(live, place), _parts(config, place)
    if before is None or wanted is None or type(live) is not type(config):
        return config
    parts = {
        element: merged(before[element][0], item, child) if element in before else item
        for element, (item, child) in wanted.items()
    }
    if isinstance(config, dict):
        return {**live, **{element[2:]: item for element, item in parts.items()}}
    return _in_order({element: item for element, (item, _) in before.items()}, parts)


def _in_order(before: dict[str, Any], parts: dict[str, Any]) -> list[Any]:
    """The config's order; items it does not name keep their place before those it does."""
    waiting = deque(before)
    shared = deque(element for element in parts if element in before)
    ordered = []
    for element, item in parts.items():
        while waiting and (not shared or waiting[0] != shared[0]):
            name = waiting.popleft()
            if name not in parts:
                ordered.append(before[name])
        if shared and element == shared[0]:
            shared.popleft()
            if waiting:
                waiting.popleft()
        ordered.append(item)
    return ordered + [before[name] for name in waiting if name not in parts]


def compare(old: Any, new: Any, place: Merging) -> tuple[Fields | None, Fields | None]:
    """The fields that are new or have another value, and the tops of those that are gone."""
    if same(old, new):
        return None, None
    before, now = _parts(old, place), _parts(new, place)
    if before is None or now is None or type(old) is not type(new):
        fields = field_set(new, place)
        whole = {".": {}, **fields} if fields else fields
        return whole, (None if before is None and now is None else {})
    changed: Fields = {}
    gone: Fields = {element: {} for element in before if element not in now}
    for element, (item, child) in now.items():
        if element in before:
            inside, lost = compare(before[element][0], item, child)
            if inside is not None:
                changed[element] = inside
            if lost is not None:
                gone[element] = lost
        else:
            node = field_set(item, child)
            changed[element] = {".": {}, **node} if node else node
    return changed or None, gone or None


def pruned(value: Any, place: Merging, gone: Fields, owned: Fields | None) -> Any:
    """The value without what is gone, but with all below it that is owned."""
    parts = _parts(value, place)
    if parts is None:
        return value
    kept = {}
    for element, (item, child) in parts.items():
        lost, others = gone.get(element), (owned or {}).get(element)
        if lost is None:
            kept[element] = item
        elif not holds(lost):
            kept[element] = pruned(item, child, lost, others)
        elif others is not None:
            kept[element] = _only(item, child, others, element)
    return _rebuilt(value, kept)


def _only(value: Any, place: Merging, owned: Fields, element: str) -> Any:
    parts = _parts(value, place)
    if parts is None:
        return value
    left = _rebuilt(
        value,
        {
            name: _only(item, child, owned[name], name)
            for name, (item, child) in parts.items()
            if name in owned
        },
    )
    if element.startswith("k:") and isinstance(left, dict):
        return {**orjson.loads(element[2:]), **left}
    return left


def _rebuilt(value: Any, parts: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {element[2:]: item for element, item in parts.items()}
    return list(parts.values())
