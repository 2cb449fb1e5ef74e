"""Custom resource definitions turned into served kinds, and back.

Holds: CustomKinds, which follows the definitions in the store.
"""

from typing import Any

from kube_queue.apiserver.conversion import extractor
from kube_queue.apiserver.discovery import version_rank
from kube_queue.apiserver.kinds import ALL_VERBS, Column, Kind
from kube_queue.apiserver.rules.crds import accept
from kube_queue.apiserver.store import DELETED, Collection, Event, Object
from kube_queue.apiserver.world import World

RESOURCE = ("apiextensions.k8s.io", "customresourcedefinitions")


class CustomKinds:
    """Keeps the served kinds equal to the established definitions."""

    def __init__(self, world: World) -> None:
        self._world = world

    def seen(self, collection: Collection, event: Event) -> None:
        """A definition came, changed or went."""
        if (collection.group, collection.plural) != RESOURCE:
            return
        obj = event.record.decode()
        group, plural = obj["spec"]["group"], obj["spec"]["names"]["plural"]
        served = [kind for kind in self._world.kinds.of_group(group) if kind.plural == plural]
        wanted = [] if event.type == DELETED else kinds_of(obj)
        versions = {kind.version for kind in wanted}
        for kind in served:
            if kind.version not in versions:
                self._world.stop_serving(kind)
        if wanted:
            self._world.store.add_collection(group, plural, extractor(_selectable_paths(obj)))
        before = None if event.previous is None else event.previous.decode()
        if before is None or before["spec"] != obj["spec"] or len(served) != len(wanted):
            for kind in wanted:
                self._world.serve(kind)
        elif "deletionTimestamp" in obj["metadata"]:
            for kind in wanted:
                self._world.kinds.add(kind)
        if event.type == DELETED:
            self._world.store.drop_collection(group, plural)
            self._world.later(self.resume)

    def resume(self) -> None:
        """Definitions whose names were taken may have them now."""
        store = self._world.store
        collection = store.collection(*RESOURCE)
        for record in list(collection.records.values()):
            obj = record.decode()
            conditions = obj.get("status", {}).get("conditions", ())
            if any(c["type"] == "NamesAccepted" and c["status"] == "False" for c in conditions):
                obj["status"] = accept(self._world, obj)
                store.put(collection, obj)


def kinds_of(obj: Object) -> list[Kind]:
    """The kinds a definition serves; none before its names are accepted."""
    conditions = obj.get("status", {}).get("conditions", ())
    if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
        return []
    spec = obj["spec"]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    leaving = "deletionTimestamp" in obj["metadata"]
    return [
        _kind(spec, version, storage, leaving=leaving)
        for version in spec["versions"]
        if version.get("served")
    ]


def _kind(spec: dict[str, Any], version: dict[str, Any], storage: str, *, leaving: bool) -> Kind:
    names, name = spec["names"], version["name"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale") or {}
    return Kind(
        group=spec["group"],
        version=name,
        kind=names["kind"],
        list_kind=names["listKind"],
        plural=names["plural"],
        singular=names["singular"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(key for key in ("status", "scale") if key in subresources),
        schema=version["schema"]["openAPIV3Schema"],
        columns=tuple(_column(column) for column in version.get("additionalPrinterColumns") or ()),
        storage=name == storage,
        stored_as="" if name == storage else storage,
        scale=(
            scale.get("specReplicasPath", ""),
            scale.get("statusReplicasPath", ""),
            scale.get("labelSelectorPath", ""),
        ),
        selectable=tuple(_selectable_paths(spec_of_version=version)),
        verbs=ALL_VERBS - {"create"} if leaving else ALL_VERBS,
        deprecation=_deprecation(spec, version),
    )


def _deprecation(spec: dict[str, Any], version: dict[str, Any]) -> str:
    """What is said of a deprecated version: its own words, or which one to use."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = spec["group"], spec["names"]["kind"]
    text = f"{group}/{version['name']} {kind} is deprecated"
    others = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    best = min(others, key=version_rank, default="")
    return f"{text}; use {group}/{best} {kind}" if best else text


def _column(column: dict[str, Any]) -> Column:
    return Column(
        name=column["name"],
        type=column["type"],
        json_path=column["jsonPath"],
        priority=column.get("priority", 0),
        format=column.get("format", ""),
        description=column.get("description", ""),
    )


def _selectable_paths(
    obj: Object | None = None, spec_of_version: dict[str, Any] | None = None
) -> dict[str, tuple[str, ...]]:
    versions = [spec_of_version] if spec_of_version else (obj or {})["spec"]["versions"]
    return {
        field["jsonPath"].lstrip("."): tuple(field["jsonPath"].lstrip(".").split("."))
        for version in versions
        for field in version.get("selectableFields") or ()
    }
