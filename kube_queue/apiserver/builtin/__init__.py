"""What is known about built-in kinds, loaded from data beside this file.

Holds: load_kinds, definitions, served_subresources, protobuf_tables; the JSON files and a note of
    their source (README.md).
May import: kinds.
Never: a guess; the files are generated from Kubernetes' own documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from kube_queue.apiserver.kinds import Column, Kind

REF_PREFIX = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class ServedSubresource:
    """What discovery says about one subresource; empty group and version mean the parent's."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


def load_kinds() -> list[Kind]:
    """Every built-in kind, in the order of group and name.

    A kind's schema is its definition: references inside it name entries of `definitions()`.
    """
    shared = definitions()
    return [_kind(entry, shared) for entry in _load("kinds.json")["kinds"]]


@cache
def definitions() -> Mapping[str, dict[str, Any]]:
    """Definition name -> OpenAPI v3 schema; shared, not to be changed."""
    loaded: dict[str, dict[str, Any]] = _load("definitions.json")["definitions"]
    return loaded


@cache
def definition_names() -> Mapping[tuple[str, str, str], str]:
    """Group, version and kind -> the name of its definition."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions().items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }


@cache
def served_subresources() -> Mapping[tuple[str, str, str], tuple[ServedSubresource, ...]]:
    """Group, version and plural of a built-in kind -> its subresources, by name."""
    return {
        (entry["group"], entry["version"], entry["plural"]): tuple(
            ServedSubresource(
                name,
                facts["kind"],
                tuple(facts["verbs"]),
                facts.get("group", ""),
                facts.get("version", ""),
            )
            for name, facts in sorted(entry["subresources"].items())
        )
        for entry in _load("kinds.json")["kinds"]
    }


@cache
def protobuf_tables() -> Mapping[str, Any]:
    """`kinds`: "group/version/kind" -> message name; `messages`: name -> field number -> field.

    A field is [JSON name, type, flags]: `r` repeated, `m` map from strings, `i` its own fields
    stand in the parent, `z` a zero is kept.
    """
    loaded: dict[str, Any] = _load("protobuf.json")
    return loaded


def _kind(entry: dict[str, Any], shared: Mapping[str, dict[str, Any]]) -> Kind:
    return Kind(
        group=entry["group"],
        version=entry["version"],
        kind=entry["kind"],
        list_kind=f"{entry['kind']}List",
        plural=entry["plural"],
        singular=entry["singular"],
        namespaced=entry["namespaced"],
        short_names=tuple(entry["shortNames"]),
        categories=tuple(entry["categories"]),
        subresources=frozenset(entry["subresources"]),
        schema=shared[entry["definition"]],
        columns=tuple(
            Column(name, type_, "", priority, format_)
            for name, type_, priority, format_ in entry["columns"]
        ),
        builtin=True,
        scale=(".spec.replicas", ".status.replicas", ".spec.selector"),
        verbs=frozenset(entry["verbs"]),
    )


def _load(name: str) -> Any:
    return orjson.loads(files(__name__).joinpath(name).read_bytes())
