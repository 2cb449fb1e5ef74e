"""Served versions and stored versions of one resource, and the fields a selector may name.

Holds: to_stored, to_served, home, SELECTABLE, extractor.
Versions of a custom kind differ in apiVersion only; the two Event kinds differ in field names and
share one store, as they do in Kubernetes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.store import Fields, Object

_EVENTS = ("events.k8s.io", "events")
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

SELECTABLE: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("", "pods"): {
        name: tuple(name.split("."))
        for name in (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        )
    },
    ("", "nodes"): {"spec.unschedulable": ("spec", "unschedulable")},
    ("", "namespaces"): {"status.phase": ("status", "phase")},
    ("", "secrets"): {"type": ("type",)},
    ("", "services"): {"spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
    ("apps", "replicasets"): {"status.replicas": ("status", "replicas")},
    ("batch", "jobs"): {"status.successful": ("status", "succeeded")},
    ("", "events"): {
        **{f"involvedObject.{name}": ("involvedObject", name) for name in _INVOLVED},
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
    _EVENTS: {
        **{f"regarding.{name}": ("involvedObject", name) for name in _INVOLVED},
        "reason": ("reason",),
        "reportingController": ("reportingComponent",),
        "type": ("type",),
    },
}
"""Resource -> selectable field -> where it stands in the stored object."""
_ABSENT = {"spec.unschedulable": "false", "status.successful": "0", "status.replicas": "0"}


def home(kind: Kind) -> tuple[str, str]:
    """Group and plural of the collection that stores the kind."""
    return ("", "events") if (kind.group, kind.plural) == _EVENTS else (kind.group, kind.plural)


def converted(kind: Kind) -> bool:
    """Whether the kind is stored in another form than it is served in."""
    return bool(kind.stored_as) or (kind.group, kind.plural) == _EVENTS


def to_stored(kind: Kind, obj: Object) -> None:
    """The object, in the version served, takes the form it is stored in."""
    if kind.stored_as:
        obj["apiVersion"] = f"{kind.group}/{kind.stored_as}"
    elif (kind.group, kind.plural) == _EVENTS:
        obj["apiVersion"] = "v1"
        for served, stored in _EVENT_FIELDS.items():
            if served in obj:
                obj[stored] = obj.pop(served)


def to_served(kind: Kind, obj: Object) -> None:
    """The object, as stored, takes the form of the version served."""
    obj["apiVersion"] = kind.api_version
    if (kind.group, kind.plural) == _EVENTS:
        for served, stored in _EVENT_FIELDS.items():
            if stored in obj:
                obj[served] = obj.pop(stored)


def extractor(paths: Mapping[str, tuple[str, ...]]) -> Callable[[Object], Fields] | None:
    """What reads the selectable fields out of a stored object; None when there are none."""
    if not paths:
        return None
    found_at = tuple(paths.items())

    def extract(obj: Object) -> Fields:
        fields: dict[str, str] = {}
        for name, path in found_at:
            value: Any = obj
            for part in path:
                value = value.get(part) if type(value) is dict else None
            text = _text(value) if value is not None else _ABSENT.get(name, "")
            if text:
                fields[name] = text
        return fields

    return extract


def _text(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    return value if type(value) is str else str(value)
