"""Objects as a meta.k8s.io/v1 Table, the form kubectl prints.

Holds: render, check_columns. Built-in kinds go through printers; custom kinds through the JSON
paths of their printer columns.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from kube_queue.apiserver.kinds import Column, Kind
from kube_queue.apiserver.printers import PRINTERS
from kube_queue.apiserver.printers.durations import age
from kube_queue.apiserver.printers.jsonpath import BadPath, Path, compile_path
from kube_queue.apiserver.printers.rows import Row, name_of, part

_NAME = Column("Name", "string", "", format="name", description="The name of the object.")
_AGE = Column(
    "Age", "date", ".metadata.creationTimestamp", description="How long the object has existed."
)
_CREATED = Column("Created At", "date", "", description="When the object was created.")


def render(
    kind: Kind,
    objects: Iterable[Mapping[str, Any]],
    *,
    list_meta: Mapping[str, Any],
    now: float,
    include: str = "Metadata",
    headers: bool = True,
) -> dict[str, Any]:
    """A Table of the objects, one row each, in their order.

    `list_meta`: resourceVersion, continue, remainingItemCount of the list, or of the one object.
    `now`: seconds since the epoch. `include`: what a row carries of its object, "None",
    "Metadata" or "Object". `headers=False` leaves the columns out, as every event of a watch but
    the first does.
    """
    rows = []
    for obj in objects:
        row = _row(kind, obj, now)
        entry: dict[str, Any] = {"cells": row.cells}
        if row.conditions:
            entry["conditions"] = list(row.conditions)
        entry["object"] = _included(obj, include)
        rows.append(entry)
    kept = {key: list_meta[key] for key in _LIST_META if list_meta.get(key)}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": kept,
        "columnDefinitions": [_definition(column) for column in _columns(kind)]
        if headers
        else None,
        "rows": rows,
    }


_LIST_META = ("resourceVersion", "continue", "remainingItemCount")


def check_columns(columns: Iterable[Column]) -> str:
    """The first thing wrong with the JSON path of a column, "" when all can be read."""
    for column in columns:
        try:
            compile_path(column.json_path)
        except BadPath as problem:
            return f"column {column.name!r}: {problem}"
    return ""


def _columns(kind: Kind) -> tuple[Column, ...]:
    if kind.builtin:
        return kind.columns or (_NAME, _CREATED)
    return (_NAME, *(kind.columns or (_AGE,)))


def _definition(column: Column) -> dict[str, Any]:
    description = column.description
    if not description and column.json_path:
        description = f"Column of the custom resource, JSON path {column.json_path}"
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    }


def _included(obj: Mapping[str, Any], include: str) -> Any:
    if include == "Object":
        return obj
    if include == "None":
        return None
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj.get("metadata", {}),
    }


def _row(kind: Kind, obj: Mapping[str, Any], now: float) -> Row:
    if kind.builtin:
        printer = PRINTERS.get((kind.group, kind.kind))
        if printer is not None:
            return printer(obj, now)
        return Row([name_of(obj), part(obj, "metadata").get("creationTimestamp")])
    cells: list[Any] = [name_of(obj)]
    for column, path in _compiled(kind.columns or (_AGE,)):
        found = path(obj) if path is not None else []
        cells.append(_cell(column.type, found[0], now) if found else None)
    return Row(cells)


@lru_cache(maxsize=512)
def _compiled(columns: tuple[Column, ...]) -> tuple[tuple[Column, Path | None], ...]:
    """Columns with their paths; a path that cannot be read stands as None and shows nothing."""
    compiled: list[tuple[Column, Path | None]] = []
    for column in columns:
        try:
            compiled.append((column, compile_path(column.json_path)))
        except BadPath:
            compiled.append((column, None))
    return tuple(compiled)


def _cell(type_: str, value: Any, now: float) -> Any:
    """The value as a cell of that column type; None when it does not fit."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "string":
        return _text(value)
    if type_ == "integer":
        return int(value) if number else None
    if type_ == "number":
        return float(value) if number else None
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if type_ == "date" and isinstance(value, str):
        return age(now, value)
    return None


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case dict() | list():
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return str(value)
