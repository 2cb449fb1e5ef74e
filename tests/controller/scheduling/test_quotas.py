"""Quotas are kept at pod level, and whoever has to go is told so by uid, once."""

from __future__ import annotations

from typing import Any

import orjson

from kube_queue.api.names import RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.types import (
    JOBS,
    LEASES,
    POD_DISRUPTION_BUDGETS,
    QUEUE_UNITS,
)
from kube_queue.config import Settings
from kube_queue.serving.placement import PlacementVisibility
from tests.controller.queueing.world import a_leaf, a_root, a_unit_manifest
from tests.controller.scheduling.world import Object, World, Write, a_node, a_pod, in_world
from tests.placement.builders import PodBuilder


def evicts(write: Write) -> bool:
    return write.path.endswith("/eviction")


def deletes(write: Write) -> bool:
    return write.method == "DELETE" and "/pods/" in write.path


def of_team(team: str, name: str, cpu: str = "1") -> PodBuilder:
    return a_pod(name).of_namespace(f"team-{team}").asking(cpu=cpu)


def two_teams(most: int = 4, least: int = 2) -> Object:
    return a_root(
        a_leaf("team-a", cpu=most, min={"cpu": least}),
        a_leaf("team-b", cpu=most, min={"cpu": least}),
        cpu=4,
        min={"cpu": 4},
    )


async def team_a_borrows(world: World) -> None:
    """Team a uses all four cpus, two of which are team b's."""
    await world.create_tree(two_teams())
    await world.create(a_node("n1").having(cpu="4"))
    await world.create(*[of_team("a", f"a{number}") for number in range(4)])
    await world.settle()
    assert len(await world.bound()) == 4


def test_pods_wait_for_quota_and_are_told_which() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=2)))
        await world.create(a_node("n1"), *[a_pod(f"p{n}").asking(cpu="1") for n in range(3)])
        await world.settle(5)
        assert len(await world.bound()) == 2
        (waiting,) = {"p0", "p1", "p2"} - await world.bound()
        told = (await world.condition(waiting))["message"]
        assert "quota root/default has not enough cpu: requested 1, used 2, max 2" in told
        visibility = PlacementVisibility(lambda: world.side)
        _, body = visibility.answer("explain", {"namespace": "default", "name": waiting})
        (waits_for,) = orjson.loads(body)["waitsFor"]
        assert waits_for.startswith("quota: ")
        await world.change_tree(a_root(a_leaf("default", 3)))
        await world.settle(15)
        assert len(await world.bound()) == 3

    in_world(story)


def test_lent_quota_is_taken_back_by_eviction_and_the_room_goes_to_its_owner() -> None:
    async def story(world: World) -> None:
        await team_a_borrows(world)
        await world.create(of_team("b", "b0"))
        await world.settle(5)
        (write,) = [one for one in world.recorder.writes if evicts(one)]
        name = write.path.split("/")[-2]
        victim = await world.pod(name, "team-a")
        assert write.body["deleteOptions"]["preconditions"]["uid"] == victim["metadata"]["uid"]
        assert victim["metadata"]["deletionTimestamp"]
        waiting = await world.pod("b0", "team-b")
        assert waiting["status"]["nominatedNodeName"] == "n1"
        (event,) = await world.events("Preempted")
        assert "taken back by team-b/b0" in event["message"]
        await world.delete_pod(name, namespace="team-a")
        await world.settle(15)
        nodes = await world.nodes_of("b")
        assert nodes == {"b0": "n1"}
        assert world.count(evicts) == 1

    in_world(story)


def test_a_higher_priority_takes_the_place_of_a_lower_one_in_the_way_of_kube_scheduler() -> None:
    async def story(world: World) -> None:
        await world.create_priority("high", 10)
        await world.create(a_node("n1").having(cpu="2"), a_pod("low").asking(cpu="2"))
        await world.settle()
        await world.create(a_pod("high").of_class("high").asking(cpu="2"))
        await world.settle(3)
        low = await world.pod("low")
        targets = [one for one in low["status"]["conditions"] if one["type"] == "DisruptionTarget"]
        assert [(one["status"], one["reason"]) for one in targets] == [
            ("True", "PreemptionByScheduler")
        ]
        (write,) = [one for one in world.recorder.writes if deletes(one)]
        assert write.body["preconditions"]["uid"] == low["metadata"]["uid"]
        assert (await world.pod("high"))["status"]["nominatedNodeName"] == "n1"
        await world.delete_pod("low")
        await world.settle(15)
        assert await world.nodes_of() == {"high": "n1"}
        assert world.count(deletes) == 1

    in_world(story)


def test_room_that_another_scheduler_took_is_told_and_nobody_is_evicted_for_a_minute() -> None:
    async def story(world: World) -> None:
        await world.create_priority("high", 10)
        await world.create(a_node("n1").having(cpu="2"), a_pod("low").asking(cpu="2"))
        await world.settle()
        await world.create(a_pod("high").of_class("high").asking(cpu="2"))
        await world.settle(3)
        await world.create(a_pod("foreign").of_scheduler("default-scheduler").asking(cpu="2"))
        await world.bind("foreign", "n1")
        await world.delete_pod("low")
        await world.settle(15)
        told = (await world.condition("high"))["message"]
        assert "RoomTakenByAnotherScheduler" in told
        visibility = PlacementVisibility(lambda: world.side)
        _, body = visibility.answer("explain", {"namespace": "default", "name": "high"})
        assert orjson.loads(body)["notice"].startswith("RoomTakenByAnotherScheduler")
        assert "nominatedNodeName" not in (await world.pod("high"))["status"]
        assert world.count(deletes) == 1
        await world.settle(90)
        assert world.count(deletes) == 2

    in_world(story)


def test_a_pod_that_a_budget_protects_stays_and_is_not_asked_again_and_again() -> None:
    async def story(world: World) -> None:
        await team_a_borrows(world)

        async def protected(method: str, path: str, body: Object) -> str:
            return "too-many" if path.endswith("/eviction") else ""

        world.recorder.fault = protected
        await world.create(of_team("b", "b0"))
        await world.settle(60)
        assert await world.nodes_of("b") == {"b0": ""}
        assert len(await world.bound()) == 4
        asked = world.recorder.refused
        assert 1 <= asked <= 12

    in_world(story)


def test_a_budget_that_allows_nothing_is_seen_before_anybody_is_asked() -> None:
    async def story(world: World) -> None:
        await team_a_borrows(world)
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"namespace": "team-a", "name": "all"},
            "spec": {"minAvailable": "100%", "selector": {}},
        }
        await world.user.create(POD_DISRUPTION_BUDGETS, budget)
        await world.settle()
        await world.create(of_team("b", "b0"))
        await world.settle(30)
        assert world.count(evicts) == 0
        assert await world.nodes_of("b") == {"b0": ""}

    in_world(story)


async def a_unit_that_runs(world: World) -> Object:
    """A unit of team a holds quota, and its two pods run."""
    job = await world.user.create(JOBS, a_job("job", "team-a"))
    unit = a_unit_manifest("unit", cpu=4, namespace="team-a", queue="root-team-a", job="job")
    unit["spec"]["consumerRef"] |= {"uid": job["metadata"]["uid"]}
    made = await world.user.create(QUEUE_UNITS, unit)
    held = [{"name": "main", "replicas": 2, "resources": {"cpu": "4"}}]
    status: Object = {"status": {"phase": "Running", "admissions": held}}
    await world.user.patch(QUEUE_UNITS, "team-a", "unit", status, subresource="status")
    pods = [
        of_team("a", f"a{number}", "2").owned_by("Job", "job", job["metadata"]["uid"])
        for number in range(2)
    ]
    await world.create(*pods)
    await world.settle()
    assert len(await world.bound()) == 2
    return made


def a_job(name: str, namespace: str) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"template": template},
    }


def a_lease(seconds: int = 15) -> Object:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": "kube-queue", "name": "kube-queue-controller"},
        "spec": {"holderIdentity": "queue", "leaseDurationSeconds": seconds},
    }


async def a_unit_fills_the_node(world: World, lease: Object) -> None:
    """It borrows what the other team is guaranteed; the queue controller has this Lease."""
    await world.user.create(LEASES, lease)
    await world.create_tree(two_teams())
    await world.create(a_node("n1").having(cpu="4"))
    await a_unit_that_runs(world)


async def unit_annotations(world: World) -> dict[str, Any]:
    unit = await world.user.get(QUEUE_UNITS, "team-a", "unit")
    found: dict[str, Any] = unit["metadata"].get("annotations") or {}
    return found


def test_pods_of_a_unit_go_only_whole_and_by_its_own_controller() -> None:
    async def story(world: World) -> None:
        await a_unit_fills_the_node(world, a_lease(3600))
        await world.create(of_team("b", "b0", "2"))
        await world.settle(5)
        uid = (await world.pod("b0", "team-b"))["metadata"]["uid"]
        assert (await unit_annotations(world))[RECLAIM_REQUESTED_ANNOTATION] == uid
        assert world.count(evicts) == 0
        # The queue controller and the job side do their part.
        for name in ("a0", "a1"):
            await world.delete_pod(name, namespace="team-a")
        status: Object = {"status": {"phase": "Enqueued", "admissions": []}}
        await world.user.patch(QUEUE_UNITS, "team-a", "unit", status, subresource="status")
        await world.settle(15)
        assert await world.nodes_of("b") == {"b0": "n1"}

    in_world(story)


def test_a_pod_that_a_whole_job_leaves_for_is_nominated_before_others_are_told_anything() -> None:
    async def story(world: World) -> None:
        await a_unit_fills_the_node(world, a_lease(3600))
        await world.create(of_team("a", "a-waits", "9"))
        await world.settle(0.2)
        await world.create(of_team("b", "b0", "2"))
        await world.settle(0.2)
        assert (await world.pod("b0", "team-b"))["status"]["nominatedNodeName"] == "n1"
        assert "conditions" not in (await world.pod("a-waits", "team-a"))["status"]
        await world.settle(5)
        assert (await world.pod("a-waits", "team-a"))["status"]["conditions"]

    in_world(story)


def test_without_a_queue_controller_pods_of_a_unit_are_evicted_like_all_others() -> None:
    async def story(world: World) -> None:
        await a_unit_fills_the_node(world, a_lease())
        # Its Lease stands still for 15 seconds and then another 30.
        await world.settle(60)
        await world.create(of_team("b", "b0", "2"))
        await world.settle(5)
        assert RECLAIM_REQUESTED_ANNOTATION not in await unit_annotations(world)
        assert world.count(evicts) == 1

    in_world(story)


def test_a_tree_that_cannot_be_used_holds_every_pod_and_says_why() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu="many")))
        await world.create(a_node("n1"), a_pod("p").asking(cpu="1"))
        await world.settle(5)
        assert await world.bound() == set()
        assert "'many' is no quantity" in (await world.condition("p"))["message"]

    in_world(story, Settings().replaced(controller={"tree_validation": "strict"}))
