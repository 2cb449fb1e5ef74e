"""Builders of jobs, as their API servers return them."""

from __future__ import annotations

from typing import Any

from kube_queue.api.names import (
    MIN_RESOURCES_ANNOTATION,
    POD_GROUP_LABEL,
    POD_GROUP_TOTAL_COUNT_ANNOTATION,
    SCHEDULING_GATE,
    SUSPEND_ANNOTATION,
)
from kube_queue.jobframework.joining import joined
from kube_queue_extensions.leaderworkerset import (
    INDEX_LABEL,
    NAME_LABEL,
    SIZE_ANNOTATION,
    LeaderWorkerSetExtension,
)
from kube_queue_extensions.podgroup import PodGroupExtension
from tests.jobframework.builders import CREATED, a_template

Manifest = dict[str, Any]


def an_object(api_version: str, kind: str, spec: Manifest, **metadata: Any) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "namespace": "default",
            "name": "job1",
            "uid": "uid-job1",
            "resourceVersion": "7",
            "creationTimestamp": CREATED,
            **metadata,
        },
        "spec": spec,
    }


def marks(held: bool) -> Manifest:
    return {"annotations": {SUSPEND_ANNOTATION: "true"} if held else {}}


def a_kubeflow_job(
    kind: str,
    field: str,
    *,
    held: bool = True,
    api_version: str = "kubeflow.org/v1",
    **replicas: Any,
) -> Manifest:
    """Every replica asks for 1 cpu and 1Gi; None leaves its number out."""
    specs = {
        name: {"template": a_template(), **({} if count is None else {"replicas": count})}
        for name, count in replicas.items()
    }
    return an_object(api_version, kind, {field: specs}, **marks(held))


def an_mpijob(*, held: bool = True, version: str = "v1", **replicas: Any) -> Manifest:
    replicas = replicas or {"Launcher": 1, "Worker": 2}
    return a_kubeflow_job(
        "MPIJob", "mpiReplicaSpecs", held=held, api_version=f"kubeflow.org/{version}", **replicas
    )


def an_old_mpijob(*, held: bool = True, **spec: Any) -> Manifest:
    """Of v1alpha1: its pods have one template, which asks for 2 cpu, 1Gi and 1 GPU."""
    asks = {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}
    container = {"name": "mpi", "resources": {"limits": asks}}
    template = {"spec": {"containers": [container]}}
    whole = {"replicas": 2, "template": template, **spec}
    whole = {name: value for name, value in whole.items() if value is not None}
    return an_object("kubeflow.org/v1alpha1", "MPIJob", whole, **marks(held))


def a_worker_group(name: str = "small", **fields: Any) -> Manifest:
    return {"groupName": name, "template": a_template("200m", "1Gi"), **fields}


def a_rayjob(*, held: bool = True, version: str = "v1", **spec: Any) -> Manifest:
    """A head of 1 cpu and 1Gi and one worker of 200m and 1Gi."""
    cluster = {
        "headGroupSpec": {"template": a_template()},
        "workerGroupSpecs": [a_worker_group(replicas=1, minReplicas=1, maxReplicas=5)],
    }
    return an_object(
        f"ray.io/{version}", "RayJob", {"suspend": held, "rayClusterSpec": cluster, **spec}
    )


def a_sparkapp(
    *,
    held: bool = True,
    driver: Manifest | None = None,
    executor: Manifest | None = None,
    **spec: Any,
) -> Manifest:
    """The ack-kube-queue documentation's: one core and 512m for each of two pods."""
    small = {"cores": 1, "memory": "512m"}
    whole = {
        "type": "Scala",
        "mode": "cluster",
        "sparkVersion": "3.1.1",
        "driver": {**small, "coreLimit": "1200m"} if driver is None else driver,
        "executor": {**small, "instances": 1} if executor is None else executor,
        **spec,
    }
    whole = {name: value for name, value in whole.items() if value is not None}
    return an_object("sparkoperator.k8s.io/v1beta2", "SparkApplication", whole, **marks(held))


def a_workflow(
    min_resources: Any = "cpu: 5\nmemory: 5G\n", *, held: bool = True, template: bool = True
) -> Manifest:
    templates: list[Manifest] = [{"name": "main", "container": {"image": "busybox"}}]
    if template:
        templates.append({"name": "kube-queue-suspend", "suspend": {}})
    annotations = {} if min_resources is None else {MIN_RESOURCES_ANNOTATION: min_resources}
    spec = {"suspend": held, "entrypoint": "main", "templates": templates}
    return an_object("argoproj.io/v1alpha1", "Workflow", spec, annotations=annotations)


def a_jobset(*jobs: Manifest, held: bool = True, **spec: Any) -> Manifest:
    """Unless `jobs` says otherwise: a driver, and two Jobs of two workers each."""
    jobs = jobs or (
        a_replicated_job("driver"),
        a_replicated_job("workers", replicas=2, parallelism=2, completions=2),
    )
    spec = {"suspend": held, "replicatedJobs": list(jobs), **spec}
    return an_object("jobset.x-k8s.io/v1alpha2", "JobSet", spec)


def a_replicated_job(name: str, *, replicas: int | None = None, **spec: Any) -> Manifest:
    """Every pod asks for 1 cpu and 1Gi."""
    job: Manifest = {"name": name, "template": {"spec": {"template": a_template(), **spec}}}
    return job if replicas is None else {**job, "replicas": replicas}


def a_trainjob(*, held: bool = True, annotation: Any = None, **trainer: Any) -> Manifest:
    """Unless `trainer` says otherwise: three nodes of 2 cpu and 4Gi."""
    resources = {"requests": {"cpu": "2", "memory": "4Gi"}}
    trainer = {"numNodes": 3, "resourcesPerNode": resources, **trainer}
    spec = {
        "suspend": held,
        "runtimeRef": {"name": "torch-distributed"},
        "trainer": {name: value for name, value in trainer.items() if value is not None},
    }
    annotations = {} if annotation is None else {MIN_RESOURCES_ANNOTATION: annotation}
    return an_object("trainer.kubeflow.org/v1alpha1", "TrainJob", spec, annotations=annotations)


def a_raycluster(*, held: bool = True, **spec: Any) -> Manifest:
    """A head of 1 cpu and 1Gi and two workers of 200m and 1Gi."""
    groups = [a_worker_group(replicas=2)]
    head = {"template": a_template()}
    spec = {"suspend": held, "headGroupSpec": head, "workerGroupSpecs": groups, **spec}
    return an_object("ray.io/v1", "RayCluster", spec)


def a_component(
    kind: str, spec: Manifest, *pod_sets: Manifest, api_version: str = "v1"
) -> Manifest:
    template = {"apiVersion": api_version, "kind": kind, "spec": spec}
    return {"template": template, **({"podSets": list(pod_sets)} if pod_sets else {})}


def an_appwrapper(*components: Manifest, held: bool = True) -> Manifest:
    """Unless `components` says otherwise: a Service and a Deployment of two pods."""
    components = components or (
        a_component("Service", {"ports": [{"port": 80}]}),
        a_component("Deployment", {"replicas": 2, "template": a_template()}),
    )
    spec = {"suspend": held, "components": list(components)}
    return an_object("workload.codeflare.dev/v1beta2", "AppWrapper", spec)


def a_pod(*gates: str, held: bool = True, phase: str = "Pending", **metadata: Any) -> Manifest:
    """It asks for 1 cpu and 1Gi; `gates` are others besides ours."""
    names = [*gates, *([SCHEDULING_GATE] if held else [])]
    spec = {**a_template()["spec"], "schedulingGates": [{"name": name} for name in names]}
    return {**an_object("v1", "Pod", spec, **metadata), "status": {"phase": phase}}


def controlled_by(kind: str, api_version: str = "apps/v1") -> Manifest:
    """Metadata of what an object of this kind has made."""
    owner = {"apiVersion": api_version, "kind": kind, "name": "maker", "uid": "uid-maker"}
    return {"ownerReferences": [{**owner, "controller": True}]}


def a_member(name: str = "a", total: Any = "2", *gates: str, **options: Any) -> Manifest:
    """One pod of the group `team`; it says that the group has `total`."""
    annotations = {} if total is None else {POD_GROUP_TOTAL_COUNT_ANNOTATION: total}
    options = {"labels": {POD_GROUP_LABEL: "team"}, "annotations": annotations, **options}
    return a_pod(*gates, name=name, uid=f"uid-{name}", **options)


def a_pod_group(*pods: Manifest) -> Manifest:
    """The group `team` as its kind is shown it: of these pods, or of two that wait."""
    kind = PodGroupExtension()
    return joined(kind, kind, "team", pods or (a_member("a"), a_member("b")))


def an_lws_pod(number: int = 0, size: Any = "3", **options: Any) -> Manifest:
    """The leader of group 0 of set `it`, or one of its workers, which are numbered from 1."""
    name = f"it-0-{number}" if number else "it-0"
    labels = {NAME_LABEL: "it", INDEX_LABEL: "0"}
    annotations = {SIZE_ANNOTATION: size, **options.pop("annotations", {})}
    maker = controlled_by("StatefulSet")
    return a_pod(
        name=name, uid=f"uid-{name}", labels=labels, annotations=annotations, **maker, **options
    )


def an_lws_group(*pods: Manifest) -> Manifest:
    """Group 0 of set `it` as its kind is shown it: of these pods, or three that wait."""
    kind = LeaderWorkerSetExtension()
    return joined(kind, kind, "it-0", pods or tuple(map(an_lws_pod, range(3))))
