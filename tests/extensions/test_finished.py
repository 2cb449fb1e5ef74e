"""Whose pods give their share back while others go on, and what tells that they are done."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.decisions import Topic
from kube_queue.jobframework.extension import JobExtension, Reclaimable
from kube_queue.jobframework.registry import every_extension, load_extensions
from tests.extensions.manifests import (
    Manifest,
    a_jobset,
    a_kubeflow_job,
    a_replicated_job,
    a_sparkapp,
    an_mpijob,
    an_old_mpijob,
)
from tests.jobframework.builders import World, a_job, a_tfjob, conditions

TELLS = {
    "job",
    "jaxjob",
    "mpiv1",
    "mxjob",
    "paddlejob",
    "pytorchjob",
    "tfjob",
    "xgboostjob",
}
"""JobSet leaves out of its pod sets what is done. docs/jobs.md says of the others why they do not.
"""


def named(name: str) -> JobExtension:
    (extension,) = load_extensions(name)
    return extension


def counts(world: World) -> dict[str, int]:
    return {each.name: each.count for each in world.view.held_sets if each.count}


def after(extension: JobExtension, held: Manifest, status: Manifest) -> dict[str, int]:
    """The pods that a job which was released holds quota for once its status says this."""
    world = World(held, extension)
    world.go()
    world.admit().go()
    return as_told(world, status)


def as_told(world: World, status: Manifest) -> dict[str, int]:
    world.job_is({"status": None})
    world.job_is({"status": status})
    world.waited = dict.fromkeys(Topic, 1e6)
    world.go()
    return counts(world)


def test_the_kinds_whose_pods_give_their_share_back_are_these() -> None:
    tells = {each.name for each in every_extension() if isinstance(each, Reclaimable)}
    assert tells >= TELLS
    assert not tells & {"sparkapp", "rayjob", "raycluster", "workflow", "trainjob", "appwrapper"}


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("tfjob", a_tfjob(PS=1, Worker=3)),
        ("pytorchjob", a_kubeflow_job("PyTorchJob", "pytorchReplicaSpecs", Master=1, Worker=3)),
        ("xgboostjob", a_kubeflow_job("XGBoostJob", "xgbReplicaSpecs", Master=1, Worker=3)),
        ("paddlejob", a_kubeflow_job("PaddleJob", "paddleReplicaSpecs", Master=1, Worker=3)),
        ("jaxjob", a_kubeflow_job("JAXJob", "jaxReplicaSpecs", Worker=3)),
        ("mxjob", a_kubeflow_job("MXJob", "mxReplicaSpecs", Server=1, Worker=3)),
        ("mpiv1", an_mpijob(Launcher=1, Worker=3)),
        ("mpiv1", an_mpijob(version="v2beta1", Launcher=1, Worker=3)),
    ],
)
def test_replicas_that_succeeded_are_done_and_those_that_failed_come_again(
    name: str, held: Manifest
) -> None:
    replicas = {"Worker": {"active": 1, "succeeded": 1, "failed": 1}}
    found = after(named(name), held, {"replicaStatuses": replicas})
    assert found["Worker"] == 2


def test_an_old_mpijob_counts_only_workers_that_are_ready_so_none_is_done() -> None:
    status = {"launcherStatus": "Active", "workerReplicas": 0}
    found = after(named("mpiv1"), an_old_mpijob(), status)
    assert found == {"Launcher": 1, "Worker": 2}


SET = a_jobset(a_replicated_job("driver"), a_replicated_job("workers", replicas=4, parallelism=3))


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([], {"driver": 1, "workers": 12}),
        ([{"name": "workers", "succeeded": 1, "active": 3}], {"driver": 1, "workers": 9}),
        ([{"name": "workers", "failed": 2}], {"driver": 1, "workers": 12}),
        ([{"name": "workers", "succeeded": 4}], {"driver": 1}),
        ([{"name": "workers", "succeeded": 9}], {"driver": 1}),
        ([{"name": "workers", "succeeded": -2}], {"driver": 1, "workers": 12}),
        ([{"name": "driver", "succeeded": 1}], {"workers": 12}),
        ([{"name": "nobody", "succeeded": 1}], {"driver": 1, "workers": 12}),
    ],
)
def test_of_a_jobset_all_pods_of_a_job_that_succeeded_are_done(
    told: list[Manifest], left: dict[str, int]
) -> None:
    assert after(named("jobset"), SET, {"replicatedJobsStatus": told}) == left


def test_a_jobset_that_waits_again_asks_for_the_jobs_that_are_left() -> None:
    world = World(SET, named("jobset"))
    world.go()
    world.admit().go()
    told = [{"name": "workers", "succeeded": 3, "ready": 1}]
    as_told(world, {"replicatedJobsStatus": told})
    world.evict().go()
    as_told(world, {"replicatedJobsStatus": told, "conditions": conditions("Suspended")})
    assert world.phase == "Enqueued"
    assert {each.name: each.count for each in world.view.pod_sets} == {"driver": 1, "workers": 3}


def test_a_jobset_that_its_failure_policy_restarts_is_charged_for_all_at_once() -> None:
    world = World(SET, named("jobset"))
    world.go()
    world.admit().go()
    as_told(world, {"replicatedJobsStatus": [{"name": "workers", "succeeded": 3}]})
    assert counts(world) == {"driver": 1, "workers": 3}
    world.job_is({"status": {"restarts": 1, "replicatedJobsStatus": []}})
    world.waited = {}
    world.go()
    assert counts(world) == {"driver": 1, "workers": 12}


@pytest.mark.parametrize(
    ("spec", "status", "left"),
    [
        ({"parallelism": 4, "completions": 6}, {"active": 4, "succeeded": 2}, 4),
        ({"parallelism": 4, "completions": 6}, {"active": 1, "succeeded": 5}, 1),
        ({"parallelism": 4, "completions": None}, {"active": 4}, 4),
        ({"parallelism": 4, "completions": None}, {"active": 2, "failed": 2}, 4),
        # A work queue is empty once one of its pods says so.
        ({"parallelism": 4, "completions": None}, {"active": 2, "succeeded": 1, "failed": 1}, 2),
        (
            {"parallelism": 4, "completions": None},
            {"active": 1, "terminating": 1, "succeeded": 2},
            2,
        ),
        ({"parallelism": 4, "completions": None}, {"active": 9, "succeeded": 1}, 4),
    ],
)
def test_of_a_job_the_pods_are_done_that_no_others_follow(
    spec: dict[str, Any], status: Manifest, left: int
) -> None:
    assert after(named("job"), a_job(**spec), status) == {"main": left}


def executors(**states: int) -> Manifest:
    every = [state for state, count in states.items() for _ in range(count)]
    return {
        "applicationState": {"state": "RUNNING"},
        "executorState": {f"exec-{each}": state for each, state in enumerate(every)},
    }


@pytest.mark.parametrize(
    "dynamic",
    [
        {"dynamicAllocation": {"enabled": True, "initialExecutors": 2, "maxExecutors": 9}},
        {"sparkConf": {"spark.dynamicAllocation.enabled": "true"}, "executor": {"instances": 2}},
    ],
)
def test_executors_that_dynamic_allocation_adds_are_charged_at_once_and_returned_when_they_end(
    dynamic: Manifest,
) -> None:
    world = World(a_sparkapp(**dynamic), named("sparkapp"))
    world.go()
    world.admit().go()
    world.job_is({"status": executors(PENDING=3, RUNNING=4)})
    world.go()
    assert counts(world) == {"driver": 1, "executor": 7}
    assert as_told(world, executors(RUNNING=3, COMPLETED=4, FAILED=1, UNKNOWN=1))["executor"] == 3
    # It may want those it began with at any time.
    assert as_told(world, executors(COMPLETED=7))["executor"] == 2
    asks = merged(world.job, {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "true"}}})
    held = named("sparkapp").pod_sets(merged(asks, {"status": executors(RUNNING=7)}))
    assert [each.count for each in held] == [1, 2], "it would begin with so many again"


def test_executors_that_end_are_replaced_where_their_number_is_fixed() -> None:
    app = a_sparkapp(executor={"instances": 3})
    for status in (executors(RUNNING=1, COMPLETED=2), executors(RUNNING=5)):
        assert after(named("sparkapp"), app, status)["executor"] == 3
