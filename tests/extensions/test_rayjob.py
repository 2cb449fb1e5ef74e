"""What Ray jobs ask for, as KubeRay documents it, and what its status says."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import Outcome, evictable
from kube_queue_extensions.rayjob import RAYJOBS, RAYJOBS_V1ALPHA1, RayJobExtension
from tests.extensions.asking import asks
from tests.extensions.manifests import Manifest, a_rayjob, a_worker_group
from tests.jobframework.builders import a_template

RAY = RayJobExtension()


def with_groups(*groups: Manifest, **cluster: Any) -> Manifest:
    head = {"headGroupSpec": {"template": a_template()}}
    return a_rayjob(rayClusterSpec={**head, "workerGroupSpecs": list(groups), **cluster})


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"replicas": 1, "minReplicas": 1, "maxReplicas": 5}, 1),
        ({}, 0),
        ({"replicas": 3}, 3),
        ({"replicas": 2, "numOfHosts": 4}, 8),
        ({"replicas": 2, "numOfHosts": 0}, 2),
        ({"replicas": 0, "minReplicas": 2}, 2),
        ({"minReplicas": 2}, 2),
        ({"replicas": 9, "maxReplicas": 5}, 5),
        ({"replicas": 9, "suspend": True}, 0),
    ],
)
def test_a_worker_group_has_as_many_pods_as_kuberay_would_make(
    fields: Manifest, count: int
) -> None:
    assert asks(RAY, with_groups(a_worker_group(**fields)))["small"][0] == count


@pytest.mark.parametrize(
    ("wanted", "groups", "held", "counts"),
    [
        (7, 1, False, [1, 7, 1]),
        (1, 1, False, [1, 2, 1]),
        (-7, 1, False, [1, 2, 1]),
        (2**40, 1, False, [1, 2**31 - 1, 1]),
        ("7", 1, False, [1, 2, 1]),
        # Held, it would begin with so many again.
        (7, 1, True, [1, 2, 1]),
        # Of which group they are nobody can tell.
        (7, 2, False, [1, 2, 2, 1]),
    ],
)
def test_workers_that_the_autoscaler_adds_to_the_only_group_are_counted(
    wanted: object, groups: int, held: bool, counts: list[int]
) -> None:
    cluster: Manifest = {
        "enableInTreeAutoscaling": True,
        "headGroupSpec": {"template": a_template()},
        "workerGroupSpecs": [a_worker_group(f"g{each}", replicas=2) for each in range(groups)],
    }
    status = {"status": {"rayClusterStatus": {"desiredWorkerReplicas": wanted}}}
    job = merged(a_rayjob(held=held, rayClusterSpec=cluster), status)
    assert [each.count for each in RAY.pod_sets(job)] == counts
    del cluster["enableInTreeAutoscaling"]
    job = merged(a_rayjob(held=held, rayClusterSpec=cluster), status)
    assert [each.count for each in RAY.pod_sets(job)] == [1, *[2] * groups, 1]


@pytest.mark.parametrize(
    ("spec", "submitter"),
    [
        ({}, (1, {"cpu": "500m", "memory": "200Mi"})),
        ({"submissionMode": "K8sJobMode"}, (1, {"cpu": "500m", "memory": "200Mi"})),
        ({"submitterPodTemplate": a_template("2", "3Gi")}, (1, {"cpu": "2", "memory": "3Gi"})),
        ({"submissionMode": "HTTPMode"}, None),
        ({"submissionMode": "InteractiveMode"}, None),
        ({"submissionMode": "SidecarMode"}, None),
    ],
)
def test_the_submitter_is_a_pod_of_its_own_where_a_job_submits(
    spec: Manifest, submitter: object
) -> None:
    assert asks(RAY, a_rayjob(**spec)).get("submitter") == submitter


def test_in_sidecar_mode_the_submitter_is_in_the_head() -> None:
    found = asks(RAY, a_rayjob(submissionMode="SidecarMode"))
    assert found["head"] == (1, {"cpu": "1500m", "memory": "1224Mi"})


@pytest.mark.parametrize(
    ("cluster", "head"),
    [
        ({"enableInTreeAutoscaling": False}, {"cpu": "1", "memory": "1Gi"}),
        ({"enableInTreeAutoscaling": True}, {"cpu": "1500m", "memory": "1536Mi"}),
        (
            {
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}},
            },
            {"cpu": "3", "memory": "2Gi"},
        ),
        (
            {"enableInTreeAutoscaling": True, "autoscalerOptions": {"idleTimeoutSeconds": 60}},
            {"cpu": "1500m", "memory": "1536Mi"},
        ),
    ],
)
def test_the_autoscaler_runs_in_the_head(cluster: Manifest, head: dict[str, str]) -> None:
    assert asks(RAY, with_groups(**cluster))["head"] == (1, head)


def test_every_group_is_a_pod_set_and_none_hides_another() -> None:
    groups = (a_worker_group("head", replicas=1), a_worker_group("submitter", replicas=1))
    names = list(asks(RAY, with_groups(*groups)))
    assert names == ["head", "head-workers", "submitter-workers", "submitter"]


@pytest.mark.parametrize(
    ("job", "path"),
    [
        (a_rayjob(rayClusterSpec=None), "spec.rayClusterSpec"),
        (a_rayjob(rayClusterSpec={}), "spec.rayClusterSpec.headGroupSpec"),
        (a_rayjob(submissionMode="Telepathy"), "spec.submissionMode"),
        (a_rayjob(submissionMode=["HTTPMode"]), "spec.submissionMode"),
        (a_rayjob(submitterPodTemplate={"spec": {"containers": []}}), "spec.submitterPodTemplate"),
        (a_rayjob(clusterSelector={"ray.io/cluster": "a"}), "spec.clusterSelector"),
        (with_groups(a_worker_group(replicas=-1)), "spec.rayClusterSpec.workerGroupSpecs[0]"),
        (with_groups(a_worker_group(numOfHosts=-1)), "spec.rayClusterSpec.workerGroupSpecs[0]"),
        (
            with_groups(a_worker_group(replicas=2**30, numOfHosts=2**30)),
            "spec.rayClusterSpec.workerGroupSpecs[0].replicas",
        ),
        (
            with_groups(a_worker_group(minReplicas=3, maxReplicas=2)),
            "spec.rayClusterSpec.workerGroupSpecs[0].minReplicas",
        ),
        (
            with_groups(a_worker_group(), a_worker_group()),
            "spec.rayClusterSpec.workerGroupSpecs[1].groupName",
        ),
        (with_groups(workerGroupSpecs={}), "spec.rayClusterSpec.workerGroupSpecs"),
        (
            with_groups(headGroupSpec={"template": {"spec": {"containers": []}}}),
            "spec.rayClusterSpec.headGroupSpec.template.spec.containers",
        ),
    ],
)
def test_what_kuberay_would_refuse_is_named_by_its_path(job: Manifest, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(RAY, job)
    assert str(caught.value).startswith(path)


def test_an_eviction_asks_for_what_kuberay_demands_of_a_suspended_job() -> None:
    stopped = merged(a_rayjob(held=False), RAY.suspend(a_rayjob(held=False)))
    assert stopped["spec"]["suspend"] is True
    assert stopped["spec"]["shutdownAfterJobFinishes"] is True


def test_a_job_that_kuberay_would_fail_for_being_suspended_is_never_evicted() -> None:
    assert evictable(RAY, a_rayjob(held=False))
    rules = {"deletionRules": [{"policy": "DeleteCluster"}]}
    assert not evictable(RAY, a_rayjob(held=False, deletionStrategy=rules))
    assert not evictable(RAY, a_rayjob(held=False, clusterSelector={"ray.io/cluster": "a"}))


def test_a_job_kuberay_finds_invalid_has_failed_with_its_message() -> None:
    status = {
        "jobDeploymentStatus": "ValidationFailed",
        "reason": "ValidationFailed",
        "message": "The RayJob spec is invalid",
    }
    found = RAY.state({**a_rayjob(), "status": status}).outcome
    assert found == Outcome(False, "ValidationFailed", "The RayJob spec is invalid")


def test_it_has_stopped_when_kuberay_says_suspended_and_not_before() -> None:
    for stands, stopped in (("Suspending", False), ("Suspended", True), ("", False)):
        status = {"jobDeploymentStatus": stands}
        assert RAY.state({**a_rayjob(), "status": status}).stopped is stopped


def test_a_job_handed_to_another_controller_says_whose_it_is() -> None:
    for manager, foreign in (("ray.io/kuberay-operator", ""), ("example.com/x", "example.com/x")):
        assert RAY.state(a_rayjob(managedBy=manager)).managed_by == foreign


def test_both_versions_are_understood_and_the_newer_is_preferred() -> None:
    assert RAY.versions == (RAYJOBS, RAYJOBS_V1ALPHA1)
    assert RAY.resource is RAY.versions[0]
