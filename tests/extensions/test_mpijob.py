"""What MPI jobs ask for in each of their versions, and what their status says."""

from __future__ import annotations

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import Hold, evictable
from kube_queue.jobframework.view import view_job
from kube_queue_extensions.mpijob import MPIJobExtension
from tests.extensions.asking import asks
from tests.extensions.manifests import Manifest, an_mpijob, an_old_mpijob
from tests.jobframework.builders import conditions

MPI = MPIJobExtension()
ONE = {"cpu": "1", "memory": "1Gi"}
GPU = "nvidia.com/gpu"


@pytest.mark.parametrize("version", ["v1", "v2beta1"])
@pytest.mark.parametrize(
    ("replicas", "found"),
    [
        ({"Launcher": 1, "Worker": 2}, {"Launcher": (1, ONE), "Worker": (2, ONE)}),
        ({"Launcher": None, "Worker": None}, {"Launcher": (1, ONE), "Worker": (0, ONE)}),
        ({"Launcher": 1}, {"Launcher": (1, ONE)}),
    ],
)
def test_launcher_and_workers_count_whatever_the_slots(
    version: str, replicas: dict[str, int | None], found: object
) -> None:
    job = an_mpijob(version=version, **replicas)
    job["spec"]["slotsPerWorker"] = 8
    assert asks(MPI, job) == found


@pytest.mark.parametrize(
    ("replicas", "path"),
    [
        ({"Worker": 2}, "spec.mpiReplicaSpecs.Launcher"),
        ({"Launcher": 2, "Worker": 2}, "spec.mpiReplicaSpecs.Launcher.replicas"),
        ({"Launcher": 0}, "spec.mpiReplicaSpecs.Launcher.replicas"),
        ({"Launcher": 1, "Worker": -1}, "spec.mpiReplicaSpecs.Worker.replicas"),
        ({"Launcher": 1, "worker": 1}, "spec.mpiReplicaSpecs.worker"),
    ],
)
def test_what_no_operator_would_run_is_named_by_its_path(
    replicas: dict[str, int | None], path: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(MPI, an_mpijob(**replicas))
    assert str(caught.value).startswith(path)


@pytest.mark.parametrize(
    ("spec", "workers", "gpus"),
    [
        ({"replicas": 3}, 3, "1"),
        ({"replicas": None}, 0, "1"),
        ({"replicas": None, "gpus": 4}, 4, "1"),
        ({"replicas": None, "gpus": 16, "gpusPerNode": 8}, 2, "8"),
        ({"replicas": None, "gpus": 4, "gpusPerNode": 8}, 1, "4"),
        ({"replicas": None, "processingUnits": 8, "processingUnitsPerNode": 4}, 2, "4"),
    ],
)
def test_the_first_version_has_workers_by_number_or_by_gpus(
    spec: Manifest, workers: int, gpus: str
) -> None:
    found = asks(MPI, an_old_mpijob(**spec))
    assert found["Worker"] == (workers, {"cpu": "2", "memory": "1Gi", GPU: gpus})


def test_the_first_version_counts_processors_of_another_kind() -> None:
    job = an_old_mpijob(replicas=None, processingUnits=6, processingUnitsPerNode=3)
    job["spec"]["processingResourceType"] = "cpu"
    assert asks(MPI, job)["Worker"] == (2, {"cpu": "3", "memory": "1Gi", GPU: "1"})


def test_the_launcher_of_the_first_version_asks_for_its_own_resources_or_nothing() -> None:
    assert asks(MPI, an_old_mpijob())["Launcher"] == (1, {})
    own = {"limits": {"cpu": "500m"}, "requests": {"memory": "1Gi"}}
    job = an_old_mpijob(launcherResources=own)
    assert asks(MPI, job)["Launcher"] == (1, {"cpu": "500m", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"gpus": 4}, "spec.replicas"),
        ({"replicas": None, "gpus": 9, "gpusPerNode": 8}, "spec.gpus"),
        ({"replicas": None, "gpus": 9, "gpusPerNode": 0}, "spec.gpus"),
        ({"replicas": None, "gpus": 0, "gpusPerNode": 0}, "spec.gpus"),
        ({"replicas": None, "gpus": -1}, "spec.gpus"),
        ({"template": {"spec": {"containers": []}}}, "spec.template.spec.containers"),
        ({"template": []}, "spec.template"),
    ],
)
def test_a_bad_number_of_the_first_version_is_named_by_its_path(spec: Manifest, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(MPI, an_old_mpijob(**spec))
    assert str(caught.value).startswith(path)


def test_the_shape_decides_where_a_cluster_shows_every_version_as_one() -> None:
    job = {**an_old_mpijob(), "apiVersion": "kubeflow.org/v1"}
    assert asks(MPI, job) == asks(MPI, an_old_mpijob())


def test_a_job_is_named_in_the_version_it_was_read_in() -> None:
    for version in ("v1", "v2beta1"):
        job = an_mpijob(version=version)
        assert view_job(MPI, job).ref.api_version == f"kubeflow.org/{version}"
        del job["apiVersion"]
        assert view_job(MPI, job).ref.api_version == "kubeflow.org/v1"


def test_the_first_version_is_held_by_its_annotation_and_knows_no_way_to_stop() -> None:
    free = an_old_mpijob(held=False)
    assert MPI.state(an_old_mpijob()).hold is Hold.MARK
    assert not evictable(MPI, free)
    assert evictable(MPI, an_mpijob(held=False))
    assert MPI.suspend(free) == {"metadata": {"annotations": {SUSPEND_ANNOTATION: "true"}}}


def test_state_shows_queuing_where_the_version_has_conditions() -> None:
    assert MPI.queuing(an_old_mpijob(), True, "2026-01-31T12:00:00Z") is None
    patch = MPI.queuing(an_mpijob(), True, "2026-01-31T12:00:00Z")
    assert merged(an_mpijob(), patch)["status"]["conditions"][-1]["type"] == "Queuing"


def test_either_operator_may_be_named_as_the_one_that_manages_it() -> None:
    for manager, foreign in (
        ("kubeflow.org/training-operator", ""),
        ("kubeflow.org/mpi-operator", ""),
        ("kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/multikueue"),
    ):
        job = merged(an_mpijob(), {"spec": {"runPolicy": {"managedBy": manager}}})
        assert MPI.state(job).managed_by == foreign


def test_only_the_last_true_condition_tells_that_it_runs() -> None:
    for kinds, runs in ((("Created", "Running"), True), (("Running", "Suspended"), False)):
        status = {"conditions": conditions(*kinds)}
        assert MPI.state({**an_mpijob(held=False), "status": status}).running is runs
