"""What users, owners and operators do to jobs, done to a Kubeflow kind and to Job alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    EVENTS,
    NAMESPACES,
    PODS,
    QUEUE_UNITS,
    ResourceType,
)
from kube_queue.jobframework.extension import Hold, JobExtension
from kube_queue.jobframework.ownership import read_claims
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.pytorchjob import PyTorchJobExtension
from kube_queue_extensions.workflow import WorkflowExtension
from tests.controller.jobs.cluster import Cluster, play
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.jobframework.builders import a_template, conditions

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How one kind of three pods, a cpu each, is written and what is said of it."""

    extension: JobExtension
    spec: Callable[[int], Manifest]
    """Of a held job with so many pods."""
    hold: Manifest
    """The patch of a user who suspends it."""
    free: Manifest
    """The patch of a user who releases it."""
    runs: Manifest
    stopped: Manifest
    one_done: Manifest
    """Its status when one of its pods succeeded."""
    all_done: Manifest
    managed: Manifest
    """The spec that hands it to somebody else."""

    @property
    def resource(self) -> ResourceType:
        return self.extension.resource

    def unit(self, name: str = "it") -> str:
        return f"{name}-{self.extension.suffix}-qu"

    def manifest(self, name: str = "it", pods: int = 3, **metadata: Any) -> Manifest:
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": self.spec(pods),
        }


def a_pod() -> Manifest:
    template = a_template("1")
    template["spec"]["restartPolicy"] = "Never"
    template["spec"]["containers"][0]["image"] = "busybox"
    return template


PYTORCHJOB = Kind(
    PyTorchJobExtension(),
    lambda pods: {
        "runPolicy": {"suspend": True},
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "template": a_pod()},
            "Worker": {"replicas": pods - 1, "template": a_pod()},
        },
    },
    hold={"spec": {"runPolicy": {"suspend": True}}},
    free={"spec": {"runPolicy": {"suspend": False}}},
    runs={"conditions": conditions("Created", "Running")},
    stopped={"conditions": [*conditions("Running", status="False"), *conditions("Suspended")]},
    one_done={
        "conditions": conditions("Created", "Running"),
        "replicaStatuses": {"Master": {"active": 1}, "Worker": {"active": 1, "succeeded": 1}},
    },
    all_done={"conditions": conditions("Succeeded")},
    managed={"runPolicy": {"managedBy": "kueue.x-k8s.io/multikueue"}},
)
JOB = Kind(
    BatchJob(),
    lambda pods: {
        "suspend": True,
        "parallelism": pods,
        "completions": 3,
        "completionMode": "Indexed",
        "template": a_pod(),
    },
    hold={"spec": {"suspend": True}},
    free={"spec": {"suspend": False}},
    runs={"active": 3, "ready": 3},
    stopped={"active": 0, "ready": 0, "conditions": conditions("Suspended")},
    one_done={"active": 2, "ready": 2, "succeeded": 1},
    all_done={
        "active": 0,
        "ready": 0,
        "succeeded": 3,
        "conditions": conditions("SuccessCriteriaMet", "Complete"),
    },
    managed={"managedBy": "kueue.x-k8s.io/multikueue"},
)
on_both = pytest.mark.parametrize("kind", [PYTORCHJOB, JOB], ids=["PyTorchJob", "Job"])


class It:
    """One job of the kind, by name `it` unless said otherwise, in one cluster."""

    def __init__(self, cluster: Cluster, kind: Kind) -> None:
        self.cluster = cluster
        self.kind = kind

    async def create(self, manifest: Manifest | None = None) -> Manifest:
        manifest = manifest or self.kind.manifest()
        return await self.cluster.client.create(
            self.kind.resource, manifest, manifest["metadata"]["namespace"]
        )

    async def waits(self, name: str = "it") -> None:
        await self.cluster.until_phase(self.kind.unit(name), Phase.ENQUEUED)

    async def says(self, status: Manifest, name: str = "it") -> None:
        await self.cluster.patch(self.kind.resource, name, {"status": status}, "status")

    async def change(self, patch: Manifest, name: str = "it") -> None:
        await self.cluster.patch(self.kind.resource, name, patch)

    async def released(self, name: str = "it") -> None:
        async def free() -> bool:
            job = await self.cluster.client.get(self.kind.resource, "default", name)
            return self.kind.extension.state(job).hold is Hold.NONE

        await self.cluster.until(free, f"{name} is released")

    async def runs(self, name: str = "it") -> None:
        """Admitted by the stand-in of the queue side, released, running."""
        await self.waits(name)
        await self.cluster.admit(self.kind.unit(name))
        await self.released(name)
        await self.says(self.kind.runs, name)
        await self.cluster.until_phase(self.kind.unit(name), Phase.RUNNING)

    async def until_held(self, cpu: int, name: str = "it") -> None:
        async def holds() -> bool:
            return (await self.cluster.unit(self.kind.unit(name))).held["cpu"] == cpu * 1000

        await self.cluster.until(holds, f"{name} holds {cpu} cpus")

    async def until_gone(self, name: str = "it") -> None:
        async def gone() -> bool:
            return self.kind.unit(name) not in {each.name for each in await self.cluster.units()}

        await self.cluster.until(gone, f"the unit of {name} is gone")

    async def stays_without_a_unit(self, seconds: float = 5) -> bool:
        await self.cluster.settle(seconds)
        return not await self.cluster.units()


def lives(kind: Kind, story: Callable[[It], Any], owned_by: str = "", **selectors: str) -> None:
    """The story of the job, played on the job side alone."""
    claims = read_claims(owned_by, selectors.get("jobs", ""), selectors.get("namespaces", ""))

    async def whole(cluster: Cluster) -> None:
        cluster.start_jobs(PyTorchJobExtension(), BatchJob(), WorkflowExtension(), claims=claims)
        await story(It(cluster, kind))

    play(whole, simulated=False)


@on_both
def test_released_by_hand_it_is_charged_and_its_user_is_told(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.waits()
        await it.change(kind.free)
        unit = await it.cluster.until_phase(kind.unit(), Phase.DEQUEUED)
        assert (unit.reason, unit.held["cpu"]) == ("ReleasedByHand", 3000)
        await it.cluster.settle()
        said = {event["reason"] for event in await it.cluster.client.list(EVENTS)}
        assert "ReleasedByHand" in said

    lives(kind, story)


@on_both
def test_suspended_again_by_hand_it_gives_its_quota_back_and_can_be_admitted_again(
    kind: Kind,
) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        await it.change(kind.hold)
        await it.says(kind.stopped)
        unit = await it.cluster.until_phase(kind.unit(), Phase.ENQUEUED)
        assert unit.reason == "SuspendedByUser" and not unit.held
        await it.runs()

    lives(kind, story)


@on_both
@pytest.mark.parametrize("phase", Phase)
def test_deleted_in_any_phase_it_leaves_nothing(kind: Kind, phase: Phase) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        await it.create()
        await it.waits()
        if phase in (Phase.RUNNING, Phase.SUCCEED):
            await it.runs()
        if phase is Phase.SUCCEED:
            await it.says(kind.all_done)
            await cluster.until_phase(kind.unit(), phase)
        elif phase not in (Phase.ENQUEUED, Phase.RUNNING):
            await cluster.unit_status(await cluster.unit(kind.unit()), phase=phase.value)
        await cluster.client.delete(kind.resource, "default", "it")
        await it.until_gone()
        assert await it.stays_without_a_unit()

    lives(kind, story)


@on_both
def test_created_again_under_its_name_it_waits_anew_and_holds_nothing(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.cluster.client.delete(kind.resource, "default", "it")
        with suppress(NotFound):
            # A Job lets its pods go first.
            while await it.cluster.client.get(kind.resource, "default", "it"):
                await it.cluster.settle(0.01)
        await it.create()
        await it.waits()
        after = await it.cluster.unit(kind.unit())
        assert after.uid != before.uid and after.job != before.job and not after.held
        await it.runs()

    lives(kind, story)


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


def owned(kind: str, api_version: str, uid: str = "u-1", name: str = "boss") -> Manifest:
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {"ownerReferences": [owner]}


@on_both
def test_what_belongs_to_somebody_is_theirs_unless_the_kind_is_named(kind: Kind) -> None:
    boss = owned("Boss", "example.com/v1")

    async def left_alone(it: It) -> None:
        await it.create(kind.manifest(**boss))
        assert await it.stays_without_a_unit()

    async def queued(it: It) -> None:
        await it.create(kind.manifest(**boss))
        await it.waits()

    lives(kind, left_alone)
    lives(kind, left_alone, owned_by="MPIJob, Boss.example.org")
    lives(kind, queued, owned_by="MPIJob, boss")
    lives(kind, queued, owned_by="Boss.example.com")


@on_both
def test_what_belongs_to_a_cron_job_is_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create(kind.manifest(**owned("CronJob", "batch/v1")))
        await it.waits()

    lives(kind, story)


@on_both
def test_pods_that_an_owners_unit_counts_are_not_counted_again(kind: Kind) -> None:
    other = JOB if kind is PYTORCHJOB else PYTORCHJOB

    async def story(it: It) -> None:
        above = It(it.cluster, other)
        boss = await above.create(other.manifest("boss"))
        await above.waits("boss")
        uid = boss["metadata"]["uid"]
        belongs = owned(other.resource.kind, other.resource.api_version, uid)
        child = await it.create(kind.manifest(**belongs))
        # And what belongs to what belongs to it.
        uid = child["metadata"]["uid"]
        belongs = owned(kind.resource.kind, kind.resource.api_version, uid, "it")
        await above.create(other.manifest("grandchild", **belongs))
        await it.cluster.settle(5)
        assert [unit.name for unit in await it.cluster.units()] == [other.unit("boss")]

    lives(kind, story, owned_by="Job,PyTorchJob")


@on_both
def test_what_somebody_else_manages_is_theirs(kind: Kind) -> None:
    async def story(it: It) -> None:
        manifest = kind.manifest()
        for name, value in kind.managed.items():
            old = manifest["spec"].get(name)
            manifest["spec"][name] = {**old, **value} if isinstance(old, dict) else value
        await it.create(manifest)
        assert await it.stays_without_a_unit()

    lives(kind, story)


@on_both
def test_what_carries_kueues_label_is_kueues_from_the_moment_it_does(kind: Kind) -> None:
    label = {"kueue.x-k8s.io/queue-name": "theirs"}

    async def story(it: It) -> None:
        await it.create(kind.manifest(labels=label))
        await it.create(kind.manifest("late"))
        await it.waits("late")
        await it.change({"metadata": {"labels": label}}, "late")
        await it.until_gone("late")
        assert await it.stays_without_a_unit()
        job = await it.cluster.client.get(kind.resource, "default", "late")
        assert kind.extension.state(job).hold is Hold.SPEC

    lives(kind, story)


@on_both
def test_only_jobs_that_the_job_selector_selects_are_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        await it.create()
        await it.create(kind.manifest("ours", labels={"team": "a"}))
        await it.create(kind.manifest("odd", labels={"team": "a", "skip": ""}))
        await it.waits("ours")
        await it.cluster.settle()
        assert [unit.name for unit in await it.cluster.units()] == [kind.unit("ours")]
        await it.change({"metadata": {"labels": {"team": "b"}}})
        await it.waits()
        await it.change({"metadata": {"labels": {"team": None}}})
        await it.until_gone()

    lives(kind, story, jobs="team in (a, b),!skip")


@on_both
def test_only_jobs_in_namespaces_that_the_selector_selects_are_queued(kind: Kind) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        space = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "other", "labels": {"closed": ""}},
        }
        await cluster.client.create(NAMESPACES, space)
        there = kind.manifest()
        there["metadata"]["namespace"] = "other"
        await it.create(there)
        await it.create()
        await it.waits()
        await cluster.settle()
        assert [unit.namespace for unit in await cluster.units()] == ["default"]

        async def namespaces() -> set[str]:
            return {unit.namespace for unit in await cluster.units()}

        async def both() -> bool:
            return await namespaces() == {"default", "other"}

        async def one() -> bool:
            return await namespaces() == {"default"}

        for labels, then in (({"closed": None}, both), ({"closed": ""}, one)):
            patch = {"metadata": {"labels": labels}}
            await cluster.client.patch(NAMESPACES, "", "other", patch)
            await cluster.until(then, f"the namespace is labelled {labels}")

    lives(kind, story, namespaces="kubernetes.io/metadata.name in (default,other),!closed")


@on_both
def test_an_operator_that_ignores_the_mark_has_its_job_charged_with_a_warning(kind: Kind) -> None:
    async def story(it: It) -> None:
        cluster = it.cluster
        job = await it.create()
        await it.waits()
        uid = job["metadata"]["uid"]
        belongs = owned(kind.resource.kind, kind.resource.api_version, uid, "it")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "it-0", "namespace": "default", **belongs},
            "spec": a_pod()["spec"],
        }
        await cluster.client.create(PODS, pod)
        unit = await cluster.until_phase(kind.unit(), Phase.DEQUEUED)
        assert (unit.reason, unit.held["cpu"]) == ("SuspendIgnored", 3000)
        await cluster.settle()
        said = {(event["reason"], event["type"]) for event in await cluster.client.list(EVENTS)}
        assert ("SuspendIgnored", "Warning") in said

    lives(kind, story)


def test_the_annotation_put_back_by_a_re_applied_manifest_is_reset_and_nothing_stops() -> None:
    kind = PYTORCHJOB
    held = {"metadata": {"annotations": {SUSPEND_ANNOTATION: "true"}}}

    async def story(it: It) -> None:
        manifest = kind.manifest(**held["metadata"])
        del manifest["spec"]["runPolicy"]
        await it.create(manifest)
        await it.runs()
        before = await it.cluster.unit(kind.unit())
        await it.change(held)
        await it.released()
        await it.cluster.settle(5)
        after = await it.cluster.unit(kind.unit())
        assert (after.phase, after.held, after.attempts) == (
            Phase.RUNNING,
            before.held,
            before.attempts,
        )

    lives(kind, story)
