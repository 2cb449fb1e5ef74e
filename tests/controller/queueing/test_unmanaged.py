"""Pods that no unit stands for: which count, where, and that nothing counts twice."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.conditions import rfc3339
from kube_queue.api.quota import queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.types import (
    JOBS,
    PODS,
    QUEUE_UNITS,
    ResourceType,
)
from kube_queue.config import Settings
from kube_queue.jobframework.unit_status import requeued
from kube_queue.jobframework.unit_view import view_unit
from tests.controller.queueing.world import Object, World, a_leaf, a_root, in_world

QUOTA = "quota.scheduling.alibabacloud.com/name"
REPLICA_SETS = ResourceType("apps", "v1", "replicasets", "ReplicaSet")
BATCH = {"apiVersion": "batch/v1", "kind": "Job"}


def owner(kind: ResourceType, name: str, uid: str, *, controller: bool = True) -> Object:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name,
        "uid": uid,
        "controller": controller,
    }


async def a_job(world: World, name: str, of: Object | None = None) -> str:
    container = {"name": "main", "image": "x"}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    job: Object = {
        **BATCH,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"suspend": True, "template": template},
    }
    if of is not None:
        job["metadata"]["ownerReferences"] = [of]
    return str((await world.user.create(JOBS, job))["metadata"]["uid"])


async def a_queued_job(world: World, unit: str, cpu: int, **kinds: Any) -> Object:
    """A unit and the Job it stands for; the reference that the Job's pods carry."""
    uid = await a_job(world, f"{unit}-job")
    reference = {**BATCH, "namespace": "default", "name": f"{unit}-job", "uid": uid}
    await world.create_unit(unit, cpu=cpu, consumerRef=reference, **kinds)
    return owner(JOBS, f"{unit}-job", uid)


async def a_pod(
    world: World,
    name: str,
    cpu: str = "1",
    *,
    of: Object | None = None,
    node: str = "n1",
    labels: Object | None = None,
    namespace: str = "default",
) -> str:
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"containers": [container], **({"nodeName": node} if node else {})},
    }
    if of is not None:
        pod["metadata"]["ownerReferences"] = [of]
    made = await world.user.create(PODS, pod)
    return str(made["metadata"]["uid"])


async def end_pod(world: World, name: str, phase: str = "Succeeded") -> None:
    status = {"status": {"phase": phase}}
    await world.user.patch(PODS, "default", name, status, subresource="status")


def used(world: World, leaf: str = "root/default") -> int:
    return world.side.cache.quota_status()[leaf].used.get("cpu", 0)


async def a_world(world: World, **leaf: Any) -> None:
    await world.create_tree(a_root(a_leaf("default", **leaf)))
    await world.settle()


# --- which pods count ---------------------------------------------------------------------------


def test_a_live_pod_of_no_unit_counts_once_it_has_a_node() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=4)
        await a_pod(world, "p1", "2", node="")
        await world.settle()
        assert used(world) == 0
        binding = {"target": {"kind": "Node", "name": "n1"}, "metadata": {"name": "p1"}}
        await world.user.create_subresource(PODS, "default", "p1", "binding", binding)
        await world.settle()
        assert used(world) == 2000
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == set()
        await end_pod(world, "p1")
        await world.settle()
        assert used(world) == 3000
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_live_pod_of_no_unit_counts_while_a_node_is_kept_for_it() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=4)
        await a_pod(world, "p1", "2", node="")
        kept: Object = {"status": {"nominatedNodeName": "n1"}}
        await world.user.patch(PODS, "default", "p1", kept, subresource="status")
        await world.settle()
        assert used(world) == 2000
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == set()
        kept["status"]["nominatedNodeName"] = None
        await world.user.patch(PODS, "default", "p1", kept, subresource="status")
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_counts_no_more(phase: str) -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1")
        await world.settle()
        await end_pod(world, "p1", phase)
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_a_pod_counts_in_the_leaf_that_its_label_names() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", namespaces=[])))
        await a_pod(world, "p1", labels={QUOTA: "other"})
        await a_pod(world, "p2", "3")
        await world.settle()
        assert used(world, "root/other") == 1000
        assert used(world) == 3000
        assert used(world, "root") == 4000

    in_world(story)


def test_the_setting_turns_it_off() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1")
        await world.settle()
        assert used(world) == 0

    in_world(story, Settings().replaced(controller={"count_unmanaged_pods": False}))


def test_pods_of_no_unit_do_not_count_as_jobs_nor_against_min() -> None:
    async def story(world: World) -> None:
        await a_world(world, max={"cpu": 9, "kube-queue/max-jobs": 1}, min={"cpu": 2})
        await a_pod(world, "p1", "2")
        await world.settle()
        labels = {"quota.scheduling.alibabacloud.com/preemptible": "false"}
        await world.create_unit("u1", cpu=2, labels=labels)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


# --- what covers them ---------------------------------------------------------------------------


def test_the_pods_of_a_released_unit_are_not_counted_twice() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        job = await a_queued_job(world, "u1", 2)
        await world.settle()
        assert used(world) == 2000
        await a_pod(world, "p1", "2", of=job)
        await world.settle()
        assert used(world) == 2000

    in_world(story)


def test_a_pod_seen_before_its_units_admission_is_not_counted_twice() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        highest = 0
        cache = world.side.cache
        tell = cache.unmanaged_seen

        def watch(quota: str, namespace: str, held: Any) -> None:
            nonlocal highest
            tell(quota, namespace, held)
            highest = max(highest, used(world))

        cache.unmanaged_seen = watch  # type: ignore[method-assign]
        world.recorder.latency = 0.5
        job = await a_queued_job(world, "u1", 2)
        await world.settle(0.1)
        assert cache.assumed((await world.unit("u1"))["metadata"]["uid"])
        await a_pod(world, "p1", "2", of=job)
        await world.settle()
        assert await world.admitted() == {"u1"}
        assert used(world) == 2000
        assert highest <= 2000

    in_world(story)


def test_pods_that_outlive_their_unit_count_where_it_did() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", namespaces=[])))
        labels = {QUOTA: "other"}
        job = await a_queued_job(world, "u1", 3, labels=labels, queue="root-other")
        await world.settle()
        await a_pod(world, "ps", "2", of=job)
        await a_pod(world, "waits", "1", of=job, node="")
        await world.settle()
        assert used(world, "root/other") == 3000
        await world.finish("u1")
        await world.settle()
        assert used(world, "root/other") == 3000
        assert used(world) == 0
        for name in ("ps", "waits"):
            await world.user.delete(PODS, "default", name, grace_seconds=0)
        await world.settle()
        assert used(world, "root/other") == 0

    in_world(story)


def test_pods_of_a_deleted_unit_count_until_they_are_gone() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        job = await a_queued_job(world, "u1", 3)
        await world.settle()
        await a_pod(world, "p1", "1", of=job)
        await world.settle()
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle()
        assert used(world) == 1000
        await world.user.delete(PODS, "default", "p1", grace_seconds=0)
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_the_room_of_a_deleted_unit_whose_pods_run_on_is_given_to_nobody() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=2)
        job = await a_queued_job(world, "u1", 2)
        await world.settle()
        await a_pod(world, "p1", "2", of=job)
        await a_queued_job(world, "u2", 2)
        await world.settle()
        world.recorder.latency = 0.5
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle(5)
        assert await world.admitted() == set()
        assert used(world) == 2000

    in_world(story)


def test_pods_of_a_job_that_was_there_first_are_taken_over_by_its_unit() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=9)
        uid = await a_job(world, "j1")
        await a_pod(world, "p1", "2", of=owner(JOBS, "j1", uid))
        await world.settle()
        assert used(world) == 2000
        reference = {**BATCH, "namespace": "default", "name": "j1", "uid": uid}
        await world.create_unit("u1", cpu=2, consumerRef=reference)
        await world.set_status("u1", {"phase": "Running"})
        await world.settle()
        assert used(world) == 2000

    in_world(story)


def test_a_reference_that_controls_nothing_covers_nothing() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        job = await a_queued_job(world, "u1", 1)
        await world.settle()
        await a_pod(world, "p1", "2", of={**job, "controller": False})
        await world.settle()
        assert used(world) == 3000

    in_world(story)


def test_a_pod_that_is_itself_the_job_is_covered() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        uid = await a_pod(world, "p1", "2")
        await world.settle()
        assert used(world) == 2000
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "default",
            "name": "p1",
            "uid": uid,
        }
        await world.create_unit("u1", cpu=2, consumerRef=reference)
        await world.set_status("u1", {"phase": "Running"})
        await world.settle()
        assert used(world) == 2000
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle()
        assert used(world) == 2000
        await world.user.delete(PODS, "default", "p1", grace_seconds=0)
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_the_pods_of_a_group_are_covered_by_the_unit_of_its_name() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        label = {"kube-queue/pod-group-name": "team"}
        for name in ("p1", "p2"):
            await a_pod(world, name, "1", labels=label)
        await a_pod(world, "stranger", "1")
        await world.settle()
        assert used(world) == 3000
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "default",
            "name": "team",
            "uid": "pod-group/default/team",
        }
        await world.create_unit("u1", cpu=2, consumerRef=reference)
        await world.set_status("u1", {"phase": "Running"})
        await world.settle()
        assert used(world) == 3000
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle()
        assert used(world) == 3000

    in_world(story)


# --- what stands between ------------------------------------------------------------------------


def an_unserved_owner(uid: str = "uid-j1") -> Object:
    kind = ResourceType("example.com", "v1", "launchers", "Launcher")
    return owner(kind, "j1", uid)


def test_the_controller_of_a_pods_controller_covers_it() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await world.create_unit("u1", cpu=2, job="j1")
        between = await a_job(world, "between", of=an_unserved_owner())
        await world.settle()
        await a_pod(world, "p1", "2", of=owner(JOBS, "between", between))
        await world.settle()
        assert used(world) == 2000
        await world.finish("u1")
        await world.settle()
        assert used(world) == 2000
        await world.user.delete(PODS, "default", "p1", grace_seconds=0)
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_executors_are_covered_by_way_of_their_driver_pod() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=9)
        await world.create_unit("u1", cpu=3, job="j1")
        await world.settle()
        driver = await a_pod(world, "driver", "1", of=an_unserved_owner())
        await a_pod(world, "executor", "2", of=owner(PODS, "driver", driver))
        await world.settle()
        assert used(world) == 3000

    in_world(story)


def test_after_a_restart_covered_pods_are_never_counted() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await world.create_unit("u1", cpu=2, job="j1")
        between = await a_job(world, "between", of=an_unserved_owner())
        await world.settle()
        await a_pod(world, "p1", "2", of=owner(JOBS, "between", between))
        await a_pod(world, "p2", "1")
        await world.settle()
        await world.kill()
        await world.start(lead=False)
        assert used(world) == 3000

    in_world(story)


@pytest.mark.parametrize(
    "kind",
    [JOBS, REPLICA_SETS, ResourceType("example.com", "v1", "things", "Thing")],
    ids=lambda kind: kind.kind,
)
def test_a_pod_whose_owner_cannot_be_found_counts(kind: ResourceType) -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await world.create_unit("u1", cpu=1, job="j1")
        await world.settle()
        await a_pod(world, "p1", "2", of=owner(kind, "gone", "uid-gone"))
        await world.settle()
        assert used(world) == 3000

    in_world(story)


def test_a_pod_whose_owner_may_not_be_read_counts() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await world.create_unit("u1", cpu=1, job="j1")
        between = await a_job(world, "between", of=an_unserved_owner())
        await world.settle()

        async def refuse(method: str, path: str, body: Object) -> str:
            return "forbid" if method == "GET" and "/jobs/between" in path else ""

        world.recorder.fault = refuse
        await a_pod(world, "p1", "2", of=owner(JOBS, "between", between))
        await world.settle()
        assert used(world) == 3000

    in_world(story)


def test_an_owner_is_asked_about_once_and_in_namespaces_with_units_only() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        asked: list[str] = []

        async def listen(method: str, path: str, body: Object) -> str:
            if method == "GET" and "/jobs/" in path:
                asked.append(path)
            return ""

        world.recorder.fault = listen
        between = await a_job(world, "between")
        for number in range(5):
            await a_pod(world, f"p{number}", of=owner(JOBS, "between", between))
        await world.settle()
        assert asked == []
        assert used(world) == 5000
        await world.create_unit("u1", cpu=1, job="j1")
        await world.settle()
        for number in range(5, 8):
            await a_pod(world, f"p{number}", of=owner(JOBS, "between", between))
        await world.settle()
        assert len(asked) == 1
        assert used(world) == 8000

    in_world(story)


# --- the tree moves -----------------------------------------------------------------------------


def test_pods_of_no_unit_follow_their_namespace_to_another_leaf() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", namespaces=[])))
        await a_pod(world, "p1", "2")
        await world.settle()
        moved = [a_leaf("default", namespaces=[]), a_leaf("other", namespaces=["default"])]
        await world.change_tree(a_root(*moved))
        await world.settle()
        assert used(world) == 0
        assert used(world, "root/other") == 2000

    in_world(story)


def test_a_promise_outlives_pods_that_are_seen_a_moment_longer_than_their_unit() -> None:
    async def story(world: World) -> None:
        mine = {"cpu": "2"}
        leaves = (a_leaf("default", 4, min=mine), a_leaf("team-a", 4, min=mine))
        await world.create_tree(a_root(*leaves, max={"cpu": "4"}))
        await world.settle()
        for name in ("stays", "goes"):
            job = await a_queued_job(world, name, 2)
            await world.settle(2)
            await a_pod(world, f"{name}-0", of=job)
        await world.create_unit("wants", cpu=2, namespace="team-a", queue=queue_name("root/team-a"))
        await world.settle()
        told = view_unit(await world.unit("goes"))
        assert told.condition("Evicted")
        # The job side has seen the pod go, which we have not.
        message = str(told.condition("Evicted")["message"])
        left = requeued(told, Reason.RECLAIMED, message, rfc3339(world.clock()))
        await world.set_status("goes", left["status"])
        await world.create_unit("thief", cpu=1)
        await world.settle()
        assert await world.admitted() == {"stays"}
        await world.user.delete(PODS, "default", "goes-0", grace_seconds=0)
        await world.settle()
        assert await world.admitted() == {"stays", "wants"}

    in_world(story)


def test_the_status_of_the_tree_shows_them_as_used() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1", "1500m")
        await world.settle()
        (leaf,) = (await world.tree())["status"]["root"]["children"]
        assert leaf["used"] == {"cpu": "1500m"}
        assert leaf["request"] == {"cpu": "1500m"}

    in_world(story)
