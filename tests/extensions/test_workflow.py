"""What a Workflow's annotation says, and when a Workflow is held and runs."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.reasons import Reason
from kube_queue.api.units import invalid_reason, project_unit
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.decisions import CreateUnit
from kube_queue.jobframework.extension import Hold, Suspendable, evictable
from kube_queue_extensions.workflow import WorkflowExtension
from tests.extensions.asking import asks
from tests.extensions.manifests import a_workflow
from tests.jobframework.builders import World

ARGO = WorkflowExtension()


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("cpu: 5\nmemory: 5G\n", {"cpu": "5", "memory": "5000000000"}),
        ("cpu: 5\nmemory: 5Gi", {"cpu": "5", "memory": "5Gi"}),
        ('{"cpu": "500m", "memory": "1Gi"}', {"cpu": "500m", "memory": "1Gi"}),
        ('{"cpu": 2}', {"cpu": "2"}),
        ("{cpu: 2.5}", {"cpu": "2500m"}),
        ("# as measured\ncpu: '3'\nnvidia.com/gpu: 1\n", {"cpu": "3", "nvidia.com/gpu": "1"}),
        ("cpu: 0", {}),
        ("hugepages-2Mi: 4Mi", {"hugepages-2Mi": "4Mi"}),
    ],
)
def test_the_annotation_is_a_resource_list_in_yaml_or_json(
    written: str, found: dict[str, str]
) -> None:
    assert asks(ARGO, a_workflow(written)) == {"main": (1, found)}


@pytest.mark.parametrize(
    "written",
    [
        "",
        "lots",
        "5",
        "{}",
        "[]",
        "- cpu: 5",
        "cpu 5",
        "\tcpu: 5",
        "cpu: -1",
        "cpu: 5Gb",
        "cpu:",
        "cpu: [1]",
        "cpu: {a: 1}",
        "cpu: 1\ncpu: 0",
        "cpu: 1\n---\ncpu: 2",
        "cpu: 1:30",
        "cpu: 0x10",
        "cpu: &a [*a]",
        "{a: " * 400,
        "[" * 1500,
        "cpu: 1" + " " * 4000,
        "cpu: " + "9" * 300,
        "cpu: 10e30",
        "cpuu: 5",
        "gpu: 1",
        "kube-queue/max-jobs: 0",
        5,
        True,
        ["cpu"],
        {"cpu": 5},
    ],
)
def test_what_cannot_be_read_holds_the_workflow_and_says_why(written: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        asks(ARGO, a_workflow(written))
    assert str(caught.value).startswith("metadata.annotations[kube-queue/min-resources]")
    (create, *_) = World(a_workflow(written), ARGO).plan()
    assert isinstance(create, CreateUnit)
    assert Reason.INVALID_MIN_RESOURCES in [each.reason for each in create.says]
    unit = project_unit(create.manifest)
    assert invalid_reason(unit.invalid) is Reason.INVALID_MIN_RESOURCES


def test_without_the_annotation_it_counts_as_one_job_that_asks_for_nothing_and_is_told_so() -> None:
    (create, *_) = World(a_workflow(None), ARGO).plan()
    assert isinstance(create, CreateUnit)
    assert create.manifest["spec"]["resource"] == {}
    warned = [each for each in create.says if each.reason is Reason.MISSING_MIN_RESOURCES]
    assert [each.warning for each in warned] == [True]
    assert "kube-queue/min-resources" in warned[0].message
    assert not project_unit(create.manifest).invalid


def test_only_with_the_suspend_template_is_a_suspended_workflow_queued() -> None:
    assert ARGO.state(a_workflow()).hold is Hold.SPEC
    assert ARGO.state(a_workflow(template=False)).hold is Hold.NONE
    assert ARGO.state(a_workflow(held=False)).hold is Hold.NONE
    other = a_workflow()
    other["spec"]["templates"][-1]["suspend"] = None
    assert ARGO.state(other).hold is Hold.NONE


def test_it_runs_when_argo_says_so_and_it_is_not_suspended() -> None:
    running = {"status": {"phase": "Running"}}
    assert ARGO.state({**a_workflow(held=False), **running}).running
    assert not ARGO.state({**a_workflow(), **running}).running
    assert not ARGO.state({**a_workflow(template=False), **running}).running


def test_it_cannot_be_suspended_while_it_runs_but_ended() -> None:
    assert not isinstance(ARGO, Suspendable)
    assert not evictable(ARGO, a_workflow(held=False))
    ended = merged(a_workflow(held=False), ARGO.stop(a_workflow(held=False)))
    assert ended["spec"]["shutdown"] == "Terminate"


def test_its_live_steps_count_as_its_pods() -> None:
    nodes = {
        "a": {"type": "Pod", "phase": "Running"},
        "b": {"type": "Pod", "phase": "Pending"},
        "c": {"type": "Pod", "phase": "Succeeded"},
        "d": {"type": "DAG", "phase": "Running"},
        "e": None,
    }
    job = {**a_workflow(held=False), "status": {"phase": "Running", "nodes": nodes}}
    assert ARGO.state(job).alive == 2
