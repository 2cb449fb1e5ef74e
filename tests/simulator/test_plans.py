"""Whatever stands in a manifest, a plan decides something: no job can stop an operator."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.simulator.kubeflow_kinds import KUBEFLOW_KINDS, MPIJOB
from kube_queue.simulator.operators import OPERATORS
from kube_queue.simulator.outcome import Outcome
from kube_queue.simulator.views import PodView, pod_view
from tests.examples import examples
from tests.simulator.test_kubeflow_operator import a_kubeflow_job
from tests.simulator.test_mpi_first import an_old_mpijob
from tests.simulator.test_rayjob_operator import a_rayjob
from tests.simulator.test_spark_operator import an_application
from tests.simulator.test_workflow_operator import a_step, a_workflow, dag, steps

Object = dict[str, Any]
NOW = 1_767_225_600.0
PHASES = ("Pending", "Running", "Succeeded", "Failed")

GOOD: dict[str, list[Object]] = {
    **{
        kind.name.lower(): [a_kubeflow_job(kind, dict.fromkeys(kind.types, 2), backoffLimit=2)]
        for kind in (*KUBEFLOW_KINDS, MPIJOB)
    },
    "rayjob": [a_rayjob(), a_rayjob(submissionMode="HTTPMode", activeDeadlineSeconds=9)],
    "sparkapp": [an_application(dynamicAllocation={"enabled": True, "minExecutors": 2})],
    "workflow": [
        a_workflow(steps(("a", "b"), ("c",)), *map(a_step, "abc")),
        a_workflow(dag(a=[], b=["a"]), *map(a_step, "ab")),
    ],
}
GOOD["mpijob"].append(an_old_mpijob(gpus=8, gpusPerNode=4))

nonsense = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(10**29, 10**30)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything below the value."""
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    return [each for key, inner in items for each in ((*path, key), *places(inner, (*path, key)))]


def spoiled(job: Object, path: tuple[Any, ...], value: object) -> Object:
    """The job with that value at that path."""
    changed: Any = copy.deepcopy(job)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(changed)


def pods_of(outcome: Outcome, phase: str) -> list[PodView]:
    """The pods that were asked for, in that phase."""
    return [
        pod_view(
            {
                "metadata": {
                    "name": each.wanted.name,
                    "uid": each.wanted.name,
                    "labels": dict(each.wanted.labels),
                },
                "status": {"phase": phase, "startTime": "2026-01-01T00:00:00Z"},
            }
        )
        for each in outcome.create
    ]


@pytest.mark.parametrize("part", sorted(OPERATORS))
@settings(max_examples=examples(80), deadline=None)
@given(data=st.data())
def test_a_spoiled_manifest_is_looked_at_from_its_beginning_to_its_end(
    part: str, data: st.DataObject
):
    job = data.draw(st.sampled_from(GOOD[part]))
    below = [path for path in places(job) if path[0] == "spec"]
    bad = spoiled(job, data.draw(st.sampled_from(below)), data.draw(nonsense))
    decide = OPERATORS[part].plan
    pods: list[PodView] = []
    for turn in range(6):
        outcome = decide(bad, pods, NOW + turn)
        pods = pods_of(outcome, data.draw(st.sampled_from(PHASES))) or pods
        bad = {**bad, "status": outcome.status}


@pytest.mark.parametrize("part", sorted(OPERATORS))
@settings(max_examples=examples(80), deadline=None)
@given(data=st.data())
def test_a_spoiled_status_is_looked_at_too(part: str, data: st.DataObject):
    job = data.draw(st.sampled_from(GOOD[part]))
    decide = OPERATORS[part].plan
    first = decide(job, [], NOW)
    second = decide({**job, "status": first.status}, pods_of(first, "Running"), NOW + 1)
    status = second.status
    bad = spoiled(status, data.draw(st.sampled_from(places(status))), data.draw(nonsense))
    phase = data.draw(st.sampled_from(PHASES))
    decide({**job, "status": bad}, pods_of(first, phase) + pods_of(second, phase), NOW + 2)


def test_a_node_of_a_workflow_that_lost_its_name_is_gone_on_with_under_it():
    workflow = GOOD["workflow"][0]
    decide = OPERATORS["workflow"].plan
    status = decide(workflow, [], NOW).status
    nameless = {**status, "nodes": {**status["nodes"], "wf": {"phase": "Running"}}}
    after = decide({**workflow, "status": nameless}, [], NOW + 1).status
    assert after["nodes"].keys() == status["nodes"].keys()
    assert after["nodes"]["wf"]["name"] == "wf"
