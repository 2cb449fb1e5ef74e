"""What JobSets, TrainJobs, RayClusters and AppWrappers ask for."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.jobframework.extension import Endless, JobExtension
from kube_queue_extensions.appwrapper import AppWrapperExtension
from kube_queue_extensions.jobset import JobSetExtension
from kube_queue_extensions.raycluster import RayClusterExtension
from kube_queue_extensions.trainjob import TrainJobExtension
from tests.extensions.asking import asks
from tests.extensions.manifests import (
    Manifest,
    a_component,
    a_jobset,
    a_raycluster,
    a_replicated_job,
    a_trainjob,
    a_worker_group,
    an_appwrapper,
)
from tests.jobframework.builders import a_template

JOBSET = JobSetExtension()
TRAIN = TrainJobExtension()
CLUSTER = RayClusterExtension()
WRAPPER = AppWrapperExtension()
ONE = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("job", "count"),
    [
        (a_replicated_job("a"), 1),
        (a_replicated_job("a", replicas=3), 3),
        (a_replicated_job("a", replicas=0), 0),
        (a_replicated_job("a", replicas=3, parallelism=4), 12),
        (a_replicated_job("a", replicas=3, parallelism=4, completions=2), 6),
        (a_replicated_job("a", parallelism=2, completions=9), 2),
        (a_replicated_job("a", completions=9), 1),
    ],
)
def test_a_replicated_job_counts_the_pods_that_run_at_once(job: Manifest, count: int) -> None:
    assert asks(JOBSET, a_jobset(job)) == {"a": (count, ONE)}


def test_a_trainjob_counts_its_nodes_or_what_its_annotation_says() -> None:
    assert asks(TRAIN, a_trainjob()) == {"node": (3, {"cpu": "2", "memory": "4Gi"})}
    left_out = a_trainjob(annotation="{cpu: 9, memory: 1Gi}", numNodes=None)
    assert asks(TRAIN, left_out) == {"main": (1, {"cpu": "9", "memory": "1Gi"})}


def test_a_raycluster_has_no_submitter_and_no_end() -> None:
    job = a_raycluster(enableInTreeAutoscaling=True)
    assert asks(CLUSTER, job) == {
        "head": (1, {"cpu": "1500m", "memory": "1536Mi"}),
        "small": (2, {"cpu": "200m", "memory": "1Gi"}),
    }
    assert isinstance(CLUSTER, Endless)
    assert CLUSTER.state({**job, "status": {"state": "failed"}}).outcome is None


PODS = a_template()["spec"]
JOB = {"parallelism": 3, "completions": 2, "template": a_template()}
SETS = {"replicas": 4, "template": {"spec": {**JOB}}}
TORCH = {"pytorchReplicaSpecs": {"Worker": JOB}}
RAY = {
    "headGroupSpec": {"template": a_template()},
    "workerGroupSpecs": [a_worker_group(replicas=2, numOfHosts=3)],
}


@pytest.mark.parametrize(
    ("component", "counts"),
    [
        (a_component("Service", {"ports": [{"port": 80}]}), []),
        (a_component("Pod", PODS), [1]),
        (a_component("Deployment", {"replicas": 5, "template": a_template()}), [5]),
        (a_component("Deployment", {"template": a_template()}), [1]),
        (a_component("Job", JOB), [2]),
        (a_component("JobSet", {"replicatedJobs": [SETS, SETS]}), [8, 8]),
        (a_component("PyTorchJob", TORCH), [2]),
        (a_component("RayCluster", RAY), [1, 6]),
        (
            a_component("Odd", {"x": a_template()}, {"path": "template.spec.x", "replicas": 7}),
            [7],
        ),
        (a_component("Odd", {"x": [a_template()]}, {"path": "template.spec.x[0]"}), [1]),
        (a_component("Pod", PODS, {"path": "template"}), [1]),
    ],
)
def test_a_component_counts_every_pod_template_it_holds(
    component: Manifest, counts: list[int]
) -> None:
    found = asks(WRAPPER, an_appwrapper(component))
    assert [count for count, _ in found.values()] == counts
    assert list(found) == [f"component-0-{number}" for number in range(len(counts))]


def deep(levels: int) -> Manifest:
    value: Manifest = a_template()
    for _ in range(levels):
        value = {"template": value}
    return value


@pytest.mark.parametrize(
    ("extension", "job", "path"),
    [
        (JOBSET, a_jobset(replicatedJobs=[]), "spec.replicatedJobs"),
        (JOBSET, a_jobset(replicatedJobs=None), "spec.replicatedJobs"),
        (JOBSET, a_jobset(replicatedJobs=[7]), "spec.replicatedJobs[0]"),
        (JOBSET, a_jobset(replicatedJobs=[{"name": "a"}]), "spec.replicatedJobs[0].template"),
        (
            JOBSET,
            a_jobset(a_replicated_job("a"), a_replicated_job("a")),
            "spec.replicatedJobs[1].name",
        ),
        (
            JOBSET,
            a_jobset(a_replicated_job("a", replicas=2**30, parallelism=2**30)),
            "spec.replicatedJobs[0].replicas",
        ),
        (TRAIN, a_trainjob(numNodes=None), "spec.trainer.numNodes"),
        (TRAIN, a_trainjob(resourcesPerNode=None), "spec.trainer.resourcesPerNode"),
        (TRAIN, a_trainjob(resourcesPerNode=[]), "spec.trainer.resourcesPerNode"),
        (TRAIN, a_trainjob(annotation="x"), "metadata.annotations[kube-queue/min-resources]"),
        (CLUSTER, a_raycluster(headGroupSpec=None), "spec.headGroupSpec"),
        (WRAPPER, an_appwrapper(7), "spec.components[0]"),
        (WRAPPER, an_appwrapper({}), "spec.components[0].template"),
        (
            WRAPPER,
            an_appwrapper(a_component("CronJob", {"jobTemplate": {"spec": JOB["template"]}})),
            "spec.components[0].template",
        ),
        (WRAPPER, an_appwrapper(a_component("Odd", deep(70))), "spec.components[0].template"),
        (
            WRAPPER,
            an_appwrapper(a_component("Odd", {"replicas": 2**30, "template": {"spec": {**SETS}}})),
            "spec.components[0].template.spec",
        ),
    ],
)
def test_what_nobody_could_count_is_named_by_its_path(
    extension: JobExtension, job: Manifest, path: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(extension, job)
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize(
    "pod_set",
    [
        7,
        {},
        {"path": "spec"},
        {"path": "template.spec.nothing"},
        {"path": "template.spec.x["},
        {"path": "template.spec.x[9]"},
        {"path": "template.spec..x"},
        {"path": "template.spec.x[0]", "replicas": -1},
        {"path": ["template"]},
        {"path": "template" + ".x" * 2000},
    ],
)
def test_a_pod_set_that_leads_nowhere_is_refused(pod_set: Any) -> None:
    component = a_component("Odd", {"x": [a_template()]}, pod_set)
    with pytest.raises(InvalidInput) as caught:
        asks(WRAPPER, an_appwrapper(component))
    assert str(caught.value).startswith("spec.components[0].podSets[0]")
