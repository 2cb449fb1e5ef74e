"""The status a kubelet writes at each turn of a pod's life."""

from __future__ import annotations

import zlib
from typing import Any

from kube_queue.api.conditions import rfc3339
from kube_queue.simulator.node import node_address
from kube_queue.simulator.views import PodView

Status = dict[str, Any]


def running(pod: PodView, now: float) -> Status:
    """It has started and is ready."""
    started = rfc3339(now)
    address = pod_address(pod.uid)
    host = node_address(pod.node)
    return {
        "phase": "Running",
        "conditions": _conditions("True", "", started),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": started,
        "containerStatuses": [
            _container(pod, name, image, {"running": {"startedAt": started}}, ready=True)
            for name, image in pod.containers
        ],
    }


def ended(pod: PodView, exit_code: int, now: float) -> Status:
    """Every container has ended with that code and none is started again."""
    finished = rfc3339(now)
    succeeded = exit_code == 0
    reason = "PodCompleted" if succeeded else "PodFailed"
    return {
        "phase": "Succeeded" if succeeded else "Failed",
        "conditions": _conditions("False", reason, finished),
        "containerStatuses": [
            _container(pod, name, image, _terminated(pod, exit_code, now), ready=False)
            for name, image in pod.containers
        ],
    }


def restarted(pod: PodView, exit_code: int, now: float) -> Status:
    """Every container has ended with that code and runs once more; one more restart is counted."""
    state = {"running": {"startedAt": rfc3339(now)}}
    statuses = []
    for name, image in pod.containers:
        status = _container(pod, name, image, state, ready=True)
        status["restartCount"] = pod.restarts + 1
        status["lastState"] = _terminated(pod, exit_code, now)
        statuses.append(status)
    return {"containerStatuses": statuses}


def rejected(pod: PodView, resource: str, used: int, capacity: int, now: float) -> Status:
    """The node has not enough of the resource, and the pod never starts."""
    return {
        "phase": "Failed",
        "reason": f"OutOf{resource}",
        "message": (
            f"Pod was rejected: Node didn't have enough resource: {resource}, "
            f"requested: {pod.demand[resource]}, used: {used}, capacity: {capacity}"
        ),
        "startTime": rfc3339(now),
    }


def unschedulable(message: str, now: float) -> Status:
    """No node takes it; the scheduler says why."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }
    return {"conditions": [condition]}


def _conditions(ready: str, reason: str, now: str) -> list[dict[str, Any]]:
    """The five conditions of a pod that has started, in the order a kubelet writes them."""
    said = (
        ("PodReadyToStartContainers", ready, ""),
        ("Initialized", "True", reason if reason == "PodCompleted" else ""),
        ("Ready", ready, reason),
        ("ContainersReady", ready, reason),
        ("PodScheduled", "True", ""),
    )
    return [
        {
            "type": kind,
            "status": status,
            "lastTransitionTime": now,
            **({"reason": why} if why else {}),
        }
        for kind, status, why in said
    ]


def _container(
    pod: PodView, name: str, image: str, state: dict[str, Any], *, ready: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imageID": f"simulator://{image}",
        "containerID": _container_id(pod, name),
        "ready": ready,
        "started": ready,
        "restartCount": pod.restarts,
        "state": state,
        "lastState": {},
    }


def _terminated(pod: PodView, exit_code: int, now: float) -> dict[str, Any]:
    since = (pod.running_since or pod.started) / 1_000_000
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "startedAt": rfc3339(since),
            "finishedAt": rfc3339(now),
            "containerID": _container_id(pod, pod.containers[0][0] if pod.containers else ""),
        }
    }


def _container_id(pod: PodView, container: str) -> str:
    return f"simulator://{pod.uid}/{container}/{pod.restarts}"


def pod_address(uid: str) -> str:
    """An address out of 10.0.0.0/8 that belongs to this pod."""
    digest = zlib.crc32(uid.encode())
    return f"10.{digest >> 16 & 255}.{digest >> 8 & 255}.{1 + digest % 254}"
