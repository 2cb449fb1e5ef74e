"""Jobs of every built-in kind, as their API servers return them."""

from __future__ import annotations

from typing import Any

from kube_queue.jobframework.conformance import Sample, merged
from kube_queue.jobframework.extension import Hold
from tests.extensions.manifests import (
    a_jobset,
    a_kubeflow_job,
    a_member,
    a_pod,
    a_pod_group,
    a_raycluster,
    a_rayjob,
    a_sparkapp,
    a_trainjob,
    a_workflow,
    an_appwrapper,
    an_lws_group,
    an_lws_pod,
    an_mpijob,
    an_old_mpijob,
    controlled_by,
)
from tests.jobframework.builders import a_job, a_template, a_tfjob, conditions


def _with(manifest: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {**manifest, **parts}


def _suspended_tfjob() -> dict[str, Any]:
    job = a_tfjob(held=False)
    job["spec"]["runPolicy"] = {"suspend": True, "cleanPodPolicy": "None"}
    job["status"] = {"conditions": conditions("Created", "Suspended")}
    return job


TFJOBS = (
    Sample(a_tfjob(), Hold.MARK, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(_suspended_tfjob(), Hold.SPEC, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(a_tfjob(held=False)),
    Sample(
        _with(
            a_tfjob(held=False),
            status={
                "conditions": conditions("Created", "Running"),
                "replicaStatuses": {"PS": {"active": 1}, "Worker": {"active": 2}},
            },
        ),
        running=True,
    ),
    Sample(
        _with(
            a_tfjob(held=False),
            status={
                "conditions": conditions("Created")
                + conditions("Running", status="False")
                + conditions("Succeeded", reason="TFJobSucceeded", message="done")
            },
        ),
        succeeded=True,
    ),
    Sample(
        _with(a_tfjob(held=False), status={"conditions": conditions("Created", "Failed")}),
        succeeded=False,
    ),
)

_INIT = a_template(
    "100m",
    initContainers=[
        {"name": "pull", "resources": {"requests": {"cpu": "300m", "memory": "64Mi"}}},
        {
            "name": "proxy",
            "restartPolicy": "Always",
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
        },
    ],
)

JOBS = (
    Sample(a_job(), Hold.SPEC, asks={"cpu": "100m", "memory": "1Gi"}),
    Sample(a_job(parallelism=4, completions=3), Hold.SPEC, asks={"cpu": "300m", "memory": "3Gi"}),
    Sample(
        _with(a_job(parallelism=4, completions=5), status={"succeeded": 3}),
        Hold.SPEC,
        asks={"cpu": "200m", "memory": "2Gi"},
    ),
    Sample(
        a_job(parallelism=2, completions=None),
        Hold.SPEC,
        asks={"cpu": "200m", "memory": "2Gi"},
    ),
    Sample(a_job(template=_INIT), Hold.SPEC, asks={"cpu": "300m", "memory": "1056Mi"}),
    Sample(_with(a_job(held=False), status={"active": 1, "ready": 0})),
    Sample(_with(a_job(held=False), status={"active": 1, "ready": 1}), running=True),
    Sample(_with(a_job(held=False), status={"active": 1}), running=True),
    Sample(
        _with(
            a_job(held=False), status={"conditions": conditions("SuccessCriteriaMet", "Complete")}
        ),
        succeeded=True,
    ),
    Sample(
        _with(
            a_job(held=False),
            status={
                "conditions": conditions("FailureTarget", "Failed", reason="BackoffLimitExceeded")
            },
        ),
        succeeded=False,
    ),
)


def _kubeflow(kind: str, field: str, asks: dict[str, str], **replicas: Any) -> tuple[Sample, ...]:
    held = a_kubeflow_job(kind, field, **replicas)
    free = a_kubeflow_job(kind, field, held=False, **replicas)
    policy = {"spec": {"runPolicy": {"suspend": True}}}
    running = {"conditions": conditions("Created", "Running"), "replicaStatuses": {}}
    return (
        Sample(held, Hold.MARK, asks=asks),
        Sample(_with(merged(free, policy), status=running | {"conditions": []}), Hold.SPEC),
        Sample(free, asks=asks),
        Sample(_with(free, status=running), running=True),
        Sample(_with(free, status={"conditions": conditions("Succeeded")}), succeeded=True),
        Sample(_with(free, status={"conditions": conditions("Failed")}), succeeded=False),
    )


PYTORCHJOBS = _kubeflow(
    "PyTorchJob", "pytorchReplicaSpecs", {"cpu": "4", "memory": "4Gi"}, Master=1, Worker=3
)
XGBOOSTJOBS = _kubeflow(
    "XGBoostJob", "xgbReplicaSpecs", {"cpu": "3", "memory": "3Gi"}, Master=1, Worker=2
)
PADDLEJOBS = _kubeflow("PaddleJob", "paddleReplicaSpecs", {"cpu": "2", "memory": "2Gi"}, Worker=2)
JAXJOBS = _kubeflow("JAXJob", "jaxReplicaSpecs", {"cpu": "1", "memory": "1Gi"}, Worker=None)
MXJOBS = _kubeflow(
    "MXJob",
    "mxReplicaSpecs",
    {"cpu": "5", "memory": "5Gi"},
    Scheduler=1,
    Server=2,
    Worker=2,
)

MPIJOBS = (
    *_kubeflow("MPIJob", "mpiReplicaSpecs", {"cpu": "3", "memory": "3Gi"}, Launcher=1, Worker=2),
    Sample(an_mpijob(version="v2beta1"), Hold.MARK, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(
        an_old_mpijob(),
        Hold.MARK,
        asks={"cpu": "4", "memory": "2Gi", "nvidia.com/gpu": "2"},
    ),
    Sample(
        _with(an_old_mpijob(held=False), status={"launcherStatus": "Active", "workerReplicas": 2}),
        running=True,
    ),
    Sample(
        _with(an_old_mpijob(held=False), status={"launcherStatus": "Succeeded"}), succeeded=True
    ),
    Sample(_with(an_old_mpijob(held=False), status={"launcherStatus": "Failed"}), succeeded=False),
)

RAYJOBS = (
    Sample(a_rayjob(), Hold.SPEC, asks={"cpu": "1700m", "memory": "2248Mi"}),
    Sample(a_rayjob(version="v1alpha1"), Hold.SPEC, asks={"cpu": "1700m", "memory": "2248Mi"}),
    Sample(_with(a_rayjob(), status={"jobDeploymentStatus": "Suspended"}), Hold.SPEC),
    Sample(a_rayjob(held=False)),
    Sample(_with(a_rayjob(held=False), status={"jobDeploymentStatus": "Initializing"})),
    Sample(
        _with(
            a_rayjob(held=False),
            status={
                "jobDeploymentStatus": "Running",
                "rayClusterStatus": {"availableWorkerReplicas": 1, "head": {"podIP": "10.0.0.1"}},
            },
        ),
        running=True,
    ),
    Sample(_with(a_rayjob(held=False), status={"jobDeploymentStatus": "Retrying"})),
    Sample(
        _with(
            a_rayjob(held=False),
            status={"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"},
        ),
        succeeded=True,
    ),
    Sample(
        _with(
            a_rayjob(held=False),
            status={"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"},
        ),
        succeeded=False,
    ),
    Sample(_with(a_rayjob(held=False), status={"jobDeploymentStatus": "Failed"}), succeeded=False),
    Sample(
        _with(
            a_rayjob(),
            status={"jobDeploymentStatus": "ValidationFailed", "message": "not like this"},
        ),
        Hold.SPEC,
        succeeded=False,
    ),
)


def _spark(state: str, *, held: bool = False, **status: Any) -> dict[str, Any]:
    return _with(a_sparkapp(held=held), status={"applicationState": {"state": state}, **status})


SPARKAPPS = (
    Sample(a_sparkapp(), Hold.MARK, asks={"cpu": "2", "memory": "1792Mi"}),
    Sample(a_sparkapp(held=False, suspend=True), Hold.SPEC, asks={"cpu": "2", "memory": "1792Mi"}),
    Sample(_spark("SUSPENDED", held=True), Hold.MARK),
    Sample(a_sparkapp(held=False)),
    Sample(_spark("SUBMITTED")),
    Sample(_spark("RUNNING", executorState={"a": "RUNNING", "b": "COMPLETED"}), running=True),
    Sample(_spark("SUBMISSION_FAILED")),
    Sample(_spark("PENDING_RERUN")),
    Sample(_spark("COMPLETED"), succeeded=True),
    Sample(_spark("FAILED"), succeeded=False),
)


def _argo(phase: str, *, held: bool = False, **status: Any) -> dict[str, Any]:
    return _with(a_workflow(held=held), status={"phase": phase, **status})


WORKFLOWS = (
    Sample(a_workflow(), Hold.SPEC, asks={"cpu": "5", "memory": "5000000000"}),
    Sample(a_workflow(None), Hold.SPEC, asks={}),
    Sample(a_workflow(template=False)),
    Sample(_argo("Running", held=True), Hold.SPEC),
    Sample(a_workflow(held=False)),
    Sample(_argo("Pending")),
    Sample(
        _argo("Running", nodes={"a": {"type": "Pod", "phase": "Running"}, "b": {"type": "DAG"}}),
        running=True,
    ),
    Sample(_argo("Succeeded"), succeeded=True),
    Sample(_argo("Failed"), succeeded=False),
    Sample(_argo("Error", message="no such template"), succeeded=False),
)


def _children(field: str, kind: str, **options: Any) -> tuple[Sample, ...]:
    """Of a kind that tells of the Jobs it made in status.`field`, and of its end as `kind`."""
    make = a_jobset if field == "replicatedJobsStatus" else a_trainjob
    running = {field: [{"name": "a", "ready": 0}, {"name": "b", "ready": 1, "active": 1}]}
    free = make(held=False)
    return (
        Sample(make(), Hold.SPEC, **options),
        Sample(_with(make(), status={"conditions": conditions("Suspended")}), Hold.SPEC),
        Sample(free),
        Sample(_with(free, status={field: [{"name": "a", "active": 1, "ready": 0}]})),
        Sample(_with(free, status=running), running=True),
        Sample(_with(free, status={"conditions": conditions(kind)}), succeeded=True),
        Sample(_with(free, status={"conditions": conditions("Failed")}), succeeded=False),
    )


JOBSETS = _children("replicatedJobsStatus", "Completed", asks={"cpu": "5", "memory": "5Gi"})
TRAINJOBS = (
    *_children("jobsStatus", "Complete", asks={"cpu": "6", "memory": "12Gi"}),
    Sample(a_trainjob(annotation="cpu: 7"), Hold.SPEC, asks={"cpu": "7"}),
)
RAYCLUSTERS = (
    Sample(a_raycluster(), Hold.SPEC, asks={"cpu": "1400m", "memory": "3Gi"}),
    Sample(_with(a_raycluster(), status={"state": "suspended"}), Hold.SPEC),
    Sample(a_raycluster(held=False)),
    Sample(_with(a_raycluster(held=False), status={"state": "ready"}), running=True),
    Sample(_with(a_raycluster(held=False), status={"state": "failed"})),
)


def _wrapped(phase: str, *true: str, held: bool = False) -> dict[str, Any]:
    status = {"phase": phase, "conditions": conditions(*true)}
    return _with(an_appwrapper(held=held), status=status)


APPWRAPPERS = (
    Sample(an_appwrapper(), Hold.SPEC, asks={"cpu": "2", "memory": "2Gi"}),
    Sample(_wrapped("Suspended", held=True), Hold.SPEC),
    Sample(an_appwrapper(held=False)),
    Sample(_wrapped("Running", "ResourcesDeployed")),
    Sample(_wrapped("Running", "ResourcesDeployed", "PodsReady"), running=True),
    Sample(_wrapped("Resetting")),
    Sample(_wrapped("Succeeded"), succeeded=True),
    Sample(_wrapped("Failed"), succeeded=False),
)

PODS = (
    Sample(a_pod(), Hold.SPEC, asks={"cpu": "1", "memory": "1Gi"}),
    Sample(a_pod("example.com/other"), Hold.SPEC),
    Sample(a_pod(**controlled_by("ReplicaSet")), Hold.SPEC),
    Sample(a_pod("example.com/other", held=False)),
    Sample(a_pod(held=False)),
    Sample(a_pod(held=False, phase="Running"), running=True),
    Sample(a_pod(held=False, phase="Succeeded"), succeeded=True),
    Sample(a_pod(held=False, phase="Failed"), succeeded=False),
)


def _team(*phases: str, **options: Any) -> dict[str, Any]:
    """A group of two that was released, and more pods where some of it failed."""
    pods = [
        a_member(name, held=False, phase=phase, **options)
        for name, phase in zip("abc", phases, strict=False)
    ]
    return a_pod_group(*pods)


PODGROUPS = (
    Sample(a_pod_group(), Hold.SPEC, asks={"cpu": "2", "memory": "2Gi"}),
    Sample(a_pod_group(a_member("a")), Hold.SPEC),
    Sample(a_pod_group(a_member("a"), a_member("b", "3")), Hold.SPEC),
    Sample(a_pod_group(a_member("a"), a_member("b", held=False)), Hold.MARK),
    Sample(_team("Pending", "Pending")),
    Sample(_team("Running", "Pending")),
    Sample(_team("Running", "Running"), running=True),
    Sample(_team("Running", "Succeeded"), running=True),
    Sample(_team("Running", "Failed"), running=True),
    Sample(_team("Running", "Failed", "Running"), running=True),
    Sample(_team("Succeeded", "Succeeded"), succeeded=True),
    Sample(_team("Succeeded", "Failed", "Succeeded"), succeeded=True),
    Sample(_team("Succeeded", "Failed"), succeeded=False),
)


def _group(*phases: str) -> dict[str, Any]:
    return an_lws_group(
        *(an_lws_pod(number, held=False, phase=phase) for number, phase in enumerate(phases))
    )


LEADERWORKERSETS = (
    Sample(an_lws_group(), Hold.SPEC, asks={"cpu": "3", "memory": "3Gi"}),
    Sample(an_lws_group(an_lws_pod(0, "1")), Hold.SPEC, asks={"cpu": "1", "memory": "1Gi"}),
    Sample(
        an_lws_group(an_lws_pod(annotations={"kube-queue/min-resources": "cpu: 9"})),
        Hold.SPEC,
        asks={"cpu": "9"},
    ),
    Sample(an_lws_group(an_lws_pod(0)), Hold.SPEC),
    Sample(
        an_lws_group(an_lws_pod(0, held=False, phase="Running"), an_lws_pod(1)), Hold.MARK, True
    ),
    Sample(_group("Pending", "Pending", "Pending")),
    Sample(_group("Running", "Running", "Pending")),
    Sample(_group("Running", "Running", "Running"), running=True),
)
