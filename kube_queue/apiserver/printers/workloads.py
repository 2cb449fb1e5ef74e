"""The rows of Job and Service.

Holds: job, service.
"""

from collections.abc import Mapping
from typing import Any

from kube_queue.apiserver.printers.durations import age, human_duration, parse_time
from kube_queue.apiserver.printers.rows import (
    NONE,
    UNKNOWN,
    Object,
    Row,
    condition_is_true,
    containers_of,
    items,
    joined,
    labels_text,
    name_of,
    part,
    selector_text,
)


def job(obj: Object, now: float) -> Row:
    """NAME STATUS COMPLETIONS DURATION AGE, wide: CONTAINERS IMAGES SELECTOR."""
    return Row(
        [
            name_of(obj),
            _job_status(obj),
            _completions(part(obj, "spec"), part(obj, "status")),
            _job_duration(part(obj, "status"), now),
            age(now, part(obj, "metadata").get("creationTimestamp")),
            *containers_of(obj),
            selector_text(part(obj, "spec", "selector")),
        ]
    )


def _job_status(obj: Object) -> str:
    for end in ("Complete", "Failed"):
        if condition_is_true(obj, end):
            return end
    if part(obj, "metadata").get("deletionTimestamp"):
        return "Terminating"
    for state in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition_is_true(obj, state):
            return state
    return "Running"


def _completions(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    succeeded, wanted = status.get("succeeded") or 0, spec.get("completions")
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(status: Mapping[str, Any], now: float) -> str:
    start = parse_time(str(status.get("startTime") or ""))
    if start is None:
        return ""
    end = parse_time(str(status.get("completionTime") or ""))
    return human_duration((now if end is None else end) - start)


def service(obj: Object, now: float) -> Row:
    """NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE, wide: SELECTOR."""
    spec = part(obj, "spec")
    addresses = items(spec, "clusterIPs")
    return Row(
        [
            name_of(obj),
            str(spec.get("type", "")),
            addresses[0] if addresses else NONE,
            _external_address(obj),
            joined(_port(entry) for entry in items(spec, "ports")),
            age(now, part(obj, "metadata").get("creationTimestamp")),
            labels_text(part(spec, "selector")),
        ]
    )


def _external_address(obj: Object) -> str:
    spec = part(obj, "spec")
    own = items(spec, "externalIPs")
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return joined(own)
        case "LoadBalancer":
            ingress = items(part(obj, "status", "loadBalancer"), "ingress")
            given = {entry.get("ip") or entry.get("hostname") for entry in ingress} - {None, ""}
            return joined([*sorted(given), *own], "<pending>")
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def _port(entry: Mapping[str, Any]) -> str:
    node_port = f":{entry['nodePort']}" if entry.get("nodePort") else ""
    return f"{entry.get('port')}{node_port}/{entry.get('protocol', 'TCP')}"
