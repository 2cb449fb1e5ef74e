"""The names that --enabled-extensions takes for the built-in kinds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.config import Settings
from kube_queue.jobframework.registry import GROUP, load_extensions

ROOT = Path(__file__).resolve().parents[2]
POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
][GROUP]


@pytest.mark.parametrize(
    ("name", "kind", "suffix"),
    [
        ("tfjob", "TFJob", "tf"),
        ("pytorchjob", "PyTorchJob", "py"),
        ("job", "Job", "job"),
        ("sparkapp", "SparkApplication", "spark"),
        ("rayjob", "RayJob", "ray"),
        ("rayjobv1alpha1", "RayJob", "ray"),
        ("mpiv1", "MPIJob", "mpi"),
        ("mpijob", "MPIJob", "mpi"),
        ("workflow", "Workflow", "wf"),
        ("argo", "Workflow", "wf"),
        ("xgboostjob", "XGBoostJob", "xgb"),
        ("paddlejob", "PaddleJob", "paddle"),
        ("jaxjob", "JAXJob", "jax"),
        ("mxjob", "MXJob", "mx"),
        ("jobset", "JobSet", "jobset"),
        ("trainjob", "TrainJob", "train"),
        ("raycluster", "RayCluster", "raycluster"),
        ("appwrapper", "AppWrapper", "aw"),
        ("pod", "Pod", "pod"),
        ("deployment", "Pod", "pod"),
        ("statefulset", "Pod", "pod"),
        ("podgroup", "Pod", "group"),
        ("leaderworkerset", "Pod", "lws"),
        ("lws", "Pod", "lws"),
    ],
)
def test_the_name_means_the_kind_and_its_units_have_their_suffix(
    name: str, kind: str, suffix: str
) -> None:
    for spelled in (name, name.upper(), f" {name.title()} "):
        (extension,) = load_extensions(spelled)
        assert (extension.resource.kind, extension.suffix) == (kind, suffix)


def test_tfjob_and_pytorchjob_are_queued_without_being_asked() -> None:
    found = load_extensions(Settings().jobs.enabled_extensions)
    assert [each.resource.kind for each in found] == ["TFJob", "PyTorchJob"]


def test_a_local_cluster_queues_every_kind_there_is() -> None:
    local = load_extensions(LOCAL_EXTENSIONS)
    assert {each.name for each in local} == {
        each.name for each in load_extensions(",".join(POINTS))
    }


def test_both_names_of_rayjob_together_are_one() -> None:
    assert len(load_extensions("rayjob,rayjobv1alpha1")) == 1
