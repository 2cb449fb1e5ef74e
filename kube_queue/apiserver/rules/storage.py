"""Volumes, claims and storage classes: their defaults. No controller here binds one to another."""

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.quantities import settle_amounts
from kube_queue.apiserver.rules.small import PlainRules
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World


class _VolumeRules(PlainRules):
    """A volume or claim is Pending until something binds it."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        if old is None:
            obj["status"] = {"phase": "Pending"}
        settle_amounts(obj.get("status", {}), ("capacity",), "status")


class PersistentVolumeRules(_VolumeRules):
    """A volume is kept when its claim goes, unless it says otherwise."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        super().prepare(world, kind, obj, old)
        obj["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
        settle_amounts(obj["spec"], ("capacity",), "spec")


class PersistentVolumeClaimRules(_VolumeRules):
    """A claim's amounts are quantities."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        super().prepare(world, kind, obj, old)
        settle_amounts(obj["spec"].get("resources", {}), ("limits", "requests"), "spec.resources")


class StorageClassRules(PlainRules):
    """A class deletes its volumes and binds at once, unless it says otherwise."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")
