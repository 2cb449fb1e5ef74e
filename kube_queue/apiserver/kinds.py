"""The kinds a server serves, as values, and the registry that finds them.

Holds: Column, Kind, KindRegistry. Built-in kinds and custom resource definitions both become Kind
values here, so that routing, discovery, OpenAPI and tables have one source.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

GVR = tuple[str, str, str]
"""Group ("" for core), version, plural."""

ALL_VERBS = frozenset(
    {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """One printer column: what additionalPrinterColumns says about it."""

    name: str
    type: str
    json_path: str
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One served version of one resource.

    `schema` is an OpenAPI v3 schema. For built-in kinds it may refer to shared definitions as
    `{"$ref": "#/components/schemas/NAME"}`, resolved by `builtin.definitions()`; for custom
    resources it is the structural schema of the definition, without references.
    `storage` is false for versions that are served but stored as another version of the same
    group and plural; `stored_as` names that version ("" when it is this one).
    """

    group: str
    version: str
    kind: str
    list_kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    schema: dict[str, Any] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    builtin: bool = False
    storage: bool = True
    stored_as: str = ""
    scale: tuple[str, str, str] = ("", "", "")
    """JSON paths of replicas in spec, replicas in status and the label selector."""
    selectable: tuple[str, ...] = ()
    """Fields a field selector may name besides metadata.name and metadata.namespace."""
    verbs: frozenset[str] = ALL_VERBS
    deprecation: str = ""
    """The warning that whoever asks for this version gets."""

    @property
    def api_version(self) -> str:
        """The apiVersion its objects carry: `v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvr(self) -> GVR:
        """Its key: group, version, plural."""
        return (self.group, self.version, self.plural)

    @property
    def resource(self) -> str:
        """`plural` or `plural.group`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class KindRegistry:
    """Every served kind, found by path or by apiVersion and kind.

    `generation` rises with every change: a cache key for discovery and OpenAPI documents.
    """

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self.generation = 0
        self._kinds: dict[GVR, Kind] = {}
        self._by_kind: dict[tuple[str, str, str], Kind] = {}
        for kind in kinds:
            self.add(kind)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def kinds(self) -> tuple[Kind, ...]:
        """All kinds, in the order they were added."""
        return tuple(self._kinds.values())

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind served at that path, or None."""
        return self._kinds.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Kind | None:
        """The kind whose objects carry that group, version and kind, or None."""
        return self._by_kind.get((group, version, kind))

    def of_group(self, group: str) -> tuple[Kind, ...]:
        """Every kind of a group, any version."""
        return tuple(kind for kind in self._kinds.values() if kind.group == group)

    def serves(self, group: str, version: str) -> bool:
        """Whether any kind of that group and version is served."""
        return any(gvr[0] == group and gvr[1] == version for gvr in self._kinds)

    def add(self, kind: Kind) -> None:
        """The kind is served; one with the same group, version and plural is replaced."""
        old = self._kinds.get(kind.gvr)
        if old is not None:
            self._by_kind.pop((old.group, old.version, old.kind), None)
        self._kinds[kind.gvr] = kind
        self._by_kind[(kind.group, kind.version, kind.kind)] = kind
        self.generation += 1

    def remove(self, kind: Kind) -> None:
        """The kind is no longer served; removing an unknown one changes nothing."""
        if self._kinds.pop(kind.gvr, None) is not None:
            self._by_kind.pop((kind.group, kind.version, kind.kind), None)
            self.generation += 1
