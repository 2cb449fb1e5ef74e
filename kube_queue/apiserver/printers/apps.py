"""The rows of the kinds that keep pods running, and of the budgets that protect them.

Holds: controller_revision, daemon_set, deployment, pod_disruption_budget, replica_set,
replication_controller, scale, stateful_set.
"""

from typing import Any

from kube_queue.apiserver.printers.durations import age
from kube_queue.apiserver.printers.rows import (
    NONE,
    Object,
    Row,
    containers_of,
    items,
    labels_text,
    name_of,
    part,
    selector_text,
)


def _created(obj: Object, now: float) -> str:
    return age(now, part(obj, "metadata").get("creationTimestamp"))


def _ready(obj: Object) -> str:
    wanted = part(obj, "spec").get("replicas", 0)
    return f"{part(obj, 'status').get('readyReplicas', 0)}/{wanted}"


def _selector(obj: Object) -> str:
    return selector_text(part(obj, "spec", "selector"))


def scale(obj: Object, now: float) -> Row:
    """NAME DESIRED AVAILABLE AGE."""
    desired, available = (part(obj, key).get("replicas", 0) for key in ("spec", "status"))
    return Row([name_of(obj), desired, available, _created(obj, now)])


def deployment(obj: Object, now: float) -> Row:
    """NAME READY UP-TO-DATE AVAILABLE AGE, wide: CONTAINERS IMAGES SELECTOR."""
    status = part(obj, "status")
    return Row(
        [
            name_of(obj),
            _ready(obj),
            status.get("updatedReplicas", 0),
            status.get("availableReplicas", 0),
            _created(obj, now),
            *containers_of(obj),
            _selector(obj),
        ]
    )


def replica_set(obj: Object, now: float) -> Row:
    """NAME DESIRED CURRENT READY AGE, wide: CONTAINERS IMAGES SELECTOR."""
    return Row([*_replicas(obj, now), _selector(obj)])


def replication_controller(obj: Object, now: float) -> Row:
    """The same; its selector is a map of labels."""
    return Row([*_replicas(obj, now), labels_text(part(obj, "spec", "selector"))])


def _replicas(obj: Object, now: float) -> list[Any]:
    status = part(obj, "status")
    return [
        name_of(obj),
        part(obj, "spec").get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        _created(obj, now),
        *containers_of(obj),
    ]


def stateful_set(obj: Object, now: float) -> Row:
    """NAME READY AGE, wide: CONTAINERS IMAGES."""
    return Row([name_of(obj), _ready(obj), _created(obj, now), *containers_of(obj)])


def daemon_set(obj: Object, now: float) -> Row:
    """NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE-SELECTOR AGE, wide as a deployment."""
    counts: list[Any] = [
        part(obj, "status").get(key, 0)
        for key in (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        )
    ]
    chosen = labels_text(part(obj, "spec", "template", "spec", "nodeSelector"))
    wide = (*containers_of(obj), _selector(obj))
    return Row([name_of(obj), *counts, chosen, _created(obj, now), *wide])


def controller_revision(obj: Object, now: float) -> Row:
    """NAME CONTROLLER REVISION AGE."""
    owner = NONE
    for reference in items(part(obj, "metadata"), "ownerReferences"):
        if reference.get("controller"):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            kind = str(reference.get("kind", "")).lower()
            owner = f"{kind}{f'.{group}' if group else ''}/{reference.get('name', '')}"
    return Row([name_of(obj), owner, obj.get("revision", 0), _created(obj, now)])


def pod_disruption_budget(obj: Object, now: float) -> Row:
    """NAME MIN-AVAILABLE MAX-UNAVAILABLE ALLOWED-DISRUPTIONS AGE."""
    spec = part(obj, "spec")
    bounds = [str(spec.get(key, "N/A")) for key in ("minAvailable", "maxUnavailable")]
    allowed = part(obj, "status").get("disruptionsAllowed", 0)
    return Row([name_of(obj), *bounds, allowed, _created(obj, now)])
