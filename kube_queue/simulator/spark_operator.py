"""The Spark operator, as its users with a queue install it; one turn of its states a look.

::

    (new) -> SUBMITTED -> RUNNING -> SUCCEEDING -> COMPLETED
               ^   |         |  '--> FAILING ----> FAILED
               |   '-> SUSPENDING <- held
            RESUMING       | no pod is left
               ^------- SUSPENDED

Held by spec.suspend, or by the annotation as the queue's own installation of the operator is.
Source: github.com/kubeflow/spark-operator v2.5. Every application runs in cluster mode here, and
none is run a second time (restartPolicy).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.types import ResourceType
from kube_queue.simulator.fields import mapping, moment, number, text
from kube_queue.simulator.outcome import OperatedKind, Outcome
from kube_queue.simulator.spark_pods import (
    driver_name,
    driver_pod,
    executor_pods,
    executor_prefix,
)
from kube_queue.simulator.views import PodView

SPARK_APPLICATIONS: Final = ResourceType(
    "sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication"
)
_ENDED: Final = ("COMPLETED", "FAILED")
_EXECUTOR_STATES: Final = {
    "Pending": "PENDING",
    "Running": "RUNNING",
    "Succeeded": "COMPLETED",
    "Failed": "FAILED",
}
_OF_ONE_RUN: Final = ("sparkApplicationId", "driverInfo", "executorState")
_MICROSECONDS: Final = 1_000_000


@dataclass(slots=True)
class Look:
    """One look at an application: what it is, what is below it, what is decided so far."""

    app: Mapping[str, Any]
    pods: Mapping[str, PodView]
    outcome: Outcome
    now: float

    @property
    def status(self) -> dict[str, Any]:
        """The status that will be written."""
        return self.outcome.status

    @property
    def stands(self) -> str:
        """Its state; empty when it is new."""
        return text(mapping(self.status.get("applicationState")).get("state"))

    @property
    def driver(self) -> PodView | None:
        """The driver's pod."""
        return self.pods.get(driver_name(self.app))

    @property
    def submission(self) -> str:
        """What tells its runs apart."""
        return text(self.status.get("submissionID"))

    def turn(self, state: str, error: str = "") -> None:
        """The application stands elsewhere from now on."""
        message = {"errorMessage": error} if error else {}
        self.status["applicationState"] = {"state": state, **message}


def plan(app: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """See Plan."""
    outcome = Outcome(dict(mapping(app.get("status"))))
    look = Look(app, {pod.name: pod for pod in pods}, outcome, now)
    stands = look.stands
    if _held(app) and stands not in (*_ENDED, "SUSPENDING", "SUSPENDED"):
        look.turn("SUSPENDING")
    elif stands in ("", "RESUMING"):
        _submit(look)
    elif stands in ("SUBMITTED", "RUNNING"):
        _follow(look)
    elif stands in ("SUCCEEDING", "FAILING"):
        error = text(mapping(look.status.get("applicationState")).get("errorMessage"))
        look.turn("COMPLETED" if stands == "SUCCEEDING" else "FAILED", error)
    elif stands in ("SUSPENDING", "SUSPENDED"):
        _suspend(look)
    elif stands in _ENDED:
        _clean_up(look)
    return outcome


def _held(app: Mapping[str, Any]) -> bool:
    annotations = mapping(mapping(app.get("metadata")).get("annotations"))
    marked = annotations.get(SUSPEND_ANNOTATION) == "true"
    return marked or mapping(app.get("spec")).get("suspend") is True


def _submit(look: Look) -> None:
    now = rfc3339(look.now)
    attempts = number(look.status.get("submissionAttempts")) + 1
    uid = text(mapping(look.app.get("metadata")).get("uid"))
    digest = hashlib.sha256(f"{uid} {attempts}".encode()).hexdigest()
    parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
    run = {
        "submissionID": "-".join(parts),
        "sparkApplicationId": f"spark-{digest[32:]}",
        "driverInfo": {"podName": driver_name(look.app)},
        "lastSubmissionAttemptTime": now,
        "submissionAttempts": attempts,
        "executionAttempts": number(look.status.get("executionAttempts")) + 1,
    }
    look.status.update(run)
    look.status.pop("terminationTime", None)
    look.turn("SUBMITTED")
    look.outcome.create.append(driver_pod(look.app, look.submission))


def _follow(look: Look) -> None:
    """The driver's pod decides; while it runs it has its executors."""
    driver = look.driver
    if driver is None:
        if look.stands == "SUBMITTED":
            look.outcome.create.append(driver_pod(look.app, look.submission))
        else:
            _end(look, "FAILING", "driver pod not found")
        return
    if driver.phase == "Running" and not driver.deletion:
        if look.stands != "RUNNING":
            look.turn("RUNNING")
        wanted = list(executor_pods(look.app, look.submission, driver))
        look.outcome.create += [each for each in wanted if each.wanted.name not in look.pods]
        _count_executors(look)
    elif driver.phase == "Succeeded":
        _end(look, "SUCCEEDING", "")
    elif driver.phase == "Failed":
        reason = f"ExitCode: {driver.exit_code}, Reason: Error"
        _end(look, "FAILING", f"driver container failed with {reason}")


def _end(look: Look, state: str, error: str) -> None:
    """A driver that ends takes its executors with it."""
    ended = "COMPLETED" if state == "SUCCEEDING" else "FAILED"
    look.status["terminationTime"] = rfc3339(look.now)
    look.status["executorState"] = {
        name: ended if said in ("PENDING", "RUNNING") else said
        for name, said in mapping(look.status.get("executorState")).items()
    }
    look.outcome.delete += _executors(look)
    look.turn(state, error)


def _executors(look: Look) -> list[PodView]:
    """The executors of this run, in the order of their names."""
    prefix = executor_prefix(look.app, look.submission)
    return [pod for name, pod in look.pods.items() if name.startswith(prefix)]


def _count_executors(look: Look) -> None:
    states = dict(mapping(look.status.get("executorState")))
    states |= {pod.name: _EXECUTOR_STATES.get(pod.phase, "UNKNOWN") for pod in _executors(look)}
    for name, said in states.items():
        if name not in look.pods and said in ("PENDING", "RUNNING"):
            states[name] = "UNKNOWN"
    if states:
        look.status["executorState"] = states


def _suspend(look: Look) -> None:
    """Every pod goes; once the last one has gone the application is suspended, or goes on."""
    look.outcome.delete += look.pods.values()
    if look.pods:
        return
    if look.stands == "SUSPENDING":
        for name in _OF_ONE_RUN:
            look.status.pop(name, None)
        look.turn("SUSPENDED")
    elif not _held(look.app):
        look.turn("RESUMING")


def _clean_up(look: Look) -> None:
    look.outcome.delete += _executors(look)
    seconds = mapping(look.app.get("spec")).get("timeToLiveSeconds")
    if isinstance(seconds, int) and not isinstance(seconds, bool):
        ended = moment(look.status.get("terminationTime")) / _MICROSECONDS
        look.outcome.again = ended + seconds - look.now
        look.outcome.expired = look.outcome.again <= 0


SPARK_APPLICATION: Final = OperatedKind(SPARK_APPLICATIONS, "spark-application-controller", plan)
