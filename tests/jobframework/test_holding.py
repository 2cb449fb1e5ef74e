"""A new job is written so that it waits, each kind in its own way."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kube_queue.api.errors import InvalidManifest
from kube_queue.jobframework import Hold, every_extension, held_from_creation
from kube_queue.jobframework.conformance import Sample
from tests.extensions.manifests import a_rayjob, a_workflow
from tests.extensions.test_conformance import SAMPLES
from tests.jobframework.builders import a_job, a_tfjob

KINDS = {one.name: one for one in every_extension()}
CASES = [(name, number) for name, samples in SAMPLES.items() for number in range(len(samples))]


def new(sample: Sample) -> dict[str, Any]:
    """The sample as its owner would write it: without a status."""
    manifest = copy.deepcopy(dict(sample.manifest))
    for one in (manifest, *manifest.get("members", {}).values()):
        one.pop("status", None)
    return manifest


def test_every_kind_with_samples_is_registered() -> None:
    assert set(SAMPLES) <= set(KINDS)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_marked_job_is_held_asks_for_the_same_and_is_marked_once(name: str, number: int) -> None:
    extension, manifest = KINDS[name], new(SAMPLES[name][number])
    before = copy.deepcopy(manifest)
    try:
        asks = extension.pod_sets(manifest)
    except InvalidManifest:
        with pytest.raises(InvalidManifest):
            held_from_creation(extension, manifest)
        return
    marked = held_from_creation(extension, manifest)
    assert manifest == before
    assert extension.state(marked).hold is not Hold.NONE
    assert extension.pod_sets(marked) == asks
    assert held_from_creation(extension, marked) == marked


def test_a_kubeflow_job_is_marked_by_annotation_and_run_policy() -> None:
    marked = held_from_creation(KINDS["tfjob"], a_tfjob(held=False))
    assert marked["metadata"]["annotations"]["scheduling.x-k8s.io/suspend"] == "true"
    assert marked["spec"]["runPolicy"]["suspend"] is True


def test_a_rayjob_is_shut_down_after_it_finishes_as_kuberay_demands() -> None:
    spec = held_from_creation(KINDS["rayjob"], a_rayjob())["spec"]
    assert (spec["suspend"], spec["shutdownAfterJobFinishes"]) == (True, True)


def test_a_workflow_gets_the_template_it_is_recognised_by_once_and_keeps_its_own() -> None:
    manifest = a_workflow()
    own = [{"name": "main", "container": {"image": "busybox"}}]
    manifest["spec"] = {"entrypoint": "main", "templates": own}
    marked = held_from_creation(KINDS["workflow"], manifest)
    assert marked["spec"] == {
        "entrypoint": "main",
        "suspend": True,
        "templates": [*own, {"name": "kube-queue-suspend", "suspend": {}}],
    }


@pytest.mark.parametrize(
    ("name", "manifest", "says"),
    [
        (
            "workflow",
            {"metadata": {"name": "w"}, "spec": {"workflowTemplateRef": {"name": "t"}}},
            "spec.workflowTemplateRef",
        ),
        ("workflow", {"metadata": {"name": "w"}, "spec": {"templates": "all"}}, "spec.templates"),
        (
            "rayjob",
            {"spec": {"deletionStrategy": {"deletionRules": [{"policy": "DeleteCluster"}]}}},
            "deletionRules",
        ),
        ("rayjob", {"spec": {"clusterSelector": {"a": "b"}}}, "clusterSelector"),
        ("job", {**a_job(), "spec": {**a_job()["spec"], "managedBy": "me/x"}}, "leave it alone"),
        ("job", {"metadata": {"name": "j"}, "spec": {"parallelism": -1}}, "spec.parallelism"),
        ("tfjob", {"metadata": {"name": "j"}, "spec": "all"}, "spec"),
    ],
)
def test_a_job_that_could_not_be_queued_is_refused_with_the_field(
    name: str, manifest: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidManifest, match=says):
        held_from_creation(KINDS[name], manifest)
