"""The rows of the kinds around the workloads.

Holds: config_map, event, lease, namespace, node, priority_class, resource_quota, secret,
service_account.
"""

from collections.abc import Mapping
from typing import Any

from kube_queue.apiserver.printers.durations import UNKNOWN as UNKNOWN_TIME
from kube_queue.apiserver.printers.durations import age
from kube_queue.apiserver.printers.rows import (
    NONE,
    UNKNOWN,
    Object,
    Row,
    items,
    joined,
    name_of,
    part,
)

_ROLE_PREFIX = "node-role.kubernetes.io/"
_ROLE_LABEL = "kubernetes.io/role"


def _created(obj: Object, now: float) -> str:
    return age(now, part(obj, "metadata").get("creationTimestamp"))


def config_map(obj: Object, now: float) -> Row:
    """NAME DATA AGE."""
    entries = len(part(obj, "data")) + len(part(obj, "binaryData"))
    return Row([name_of(obj), entries, _created(obj, now)])


def secret(obj: Object, now: float) -> Row:
    """NAME TYPE DATA AGE."""
    return Row([name_of(obj), obj.get("type", ""), len(part(obj, "data")), _created(obj, now)])


def service_account(obj: Object, now: float) -> Row:
    """NAME AGE."""
    return Row([name_of(obj), _created(obj, now)])


def namespace(obj: Object, now: float) -> Row:
    """NAME STATUS AGE."""
    return Row([name_of(obj), part(obj, "status").get("phase", ""), _created(obj, now)])


def lease(obj: Object, now: float) -> Row:
    """NAME HOLDER AGE."""
    holder = part(obj, "spec").get("holderIdentity") or ""
    return Row([name_of(obj), holder, _created(obj, now)])


def priority_class(obj: Object, now: float) -> Row:
    """NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY."""
    return Row(
        [
            name_of(obj),
            obj.get("value", 0),
            bool(obj.get("globalDefault")),
            _created(obj, now),
            obj.get("preemptionPolicy") or "",
        ]
    )


def resource_quota(obj: Object, now: float) -> Row:
    """NAME REQUEST LIMIT AGE: `used/hard` of each resource, limits.* in a column of their own."""
    hard, used = part(obj, "status", "hard"), part(obj, "status", "used")
    requests: list[str] = []
    limits: list[str] = []
    for resource in sorted(hard):
        column = limits if resource.startswith("limits.") else requests
        column.append(f"{resource}: {used.get(resource, 0)}/{hard[resource]}")
    return Row([name_of(obj), ", ".join(requests), ", ".join(limits), _created(obj, now)])


def node(obj: Object, now: float) -> Row:
    """NAME STATUS ROLES AGE VERSION, wide: addresses, image, kernel, runtime."""
    seen = part(obj, "status", "nodeInfo")
    kernel = seen.get("kernelVersion") or UNKNOWN
    if seen.get("architecture"):
        kernel += f" ({seen['architecture']})"
    return Row(
        [
            name_of(obj),
            _node_status(obj),
            joined(_roles(part(obj, "metadata", "labels"))),
            _created(obj, now),
            seen.get("kubeletVersion", ""),
            _address(obj, "InternalIP"),
            _address(obj, "ExternalIP"),
            seen.get("osImage") or UNKNOWN,
            kernel,
            seen.get("containerRuntimeVersion") or UNKNOWN,
        ]
    )


def _node_status(obj: Object) -> str:
    ready = "Unknown"
    for condition in items(part(obj, "status"), "conditions"):
        if condition.get("type") == "Ready":
            ready = "Ready" if condition.get("status") == "True" else "NotReady"
    return f"{ready},SchedulingDisabled" if part(obj, "spec").get("unschedulable") else ready


def _roles(labels: Mapping[str, str]) -> list[str]:
    named = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    return sorted((named | {labels.get(_ROLE_LABEL, "")}) - {""})


def _address(obj: Object, wanted: str) -> str:
    for address in items(part(obj, "status"), "addresses"):
        if address.get("type") == wanted:
            return str(address.get("address", ""))
    return NONE


def event(obj: Object, now: float) -> Row:
    """LAST-SEEN TYPE REASON OBJECT MESSAGE, wide: SUBOBJECT SOURCE FIRST-SEEN COUNT NAME.

    Reads events of both API groups: the older names of fields, else the newer.
    """
    series = part(obj, "series")
    first = _time_of(obj, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime")
    last = _time_of(series, "lastObservedTime") if series else ""
    last = last or _time_of(obj, "lastTimestamp", "deprecatedLastTimestamp") or first
    about = part(obj, "involvedObject") or part(obj, "regarding")
    kind = str(about.get("kind", "")).lower()
    count = series.get("count") if series else obj.get("count") or obj.get("deprecatedCount")
    return Row(
        [
            age(now, last) if last else UNKNOWN_TIME,
            obj.get("type", ""),
            obj.get("reason", ""),
            f"{kind}/{about['name']}" if about.get("name") else kind,
            about.get("fieldPath", ""),
            _source(obj),
            str(obj.get("message") or obj.get("note") or "").strip(),
            age(now, first) if first else UNKNOWN_TIME,
            count or 1,
            name_of(obj),
        ]
    )


def _time_of(obj: Mapping[str, Any], *names: str) -> str:
    return next((str(obj[name]) for name in names if obj.get(name)), "")


def _source(obj: Object) -> str:
    source = part(obj, "source") or part(obj, "deprecatedSource")
    component = (
        source.get("component")
        or obj.get("reportingComponent")
        or obj.get("reportingController")
        or ""
    )
    instance = source.get("host") or obj.get("reportingInstance")
    return f"{component}, {instance}" if instance else str(component)
