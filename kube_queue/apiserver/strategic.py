"""Strategic merge patch: a merge patch that knows which lists are maps.

Holds: Merging (what a kind's schema says about its lists), strategic_patch.
Directives: $patch (replace, delete, merge), $retainKeys, $deleteFromPrimitiveList,
$setElementOrder. Source: the Kubernetes documentation on strategic merge patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kube_queue.apiserver.patches import PatchMalformed, PatchRefused
from kube_queue.apiserver.schema import Schema, follow

_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_GONE = object()


@dataclass(frozen=True, slots=True)
class Merging:
    """A place in a schema; an empty schema merges maps and replaces lists."""

    schema: Schema
    definitions: Mapping[str, Schema]

    def child(self, key: str) -> "Merging":
        """The place of one field of a map."""
        resolved, _ = follow(self.schema, self.definitions)
        found = resolved.get("properties", {}).get(key)
        if found is None:
            extra = resolved.get("additionalProperties")
            found = extra if isinstance(extra, Mapping) else {}
        return Merging(found, self.definitions)

    def item(self) -> "Merging":
        """The place of a list's items."""
        resolved, _ = follow(self.schema, self.definitions)
        return Merging(resolved.get("items") or {}, self.definitions)

    @property
    def strategies(self) -> frozenset[str]:
        """`merge`, `replace`, `retainKeys`, as the schema has them."""
        text = self.schema.get("x-kubernetes-patch-strategy", "")
        return frozenset(text.split(",")) if text else frozenset()

    @property
    def key(self) -> str:
        """What identifies an item of a merged list; "" for plain values."""
        return str(self.schema.get("x-kubernetes-patch-merge-key", ""))


def strategic_patch(target: Any, patch: Any, place: Merging) -> Any:
    """The target, changed by the patch; PatchRefused or PatchMalformed when it cannot be."""
    if not isinstance(patch, dict):
        raise PatchMalformed("a strategic merge patch must be an object")
    return _map(target if isinstance(target, dict) else {}, patch, place)


def _map(target: dict[str, Any], patch: dict[str, Any], place: Merging) -> dict[str, Any]:
    directive = patch.get("$patch")
    if directive == "replace":
        replaced: dict[str, Any] = _clean(patch)
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchMalformed(f"unknown $patch directive {directive!r}")
    retained = patch.get("$retainKeys")
    if retained is not None:
        if not isinstance(retained, list):
            raise PatchMalformed("$retainKeys must be a list")
        kept = {key for key in retained if isinstance(key, str)}
        for key in tuple(target):
            if key not in kept:
                del target[key]
    ordered = [key.removeprefix(_ORDER) for key in patch if key.startswith(_ORDER)]
    before = {key: target.get(key) for key in ordered}
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            _delete_values(target, key.removeprefix(_DELETE_FROM), value)
        elif not key.startswith("$"):
            _field(target, key, value, place.child(key))
    for key, order in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            _arrange(target, name, order, before[name], place.child(name).key)
    return target


def _field(target: dict[str, Any], key: str, value: Any, place: Merging) -> None:
    current = target.get(key)
    if value is None:
        target.pop(key, None)
    elif isinstance(value, dict):
        if "replace" in place.strategies:
            target[key] = _clean(value)
        else:
            target[key] = _map(current if isinstance(current, dict) else {}, value, place)
    elif isinstance(value, list):
        if "merge" in place.strategies:
            target[key] = _list(current if isinstance(current, list) else [], value, place)
        else:
            target[key] = _clean(value)
    else:
        target[key] = value


def _list(current: list[Any], patch: list[Any], place: Merging) -> list[Any]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        plain = [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
        return _clean(plain)  # type: ignore[no-any-return]
    key = place.key
    if not key:
        known = {_token(item) for item in current}
        joined = [*current, *(item for item in patch if _token(item) not in known)]
        return _in_order(joined, patch, current, key)
    merged = _by_key(current, patch, place.item(), key)
    return _in_order(merged, patch, current, key)


def _by_key(current: list[Any], patch: list[Any], place: Merging, key: str) -> list[Any]:
    """The list with each item of the patch merged into the first that has its key."""
    # Places are looked up, not searched for: both lists may have a hundred thousand items.
    places: dict[bytes, list[int]] = {}
    merged: list[Any] = list(current)
    for index, old in enumerate(merged):
        if isinstance(old, dict) and key in old:
            places.setdefault(_token(old[key]), []).append(index)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchRefused(f"map: {item} does not contain declared merge key: {key}")
        token = _token(item[key])
        if item.get("$patch") == "delete":
            for index in places.pop(token, ()):
                merged[index] = _GONE
        elif token in places:
            index = places[token][0]
            merged[index] = _map(merged[index], item, place)
        else:
            places[token] = [len(merged)]
            merged.append(_map({}, item, place))
    return [item for item in merged if item is not _GONE]


def _token(value: Any) -> bytes:
    """The same for equal values, and quick to look up."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _in_order(items: list[Any], first: list[Any], before: list[Any], key: str) -> list[Any]:
    """Items that `first` names stand in its order; others before those they stood before."""

    def places(found: list[Any]) -> dict[bytes, int]:
        known: dict[bytes, int] = {}
        for place, item in enumerate(found):
            known.setdefault(identity(item), place)
        return known

    def identity(item: Any) -> bytes:
        return _token(item.get(key) if key and isinstance(item, dict) else item)

    ranks, stood = places(first), places(before)
    named = sorted(
        (item for item in items if identity(item) in ranks), key=lambda item: ranks[identity(item)]
    )
    others = [item for item in items if identity(item) not in ranks]
    merged: list[Any] = []
    taken = 0
    for item in others:
        place = stood.get(identity(item), -1)
        while taken < len(named) and not 0 <= place < stood.get(identity(named[taken]), -1):
            merged.append(named[taken])
            taken += 1
        merged.append(item)
    return [*merged, *named[taken:]]


def _delete_values(target: dict[str, Any], key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise PatchMalformed(f"{_DELETE_FROM}{key} must be a list")
    if isinstance(target.get(key), list):
        unwanted = {_token(value) for value in values}
        target[key] = [item for item in target[key] if _token(item) not in unwanted]


def _arrange(target: dict[str, Any], key: str, order: Any, before: Any, merge_key: str) -> None:
    """Items the order names stand in its order; others before those they stood before."""
    items = target.get(key)
    if not isinstance(order, list):
        raise PatchMalformed(f"{_ORDER}{key} must be a list")
    if not isinstance(items, list):
        return

    known = before if isinstance(before, list) else []
    target[key] = _in_order(items, order, known, merge_key)


def _clean(value: Any) -> Any:
    """The value without directives and nulls, as it is stored when nothing was there before."""
    if isinstance(value, dict):
        return {
            key: _clean(item)
            for key, item in value.items()
            if item is not None and not key.startswith("$")
        }
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
