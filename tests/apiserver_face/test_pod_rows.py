"""READY, STATUS and RESTARTS of pods, as kubectl prints them."""

from typing import Any

import pytest

from kube_queue.apiserver.printers.durations import parse_time
from kube_queue.apiserver.printers.pods import pod

NOW = parse_time("2024-05-06T07:08:09Z") or 0.0
RUNNING = {"running": {"startedAt": "2024-05-06T07:08:00Z"}}


def ended(code: int = 0, reason: str = "", signal: int = 0) -> dict[str, Any]:
    terminated: dict[str, Any] = {"exitCode": code}
    if reason:
        terminated["reason"] = reason
    if signal:
        terminated["signal"] = signal
    return {"terminated": terminated}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def container(state: dict[str, Any], *, ready: bool = False, **rest: Any) -> dict[str, Any]:
    return {"name": "c", "ready": ready, "state": state, **rest}


def a_pod(
    phase: str = "Running",
    containers: tuple[dict[str, Any], ...] = (),
    inits: tuple[dict[str, Any], ...] = (),
    **changes: Any,
) -> dict[str, Any]:
    """A pod with one container in its spec for each status."""
    sidecar = changes.get("sidecar", False)
    always = {"restartPolicy": "Always"} if sidecar else {}
    return {
        "metadata": {
            "name": "p",
            "creationTimestamp": "2024-05-06T07:08:00Z",
            **({"deletionTimestamp": "2024-05-06T07:08:08Z"} if changes.get("deleted") else {}),
        },
        "spec": {
            "containers": [{"name": "c"}] * max(len(containers), changes.get("wanted", 1)),
            "initContainers": [{"name": "c", **always}] * len(inits),
        },
        "status": {
            "phase": phase,
            "reason": changes.get("reason", ""),
            "conditions": changes.get("conditions", []),
            "containerStatuses": list(containers),
            "initContainerStatuses": list(inits),
        },
    }


def condition(type_: str, status: str = "True", reason: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason}


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (a_pod("Pending"), "0/1", "Pending"),
        (a_pod("Failed", reason="OutOfcpu"), "0/1", "OutOfcpu"),
        (
            a_pod("Pending", conditions=[condition("PodScheduled", "False", "SchedulingGated")]),
            "0/1",
            "SchedulingGated",
        ),
        (a_pod("Pending", (container(waiting("ContainerCreating")),)), "0/1", "ContainerCreating"),
        (a_pod(containers=(container(RUNNING, ready=True),)), "1/1", "Running"),
        (a_pod(containers=(container(RUNNING),)), "0/1", "Running"),
        (a_pod(containers=(container(RUNNING, ready=True),) * 2), "2/2", "Running"),
        (a_pod("Succeeded", (container(ended(0, "Completed")),)), "0/1", "Completed"),
        (a_pod("Succeeded"), "0/1", "Succeeded"),
        (a_pod("Failed", (container(ended(1, "Error")),)), "0/1", "Error"),
        (a_pod("Failed", (container(ended(137)),)), "0/1", "ExitCode:137"),
        (a_pod("Failed", (container(ended(137, signal=9)),)), "0/1", "Signal:9"),
        (a_pod(containers=(container(waiting("CrashLoopBackOff")),)), "0/1", "CrashLoopBackOff"),
        (
            a_pod(containers=(container(ended(0, "Completed")), container(RUNNING, ready=True))),
            "1/2",
            "NotReady",
        ),
        (
            a_pod(
                containers=(container(ended(0, "Completed")), container(RUNNING, ready=True)),
                conditions=[condition("Ready")],
            ),
            "1/2",
            "Running",
        ),
        (
            a_pod("Failed", (container(ended(0, "Completed")), container(ended(2, "Error")))),
            "0/2",
            "Error",
        ),
        (a_pod(deleted=True), "0/1", "Terminating"),
        (a_pod("Succeeded", deleted=True), "0/1", "Succeeded"),
        (a_pod(deleted=True, reason="NodeLost"), "0/1", "Unknown"),
        (a_pod("Pending", inits=(container(RUNNING),)), "0/1", "Init:0/1"),
        (
            a_pod("Pending", inits=(container(ended(0)), container(waiting("PodInitializing")))),
            "0/1",
            "Init:1/2",
        ),
        (a_pod("Pending", inits=(container(ended(3)),)), "0/1", "Init:ExitCode:3"),
        (a_pod("Pending", inits=(container(ended(1, "Error")),)), "0/1", "Init:Error"),
        (
            a_pod("Pending", inits=(container(waiting("CrashLoopBackOff")),)),
            "0/1",
            "Init:CrashLoopBackOff",
        ),
        (
            a_pod(
                "Pending",
                (container(waiting("PodInitializing")),),
                (container(ended(0)),),
            ),
            "0/1",
            "PodInitializing",
        ),
        (
            a_pod(
                containers=(container(RUNNING, ready=True),),
                inits=(container(RUNNING, ready=True, started=True),),
                sidecar=True,
            ),
            "2/2",
            "Running",
        ),
    ],
)
def test_a_pod_shows_what_its_containers_do(obj: dict[str, Any], ready: str, status: str) -> None:
    assert pod(obj, NOW).cells[:3] == ["p", ready, status]


def test_restarts_are_counted_with_the_time_since_the_last() -> None:
    last: dict[str, Any] = {
        "lastState": {"terminated": {"finishedAt": "2024-05-06T07:08:04Z"}},
        "restartCount": 2,
    }
    first: dict[str, Any] = {
        "lastState": {"terminated": {"finishedAt": "2024-05-06T07:08:01Z"}},
        "restartCount": 1,
    }
    obj = a_pod(containers=(container(RUNNING, **first), container(RUNNING, **last)))
    assert pod(obj, NOW).cells[3] == "3 (5s ago)"
    assert pod(a_pod(containers=(container(RUNNING),)), NOW).cells[3] == "0"


def test_restarts_of_init_containers_count_only_until_they_are_done() -> None:
    failing = container(ended(1, "Error"), restartCount=4)
    assert pod(a_pod("Pending", inits=(failing,)), NOW).cells[3] == "4"
    done = container(ended(0), restartCount=4)
    assert pod(a_pod(containers=(container(RUNNING),), inits=(done,)), NOW).cells[3] == "0"


def test_wide_columns_show_where_the_pod_is() -> None:
    obj = a_pod(conditions=[condition("gate-1"), condition("gate-2", "False")])
    assert pod(obj, NOW).cells[5:] == ["<none>", "<none>", "<none>", "<none>"]
    obj["spec"]["nodeName"] = "n1"
    obj["spec"]["readinessGates"] = [{"conditionType": "gate-1"}, {"conditionType": "gate-2"}]
    obj["status"]["podIPs"] = [{"ip": "10.0.0.7"}]
    assert pod(obj, NOW).cells[5:] == ["10.0.0.7", "n1", "<none>", "1/2"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_row_says_that_its_pod_has_ended(phase: str) -> None:
    (said,) = pod(a_pod(phase), NOW).conditions
    assert (said["type"], said["status"], said["reason"]) == ("Completed", "True", phase)
    assert pod(a_pod("Running"), NOW).conditions == ()
