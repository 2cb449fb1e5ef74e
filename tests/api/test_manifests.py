"""The packaged walk-through and the examples are the documentation's, mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_queue import manifests
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.quota import parse_tree
from kube_queue.api.resources import EMPTY, ResourceVector

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str) -> list[dict[str, Any]]:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document]


def request_of(tfjob: dict[str, Any]) -> ResourceVector:
    total = EMPTY
    for replica in tfjob["spec"]["tfReplicaSpecs"].values():
        total += pod_request(replica["template"]["spec"]) * replica["replicas"]
    return total


@pytest.mark.parametrize(
    "jobs", [manifests.load("demo/two-tfjobs.yaml"), example("two-tfjobs.yaml")]
)
def test_the_two_jobs_are_held_and_ask_for_three_cpu_each(jobs: list[dict[str, Any]]) -> None:
    assert [job["metadata"]["name"] for job in jobs] == ["job1", "job2"]
    for job in jobs:
        assert job["metadata"]["annotations"] == {SUSPEND_ANNOTATION: "true"}
        assert request_of(job) == ResourceVector.parse({"cpu": 3, "memory": "3Gi"})


def test_the_demo_differs_from_the_example_only_in_its_run_time() -> None:
    demo = manifests.text("demo/two-tfjobs.yaml")
    shown = (EXAMPLES / "two-tfjobs.yaml").read_text(encoding="utf-8")
    assert demo.replace("sleep 5s", "sleep 30s") == shown


def test_one_job_fits_the_documented_quota_and_two_do_not() -> None:
    (manifest,) = manifests.load("demo/elastic-quota-tree.yaml")
    assert example("elastic-quota-tree.yaml")[0]["items"] == [manifest]
    tree, found = parse_tree(manifest)
    assert tree is not None
    assert found == ()
    leaf = tree.leaf_for("", "default")
    assert leaf is not None
    request = request_of(manifests.load("demo/two-tfjobs.yaml")[0])
    for name, amount in request.items:
        assert amount <= leaf.max[name] < 2 * amount


def test_the_example_job_is_suspended_and_named_by_the_server() -> None:
    (job,) = example("job.yaml")
    assert job["metadata"] == {"generateName": "pi-"}
    assert job["spec"]["suspend"] is True
    assert pod_request(job["spec"]["template"]["spec"]) == ResourceVector.parse({"cpu": "100m"})


def test_loaded_objects_belong_to_the_caller() -> None:
    manifests.crds()[0]["spec"].clear()
    assert manifests.crds()[0]["spec"]


def test_a_manifest_that_is_not_there_is_said_so() -> None:
    with pytest.raises(FileNotFoundError):
        manifests.load("demo/none.yaml")
