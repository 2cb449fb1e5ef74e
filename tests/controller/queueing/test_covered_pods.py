"""Pods that a unit covers: by its job, by what stands between, and after it has gone."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.types import (
    JOBS,
    PODS,
    QUEUE_UNITS,
    ResourceType,
)
from tests.controller.queueing.pods_world import (
    BATCH,
    QUOTA,
    REPLICA_SETS,
    a_job,
    a_pod,
    a_queued_job,
    a_world,
    owner,
    used,
)
from tests.controller.queueing.world import Object, World, a_leaf, a_root, in_world

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
