"""The row of a Pod.

Holds: pod. Its STATUS is decided in steps, each of which may overrule the one before: the phase or
reason in status, a scheduling gate, the init containers, the containers, the deletion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_queue.apiserver.printers.durations import age, human_duration, parse_time
from kube_queue.apiserver.printers.rows import (
    NONE,
    Object,
    Row,
    condition_is_true,
    items,
    name_of,
    part,
)

_COMPLETED = {
    phase: ({"type": "Completed", "status": "True", "reason": phase, "message": message},)
    for phase, message in (
        ("Succeeded", "The pod has completed successfully."),
        ("Failed", "The pod failed."),
    )
}


@dataclass(slots=True)
class _Restarts:
    """A count of restarts and when the last one was."""

    count: int = 0
    last: float | None = None

    def add(self, status: Mapping[str, Any]) -> None:
        self.count += int(status.get("restartCount") or 0)
        finished = part(status, "lastState", "terminated").get("finishedAt")
        then = parse_time(finished) if isinstance(finished, str) else None
        if then is not None and (self.last is None or then > self.last):
            self.last = then

    def text(self, now: float) -> str:
        if self.count and self.last is not None:
            return f"{self.count} ({human_duration(now - self.last)} ago)"
        return str(self.count)


def pod(obj: Object, now: float) -> Row:
    """NAME READY STATUS RESTARTS AGE, wide: IP NODE NOMINATED-NODE READINESS-GATES."""
    spec, status = part(obj, "spec"), part(obj, "status")
    sidecars = {
        container.get("name")
        for container in items(spec, "initContainers")
        if container.get("restartPolicy") == "Always"
    }
    reason, ready, restarts, sidecar_restarts = _of_init_containers(spec, status, sidecars)
    if not reason or condition_is_true(obj, "Initialized"):
        restarts = sidecar_restarts
        own, own_ready = _of_containers(obj, restarts)
        ready += own_ready
        reason = own or reason or _of_status(status)
    reason = _of_deletion(obj, reason)
    total = len(items(spec, "containers")) + len(sidecars)
    addresses = items(status, "podIPs")
    return Row(
        [
            name_of(obj),
            f"{ready}/{total}",
            reason,
            restarts.text(now),
            age(now, part(obj, "metadata").get("creationTimestamp")),
            (addresses[0].get("ip") if addresses else "") or NONE,
            spec.get("nodeName") or NONE,
            status.get("nominatedNodeName") or NONE,
            _readiness_gates(obj),
        ],
        _COMPLETED.get(status.get("phase", ""), ()),
    )


def _of_status(status: Mapping[str, Any]) -> str:
    for condition in items(status, "conditions"):
        gated = condition.get("reason") == "SchedulingGated"
        if gated and condition.get("type") == "PodScheduled":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "")


def _of_init_containers(
    spec: Mapping[str, Any], status: Mapping[str, Any], sidecars: set[Any]
) -> tuple[str, int, _Restarts, _Restarts]:
    """What holds up the initialization ("" when nothing does), ready sidecars, restarts of all
    init containers, and of the sidecars among them."""
    restarts, sidecar_restarts, ready = _Restarts(), _Restarts(), 0
    for position, container in enumerate(items(status, "initContainerStatuses")):
        sidecar = container.get("name") in sidecars
        restarts.add(container)
        if sidecar:
            sidecar_restarts.add(container)
        state = part(container, "state")
        terminated, waiting = state.get("terminated"), part(state, "waiting").get("reason")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            reason = _end_of(terminated)
        elif waiting and waiting != "PodInitializing":
            reason = str(waiting)
        else:
            reason = f"{position}/{len(items(spec, 'initContainers'))}"
        return f"Init:{reason}", ready, restarts, sidecar_restarts
    return "", ready, restarts, sidecar_restarts


def _of_containers(obj: Object, restarts: _Restarts) -> tuple[str, int]:
    """What the containers say ("" when nothing), and how many are ready; adds their restarts."""
    status = part(obj, "status")
    reason, error, ready = "", "", 0
    for container in reversed(items(status, "containerStatuses")):
        restarts.add(container)
        state = part(container, "state")
        terminated, waiting = state.get("terminated"), part(state, "waiting").get("reason")
        if waiting:
            reason = str(waiting)
        elif terminated is not None:
            reason = _end_of(terminated)
            error = reason if terminated.get("exitCode") else error
        elif container.get("ready") and state.get("running") is not None:
            ready += 1
    if (reason or _of_status(status)) == "Completed":
        if ready and condition_is_true(obj, "Ready"):
            reason = "Running"
        elif error:
            reason = error
        elif ready:
            reason = "NotReady"
    return reason, ready


def _end_of(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _of_deletion(obj: Object, reason: str) -> str:
    status = part(obj, "status")
    if not part(obj, "metadata").get("deletionTimestamp"):
        return reason
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return reason if status.get("phase") in ("Succeeded", "Failed") else "Terminating"


def _readiness_gates(obj: Object) -> str:
    gates = items(part(obj, "spec"), "readinessGates")
    passed = sum(condition_is_true(obj, str(gate.get("conditionType"))) for gate in gates)
    return f"{passed}/{len(gates)}" if gates else NONE
