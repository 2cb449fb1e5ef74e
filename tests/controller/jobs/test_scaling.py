"""What a job of either kind is charged once it is another size than it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    EVENTS,
    QUEUE_UNITS,
)
from kube_queue.jobframework.extension import Hold
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.pytorchjob import PyTorchJobExtension
from tests.controller.jobs.cluster import Cluster, play
from tests.controller.jobs.turns import (
    JOB,
    PYTORCHJOB,
    It,
    Kind,
    Manifest,
    a_pod,
    lives,
    on_both,
)
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.jobframework.builders import a_template


def to(kind: Kind, pods: int) -> Manifest:
    """The patch that scales the job."""
    if kind is JOB:
        return {"spec": {"parallelism": pods, "completions": pods}}
    return {"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": pods - 1}}}}


@on_both
def test_scaled_up_while_it_runs_it_is_charged_for_the_difference_without_a_new_admission(
    kind: Kind,
) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.change(to(kind, 5))
        await it.until_held(5)
        await it.cluster.settle()
        after = await it.cluster.unit(kind.unit())
        assert (after.phase, after.attempts) == (Phase.RUNNING, before.attempts)
        assert after.request["cpu"] == 5000
        said = {event["reason"] for event in await it.cluster.client.list(EVENTS)}
        assert "Resized" in said

    lives(kind, story)


def test_pods_that_come_to_ask_for_more_are_charged_at_once_and_stay_so_until_it_waits() -> None:
    """Kubernetes lets nobody change the template of a Job that runs."""
    kind = PYTORCHJOB

    def asking(cpu: str) -> Manifest:
        worker = {"template": {**a_pod(), **a_template(cpu)}}
        return {"spec": {"pytorchReplicaSpecs": {"Worker": worker}}}

    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.change(asking("4"))
        await it.until_held(9)
        await it.change(asking("500m"))
        await it.cluster.settle(5)
        after = await it.cluster.unit(kind.unit())
        assert (after.phase, after.attempts) == (Phase.RUNNING, before.attempts)
        assert after.held["cpu"] == 9000
        await it.change(kind.hold)
        await it.says(kind.stopped)
        await it.waits()
        await it.cluster.settle()
        assert (await it.cluster.unit(kind.unit())).request["cpu"] == 2000

    lives(kind, story)


@on_both
def test_scaled_while_it_waits_it_asks_for_what_it_has_become(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.waits()
        await it.change(to(kind, 7))
        await it.cluster.settle()
        assert (await it.cluster.unit(kind.unit())).request["cpu"] == 7000

    lives(kind, story)


def share_of(kind: Kind, change: Callable[[It], Any]) -> None:
    """With room for four pods a job of three runs, one of two waits until `change` makes room."""

    async def story(cluster: Cluster) -> None:
        root = a_root(a_leaf("default", cpu=4))
        await cluster.client.create(ELASTIC_QUOTA_TREES, a_tree(root, "elasticquotatree"))
        cluster.start_jobs(PyTorchJobExtension(), BatchJob())
        cluster.start_controller()
        it = It(cluster, kind)
        await it.create()
        await it.released()
        await it.says(kind.runs)
        await cluster.until_phase(kind.unit(), Phase.RUNNING)
        await it.create(kind.manifest("next", pods=2))
        await cluster.settle(10)
        assert (await cluster.unit(kind.unit("next"))).phase is Phase.ENQUEUED
        await change(it)
        await it.released("next")
        unit = await cluster.unit(kind.unit())
        assert (unit.phase, unit.held["cpu"]) == (Phase.RUNNING, 2000)
        obj = await cluster.client.get(QUEUE_UNITS, "default", kind.unit())
        assert sum(each["replicas"] for each in obj["status"]["admissions"]) == 2

    play(story, simulated=False)


@on_both
def test_scaled_down_while_it_runs_it_returns_quota_to_the_next(kind: Kind) -> None:
    async def change(it: It) -> None:
        await it.change(to(kind, 2))

    share_of(kind, change)


@on_both
def test_a_pod_that_is_done_gives_its_share_to_the_next(kind: Kind) -> None:
    async def change(it: It) -> None:
        await it.says(kind.one_done)

    share_of(kind, change)


@on_both
def test_stopped_after_some_pods_were_done_it_asks_for_what_it_would_run_again(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        await it.says(kind.one_done)
        await it.until_held(2)
        await it.cluster.evict(kind.unit())

        async def held() -> bool:
            job = await it.cluster.client.get(kind.resource, "default", "it")
            return kind.extension.state(job).hold is not Hold.NONE

        await it.cluster.until(held, "it is held")
        await it.says(kind.stopped)
        await it.waits()
        await it.cluster.settle()
        asks = (await it.cluster.unit(kind.unit())).request["cpu"]
        # A Job never runs a completed index again; all replicas of a Kubeflow job start anew.
        assert asks == (2000 if kind is JOB else 3000)

    lives(kind, story)
