"""The rows of jobs and of what leads to pods.

Holds: cron_job, endpoints, ingress, job, service.
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

_SHOWN = 3


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


def cron_job(obj: Object, now: float) -> Row:
    """NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST-SCHEDULE AGE, wide as a job."""
    spec, status = part(obj, "spec"), part(obj, "status")
    last = status.get("lastScheduleTime")
    return Row(
        [
            name_of(obj),
            spec.get("schedule", ""),
            spec.get("timeZone", NONE),
            str(spec.get("suspend", "<unset>")),
            len(items(status, "active")),
            age(now, last) if last else NONE,
            age(now, part(obj, "metadata").get("creationTimestamp")),
            *containers_of(part(spec, "jobTemplate")),
            selector_text(part(spec, "jobTemplate", "spec", "selector")),
        ]
    )


def endpoints(obj: Object, now: float) -> Row:
    """NAME ENDPOINTS AGE: three addresses at most."""
    found = [
        f"{address.get('ip', '')}{_colon(port)}"
        for subset in items(obj, "subsets")
        for port in items(subset, "ports") or [{}]
        for address in items(subset, "addresses")
    ]
    shown = joined(found[:_SHOWN])
    if len(found) > _SHOWN:
        shown += f" + {len(found) - _SHOWN} more..."
    return Row([name_of(obj), shown, age(now, part(obj, "metadata").get("creationTimestamp"))])


def _colon(port: Mapping[str, Any]) -> str:
    return f":{port.get('port')}" if port else ""


def ingress(obj: Object, now: float) -> Row:
    """NAME CLASS HOSTS ADDRESS PORTS AGE."""
    spec = part(obj, "spec")
    hosts = [str(rule["host"]) for rule in items(spec, "rules") if rule.get("host")]
    shown = joined(hosts[:_SHOWN], "*")
    if len(hosts) > _SHOWN:
        shown += f" + {len(hosts) - _SHOWN} more..."
    given = items(part(obj, "status", "loadBalancer"), "ingress")
    addresses = {str(entry.get("ip") or entry.get("hostname") or "") for entry in given} - {""}
    return Row(
        [
            name_of(obj),
            spec.get("ingressClassName", NONE),
            shown,
            ",".join(sorted(addresses)),
            "80, 443" if items(spec, "tls") else "80",
            age(now, part(obj, "metadata").get("creationTimestamp")),
        ]
    )


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
