"""The rows of volumes, claims and what provides them.

Holds: csi_node, persistent_volume, persistent_volume_claim, storage_class.
"""

from typing import Any

from kube_queue.apiserver.printers.durations import age
from kube_queue.apiserver.printers.rows import Object, Row, items, name_of, part

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_UNSET = "<unset>"
_DEFAULTS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def _created(obj: Object, now: float) -> str:
    return age(now, part(obj, "metadata").get("creationTimestamp"))


def _modes(holder: Object) -> str:
    given = items(holder, "accessModes")
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _phase(obj: Object) -> str:
    if part(obj, "metadata").get("deletionTimestamp"):
        return "Terminating"
    return str(part(obj, "status").get("phase", ""))


def _class(obj: Object) -> str:
    old = part(obj, "metadata", "annotations").get(_OLD_CLASS)
    return str(old or part(obj, "spec").get("storageClassName", ""))


def _or_unset(obj: Object, key: str) -> str:
    return str(part(obj, "spec").get(key, _UNSET))


def persistent_volume(obj: Object, now: float) -> Row:
    """NAME CAPACITY ACCESS-MODES RECLAIM-POLICY STATUS CLAIM and more."""
    spec = part(obj, "spec")
    claim = part(spec, "claimRef")
    return Row(
        [
            name_of(obj),
            part(spec, "capacity").get("storage", "0"),
            _modes(spec),
            spec.get("persistentVolumeReclaimPolicy", ""),
            _phase(obj),
            f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
            _class(obj),
            _or_unset(obj, "volumeAttributesClassName"),
            part(obj, "status").get("reason", ""),
            _created(obj, now),
            _or_unset(obj, "volumeMode"),
        ]
    )


def persistent_volume_claim(obj: Object, now: float) -> Row:
    """NAME STATUS VOLUME CAPACITY ACCESS-MODES STORAGECLASS and more."""
    volume, status = part(obj, "spec").get("volumeName", ""), part(obj, "status")
    bound: list[Any] = ["", ""]
    if volume:
        bound = [part(status, "capacity").get("storage", "0"), _modes(status)]
    return Row(
        [
            name_of(obj),
            _phase(obj),
            volume,
            *bound,
            _class(obj),
            _or_unset(obj, "volumeAttributesClassName"),
            _created(obj, now),
            _or_unset(obj, "volumeMode"),
        ]
    )


def storage_class(obj: Object, now: float) -> Row:
    """NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE."""
    notes = part(obj, "metadata", "annotations")
    default = any(notes.get(key) == "true" for key in _DEFAULTS)
    return Row(
        [
            f"{name_of(obj)}{' (default)' if default else ''}",
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy", "Delete"),
            obj.get("volumeBindingMode", "Immediate"),
            bool(obj.get("allowVolumeExpansion")),
            _created(obj, now),
        ]
    )


def csi_node(obj: Object, now: float) -> Row:
    """NAME DRIVERS AGE."""
    return Row([name_of(obj), len(items(part(obj, "spec"), "drivers")), _created(obj, now)])
