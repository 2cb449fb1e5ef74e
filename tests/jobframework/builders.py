"""Jobs and units as an API server would return them, and a world that applies plans to them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from kube_queue.api.conditions import parse_rfc3339
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.decisions import (
    AnnotateJob,
    CreateUnit,
    Decision,
    DeleteUnit,
    Emit,
    MarkQueuing,
    ResumeJob,
    StopJob,
    SuspendJob,
    Topic,
    UnitStatus,
    UpdateUnit,
    Wait,
)
from kube_queue.jobframework.extension import JobExtension
from kube_queue.jobframework.plan import Scene, plan
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_status import Pods
from kube_queue.jobframework.unit_view import UnitView, view_unit
from kube_queue.jobframework.view import view_job
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.tfjob import TFJobExtension

CREATED = "2026-01-31T12:00:00Z"
CREATED_MICRO = parse_rfc3339(CREATED)
NOW = CREATED_MICRO / 1_000_000 + 100

Manifest = dict[str, Any]


def a_template(cpu: str = "1", memory: str = "1Gi", **spec: Any) -> Manifest:
    resources = {"requests": {"cpu": cpu, "memory": memory}}
    return {"spec": {"containers": [{"name": "main", "resources": resources}], **spec}}


def a_tfjob(name: str = "job1", *, held: bool = True, **replicas: int) -> Manifest:
    replicas = replicas or {"PS": 1, "Worker": 2}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
            "annotations": {"scheduling.x-k8s.io/suspend": "true"} if held else {},
        },
        "spec": {
            "tfReplicaSpecs": {
                kind: {"replicas": count, "template": a_template()}
                for kind, count in replicas.items()
            }
        },
    }


def a_job(name: str = "pi", *, held: bool = True, **spec: Any) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
        },
        "spec": {
            "suspend": held,
            "parallelism": 1,
            "completions": 1,
            "template": a_template("100m"),
            **spec,
        },
    }


def conditions(*types: str, status: str = "True", **fields: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": status, **fields} for kind in types]


@dataclass
class World:
    """One job, its unit, and what is around them; `go` applies plans until nothing is left."""

    job: Manifest | None
    extension: JobExtension = field(default_factory=TFJobExtension)
    unit: Manifest | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)
    pods: Pods = field(default_factory=Pods)
    waited: dict[Topic, float] = field(default_factory=dict)
    first_seen: int = 0
    now: float = NOW
    log: list[Decision] = field(default_factory=list)

    def plan(self) -> tuple[Decision, ...]:
        view = None if self.job is None else view_job(self.extension, self.job)
        unit = None if self.unit is None else view_unit(self.unit)
        scene = Scene(self.surroundings, self.now, self.first_seen, self.pods, self.waited)
        return plan(view, unit, scene)

    def step(self) -> bool:
        """Whether there was something to write; it is written."""
        decisions = self.plan()
        self.log += decisions
        writes = [each for each in decisions if not isinstance(each, Emit | Wait)]
        assert len(writes) <= 1
        for write in writes:
            self.apply(write)
        return bool(writes)

    def go(self) -> list[Decision]:
        """What was decided until nothing was left to write."""
        began = len(self.log)
        for _ in range(10):
            if not self.step():
                return self.log[began:]
        raise AssertionError(f"the plan never rests: {self.log[-3:]}")

    def apply(self, write: Decision) -> None:
        match write:
            case CreateUnit(manifest=manifest):
                assert self.unit is None
                self.unit = copy.deepcopy(manifest)
                self.unit["metadata"] |= {"uid": "uid-unit", "resourceVersion": "1"}
            case DeleteUnit():
                self.unit = None
            case UpdateUnit(patch=patch) | UnitStatus(patch=patch):
                self.unit = merged(self.unit, patch)
            case (
                ResumeJob(patch=patch)
                | SuspendJob(patch=patch)
                | StopJob(patch=patch)
                | AnnotateJob(patch=patch)
                | MarkQueuing(patch=patch)
            ):
                self.job = merged(self.job, patch)

    def admit(self) -> World:
        """As the controller does."""
        return self.unit_status(phase="Dequeued", reason="Admitted")

    def evict(self, reason: str = "Preempted") -> World:
        """As the controller does."""
        evicted = {"type": "Evicted", "status": "True", "reason": reason, "message": "make room"}
        status = (self.unit or {}).get("status", {})
        return self.unit_status(conditions=[*status.get("conditions", []), evicted])

    def unit_status(self, **status: Any) -> World:
        self.unit = merged(self.unit, {"status": status})
        return self

    def job_is(self, patch: Manifest) -> World:
        self.job = merged(self.job, patch)
        return self

    @property
    def view(self) -> UnitView:
        assert self.unit is not None
        return view_unit(self.unit)

    @property
    def phase(self) -> str:
        return self.view.unit.phase.value


def tf_world(**job: Any) -> World:
    return World(a_tfjob(**job))


def batch_world(**job: Any) -> World:
    return World(a_job(**job), BatchJob())


RUNNING = {"status": {"conditions": conditions("Created", "Running")}}


def running_tfjob(name: str = "job1") -> World:
    world = tf_world(name=name)
    world.go()
    world.admit().go()
    world.job_is(RUNNING)
    world.pods = Pods(on_node=3)
    world.go()
    assert world.phase == "Running"
    return world


def kinds(decisions: list[Decision] | tuple[Decision, ...]) -> list[str]:
    return [type(each).__name__ for each in decisions]
