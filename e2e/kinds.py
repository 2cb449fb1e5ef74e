"""Jobs of every kind for scenarios: how the kinds are called, and manifests of them."""

from __future__ import annotations

from typing import Any, Final

from e2e.jobs import pod_template
from kube_queue.api.names import MIN_RESOURCES_ANNOTATION, RUN_SECONDS_ANNOTATION
from kube_queue.api.names import SUSPEND_ANNOTATION as SUSPEND
from kube_queue.api.types import JOBS, PODS, TFJOBS, ResourceType

Object = dict[str, Any]

_KUBEFLOW: Final = ("kubeflow.org", "v1")
RAYJOBS: Final = ResourceType("ray.io", "v1", "rayjobs", "RayJob")
SPARK_APPLICATIONS: Final = ResourceType(
    "sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication"
)
WORKFLOWS: Final = ResourceType("argoproj.io", "v1alpha1", "workflows", "Workflow")
PYTORCHJOBS: Final = ResourceType(*_KUBEFLOW, "pytorchjobs", "PyTorchJob")
MPIJOBS: Final = ResourceType(*_KUBEFLOW, "mpijobs", "MPIJob")
JOB_KINDS: Final = {
    resource.kind: resource
    for resource in (
        JOBS,
        TFJOBS,
        PYTORCHJOBS,
        MPIJOBS,
        ResourceType(*_KUBEFLOW, "xgboostjobs", "XGBoostJob"),
        ResourceType(*_KUBEFLOW, "paddlejobs", "PaddleJob"),
        ResourceType(*_KUBEFLOW, "jaxjobs", "JAXJob"),
        ResourceType(*_KUBEFLOW, "mxjobs", "MXJob"),
        RAYJOBS,
        SPARK_APPLICATIONS,
        WORKFLOWS,
        ResourceType("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),
        ResourceType("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob"),
        ResourceType("ray.io", "v1", "rayclusters", "RayCluster"),
        ResourceType("workload.codeflare.dev", "v1beta2", "appwrappers", "AppWrapper"),
        PODS,
    )
}
"""Every kind that is queued, by the word in its manifests."""
MAKERS: Final = {
    resource.kind: resource
    for resource in (
        ResourceType("apps", "v1", "deployments", "Deployment"),
        ResourceType("apps", "v1", "statefulsets", "StatefulSet"),
    )
}
"""Kinds whose pods are queued one by one, by the word in their manifests."""


def kubeflow_job(
    kind: str, name: str, replicas: str, container: str, *, seconds: float, **types: int
) -> Object:
    """A held job of Kubeflow's; `types` are its replica types, each pod asks for 500m and 64Mi."""
    specs = {
        each: {
            "replicas": count,
            "restartPolicy": "Never",
            "template": pod_template({"cpu": "500m", "memory": "64Mi"}, seconds, container),
        }
        for each, count in types.items()
    }
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": {SUSPEND: "true"}},
        "spec": {"runPolicy": {"cleanPodPolicy": "Running"}, replicas: specs},
    }


def workflow(name: str, least: str | None, *, seconds: float = 1) -> Object:
    """A held Workflow of one step; `least` is what its annotation says that it asks for."""
    container = pod_template({"cpu": "1", "memory": "64Mi"}, seconds)["spec"]["containers"][0]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": name,
            "annotations": {} if least is None else {MIN_RESOURCES_ANNOTATION: least},
        },
        "spec": {
            "suspend": True,
            "entrypoint": "main",
            "templates": [
                {"name": "kube-queue-suspend", "suspend": {}},
                {"name": "main", "container": container},
            ],
        },
    }


def rayjob(name: str, *, entrypoint: str = "sleep 2", cpu: str = "200m") -> Object:
    """The RayJob of the ack-kube-queue documentation: a head and a worker that ask for this cpu.

    What KubeRay demands of a job that can be suspended is added.
    """
    resources = {"limits": {"cpu": "1"}, "requests": {"cpu": cpu}}
    source = {"name": "ray-job-code-sample", "items": [{"key": "code.py", "path": "code.py"}]}
    head = {
        "name": "ray-head",
        "image": "rayproject/ray:2.9.0",
        "ports": [
            {"containerPort": 6379, "name": "gcs-server"},
            {"containerPort": 8265, "name": "dashboard"},
            {"containerPort": 10001, "name": "client"},
        ],
        "resources": resources,
        "volumeMounts": [{"mountPath": "/home/ray/samples", "name": "code-sample"}],
    }
    worker = {
        "name": "ray-worker",
        "image": "rayproject/ray:2.9.0",
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", "ray stop"]}}},
        "resources": resources,
    }
    volumes = [{"name": "code-sample", "configMap": source}]
    cluster = {
        "rayVersion": "2.9.0",
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": "0.0.0.0"},
            "template": {"spec": {"containers": [head], "volumes": volumes}},
        },
        "workerGroupSpecs": [
            {
                "replicas": 1,
                "minReplicas": 1,
                "maxReplicas": 5,
                "groupName": "small-group",
                "rayStartParams": {},
                "template": {"spec": {"containers": [worker]}},
            }
        ],
    }
    spec = {"entrypoint": entrypoint, "suspend": True, "shutdownAfterJobFinishes": True}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {**spec, "rayClusterSpec": cluster},
    }


def spark_application(name: str, *, seconds: float = 2) -> Object:
    """The SparkApplication of the ack-kube-queue documentation; its driver runs for so long."""
    return {
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": name, "annotations": {SUSPEND: "true"}},
        "spec": {
            "type": "Scala",
            "mode": "cluster",
            "image": "registry-cn-beijing.ack.aliyuncs.com/acs/spark:v3.1.1",
            "mainClass": "org.apache.spark.examples.SparkPi",
            "mainApplicationFile": "local:///opt/spark/examples/jars/spark-examples_2.12-3.1.1.jar",
            "sparkVersion": "3.1.1",
            "driver": {
                "cores": 1,
                "coreLimit": "1200m",
                "memory": "512m",
                "serviceAccount": "ack-spark-operator3.0-spark",
                "annotations": {RUN_SECONDS_ANNOTATION: f"{seconds:g}"},
            },
            "executor": {"cores": 1, "instances": 1, "memory": "512m"},
        },
    }
