"""The Kubernetes rule of what a pod asks for holds in every kind, wherever its template stands."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.registry import load_extensions
from kube_queue.jobframework.surroundings import Surroundings
from tests.extensions.asking import asks
from tests.extensions.manifests import (
    Manifest,
    a_component,
    a_jobset,
    a_kubeflow_job,
    a_member,
    a_pod,
    a_pod_group,
    a_raycluster,
    a_rayjob,
    a_replicated_job,
    a_worker_group,
    an_appwrapper,
    an_lws_group,
    an_lws_pod,
    an_mpijob,
)
from tests.jobframework.builders import a_job

KUBEFLOW = {
    "tfjob": ("TFJob", "tfReplicaSpecs", ("Chief", "Evaluator", "Master", "PS", "Worker")),
    "pytorchjob": ("PyTorchJob", "pytorchReplicaSpecs", ("Master", "Worker")),
    "xgboostjob": ("XGBoostJob", "xgbReplicaSpecs", ("Master", "Worker")),
    "paddlejob": ("PaddleJob", "paddleReplicaSpecs", ("Master", "Worker")),
    "jaxjob": ("JAXJob", "jaxReplicaSpecs", ("Worker",)),
    "mxjob": (
        "MXJob",
        "mxReplicaSpecs",
        ("Scheduler", "Server", "Worker", "Tuner", "TunerServer", "TunerTracker"),
    ),
}
AROUND = Surroundings(
    container_defaults={"default": ResourceVector.parse({"cpu": "250m", "memory": "64Mi"})},
    overheads={"kata": ResourceVector.parse({"cpu": "100m", "memory": "160Mi"})},
)


def resources(**amounts: str) -> Manifest:
    return {"resources": {"requests": amounts}}


POD_RULES: tuple[tuple[str, Manifest, dict[str, str]], ...] = (
    (
        "a container without request asks for its limit",
        {"containers": [{"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}]},
        {"cpu": "2", "memory": "1Gi"},
    ),
    (
        "one without either asks for the LimitRange's default",
        {"containers": [{"name": "main"}, resources(cpu="1")]},
        {"cpu": "1250m", "memory": "128Mi"},
    ),
    (
        "an init container counts where it asks for more",
        {
            "containers": [resources(cpu="1", memory="1Gi")],
            "initContainers": [resources(cpu="500m", memory="4Gi")],
        },
        {"cpu": "1", "memory": "4Gi"},
    ),
    (
        "a sidecar counts beside the containers and the init containers behind it",
        {
            "containers": [resources(cpu="1", memory="1Gi")],
            "initContainers": [
                {"restartPolicy": "Always", **resources(cpu="200m", memory="1Gi")},
                resources(cpu="1100m", memory="64Mi"),
            ],
        },
        {"cpu": "1300m", "memory": "2Gi"},
    ),
    (
        "the pod's own resources replace the sum",
        {
            "containers": [resources(cpu="1", memory="1Gi", **{"nvidia.com/gpu": "1"})],
            "resources": {"requests": {"cpu": "3", "memory": "2Gi"}},
        },
        {"cpu": "3", "memory": "2Gi", "nvidia.com/gpu": "1"},
    ),
    (
        "overhead comes on top",
        {"containers": [resources(cpu="1", memory="1Gi")], "overhead": {"cpu": "250m"}},
        {"cpu": "1250m", "memory": "1Gi"},
    ),
    (
        "so does the RuntimeClass's",
        {"containers": [resources(cpu="1", memory="1Gi")], "runtimeClassName": "kata"},
        {"cpu": "1100m", "memory": "1184Mi"},
    ),
)


def jobs_of(template: Manifest) -> list[tuple[str, Manifest, str]]:
    """A job of every kind of which one pod set, named last, has this template."""
    found: list[tuple[str, Manifest, str]] = [("job", a_job(template=template), "main")]
    for name, (kind, field, _) in KUBEFLOW.items():
        job = a_kubeflow_job(kind, field, Worker=1)
        job["spec"][field]["Worker"]["template"] = template
        found.append((name, job, "Worker"))
    mpi = an_mpijob()
    mpi["spec"]["mpiReplicaSpecs"]["Launcher"]["template"] = template
    found.append(("mpiv1", mpi, "Launcher"))
    found.append(("rayjob", a_rayjob(submitterPodTemplate=template), "submitter"))
    group = a_worker_group(replicas=1)
    group["template"] = template
    cluster = {"headGroupSpec": {"template": template}, "workerGroupSpecs": [group]}
    found.append(("rayjob", a_rayjob(rayClusterSpec=cluster), "small"))
    found.append(("rayjob", a_rayjob(rayClusterSpec=cluster), "head"))
    found.append(("raycluster", a_raycluster(**cluster), "small"))
    found.append(("jobset", a_jobset(a_replicated_job("a", template=template)), "a"))
    found.append(("pod", {**a_pod(), **template}, "main"))
    spec = {**template["spec"], "schedulingGates": a_pod()["spec"]["schedulingGates"]}
    found.append(("podgroup", a_pod_group({**a_member(total="1"), "spec": spec}), "pods"))
    leader, worker = an_lws_pod(size="2"), an_lws_pod(1, "2")
    found.append(("leaderworkerset", an_lws_group({**leader, "spec": spec}, worker), "leader"))
    found.append(("leaderworkerset", an_lws_group(leader, {**worker, "spec": spec}), "workers"))
    deployment = a_component("Deployment", {"template": template})
    found.append(("appwrapper", an_appwrapper(deployment), "component-0-0"))
    return found


@pytest.mark.parametrize(
    ("spec", "request_"), [rule[1:] for rule in POD_RULES], ids=[rule[0] for rule in POD_RULES]
)
def test_the_rule_of_pods_holds_in_every_kind(spec: Manifest, request_: dict[str, str]) -> None:
    for name, job, pod_set in jobs_of({"spec": spec}):
        (extension,) = load_extensions(name)
        assert asks(extension, job, AROUND)[pod_set] == (1, request_), name


@pytest.mark.parametrize("name", KUBEFLOW)
def test_every_replica_type_of_the_operator_counts_in_any_case(name: str) -> None:
    kind, field, types = KUBEFLOW[name]
    (extension,) = load_extensions(name)
    for spell in (str, str.lower, str.upper):
        found = asks(extension, a_kubeflow_job(kind, field, **{spell(each): 2 for each in types}))
        assert {each: count for each, (count, _) in found.items()} == {
            spell(each): 2 for each in types
        }


@pytest.mark.parametrize("name", KUBEFLOW)
def test_absent_replicas_are_one_pod(name: str) -> None:
    kind, field, _ = KUBEFLOW[name]
    (extension,) = load_extensions(name)
    assert asks(extension, a_kubeflow_job(kind, field, Worker=None))["Worker"][0] == 1


@pytest.mark.parametrize("name", KUBEFLOW)
@pytest.mark.parametrize(
    ("replicas", "path"),
    [
        ({}, ""),
        ({"Boss": 1}, ".Boss"),
        ({"Worker": 1, "worker": 1}, ".worker"),
        ({"Worker": -1}, ".Worker.replicas"),
        ({"Worker": 2**31}, ".Worker.replicas"),
        ({"Worker": "2"}, ".Worker.replicas"),
    ],
)
def test_what_no_operator_would_run_is_named_by_its_path(
    name: str, replicas: dict[str, Any], path: str
) -> None:
    kind, field, _ = KUBEFLOW[name]
    (extension,) = load_extensions(name)
    with pytest.raises(InvalidInput) as caught:
        asks(extension, a_kubeflow_job(kind, field, **replicas))
    assert str(caught.value).startswith(f"spec.{field}{path}: ")


@pytest.mark.parametrize(("pods", "who"), [(1, "1 pod asks"), (3, "3 pods ask")])
def test_a_request_beyond_counting_says_who_asks_for_what(pods: int, who: str) -> None:
    (extension,) = load_extensions("job")
    asking = {"name": "main", "resources": {"requests": {"cpu": "9" * 21}}}
    template = {"spec": {"containers": [asking]}}
    with pytest.raises(InvalidInput, match=f"{who} for more cpu than can be counted"):
        asks(extension, a_job(parallelism=pods, completions=pods, template=template))
