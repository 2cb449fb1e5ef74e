"""Sets of fields in the form of FieldsV1, and what may be done with them.

Holds: Fields and the operations on sets: union, difference, intersection, cut, with_ancestors,
paths.

A set is a tree of `f:NAME` (a field), `k:{...}` (an item of a list, by its keys), `v:VALUE` (an
item of a list that is a set). A node without children is a member of the set; one with children
is a member when it holds `.`. None is the empty set. No operation changes what it is given.
Source: the Kubernetes documentation on field management.
"""

from collections.abc import Iterator
from typing import Any

import orjson

Fields = dict[str, Any]


def _member(node: Fields) -> bool:
    return not node or "." in node


def _node(children: Fields, *, member: bool) -> Fields | None:
    if children and member:
        return {".": {}, **children}
    return children if children or member else None


def _children(node: Fields) -> Iterator[tuple[str, Fields]]:
    return ((key, child) for key, child in node.items() if key != ".")


def union(one: Fields | None, other: Fields | None) -> Fields | None:
    """What is in either."""
    if one is None or other is None:
        return one if other is None else other
    return _both(one, other)


def _both(one: Fields, other: Fields) -> Fields:
    children = dict(_children(one))
    for key, child in _children(other):
        known = children.get(key)
        children[key] = child if known is None else _both(known, child)
    return _node(children, member=_member(one) or _member(other)) or {}


def difference(one: Fields | None, other: Fields | None) -> Fields | None:
    """What is in the first and not in the second."""
    if one is None or other is None:
        return one
    left = {key: difference(child, other.get(key)) for key, child in _children(one)}
    children = {key: child for key, child in left.items() if child is not None}
    return _node(children, member=_member(one) and not _member(other))


def intersection(one: Fields | None, other: Fields | None) -> Fields | None:
    """What is in both."""
    if one is None or other is None:
        return None
    shared = {key: intersection(child, other.get(key)) for key, child in _children(one)}
    children = {key: child for key, child in shared.items() if child is not None}
    return _node(children, member=_member(one) and _member(other))


def cut(one: Fields | None, gone: Fields | None) -> Fields | None:
    """The first without the members of the second and all that is below them."""
    if one is None or gone is None:
        return one
    if _member(gone):
        return None
    left = {key: cut(child, gone.get(key)) for key, child in _children(one)}
    children = {key: child for key, child in left.items() if child is not None}
    return _node(children, member=_member(one))


def with_ancestors(one: Fields | None, *, root: bool = True) -> Fields | None:
    """The set with everything a member stands in."""
    if one is None:
        return None
    children = {key: with_ancestors(child, root=False) for key, child in _children(one)}
    return _node(children, member=not root or _member(one))


def holds(one: Fields) -> bool:
    """Whether the node itself is a member."""
    return _member(one)


def paths(one: Fields | None, above: str = "") -> Iterator[str]:
    """The members as paths: `.spec.containers[name="c"].image`."""
    if one is None:
        return
    if above and _member(one):
        yield above
    for key, child in sorted(_children(one)):
        yield from paths(child, above + _element(key))


def _element(key: str) -> str:
    form, text = key[:2], key[2:]
    if form == "f:":
        return f".{text}"
    if form != "k:":
        return f"[={text}]" if form == "v:" else f"[{text}]"
    keys = orjson.loads(text)
    return f"[{','.join(f'{name}={orjson.dumps(keys[name]).decode()}' for name in sorted(keys))}]"
