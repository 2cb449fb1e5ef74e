"""PodGroups of every kind are read where they are served, and ours tell how far a gang is."""

from __future__ import annotations

from typing import Any

from kube_queue import manifests
from kube_queue.api.types import CRDS, JOBS, POD_GROUPS, X_POD_GROUPS, ResourceType
from kube_queue.config import Settings
from tests.controller.scheduling.world import Object, World, a_node, a_pod, in_world
from tests.placement.builders import PodBuilder
from tests.placement.playing import gang

SIGS_LABEL = "pod-group.scheduling.sigs.k8s.io"
X_LABEL = "scheduling.x-k8s.io/pod-group"


def a_group(name: str, least: Any, resource: ResourceType = POD_GROUPS, **metadata: Any) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"namespace": "default", "name": name, **metadata},
        "spec": {"minMember": least},
    }


def members(name: str, count: int, label: str = SIGS_LABEL, **asking: Any) -> list[PodBuilder]:
    return [
        a_pod(f"{name}-{index}").labelled(**{label: name}).asking(**asking)
        for index in range(count)
    ]


def the_definition_of_the_plugins() -> Object:
    """PodGroup of scheduling.x-k8s.io, without any field of ours."""
    (crd,) = (one for one in manifests.crds() if one["spec"]["names"]["plural"] == "podgroups")
    crd["metadata"] = {"name": "podgroups.scheduling.x-k8s.io"}
    crd["spec"]["group"] = X_POD_GROUPS.group
    crd["spec"]["names"]["shortNames"] = []
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    for name in ("conditions", "satisfiedBy", "scheduled"):
        del status["properties"][name]
    return crd


async def group(world: World, name: str, resource: ResourceType = POD_GROUPS) -> Object:
    return await world.user.get(resource, "default", name)


async def status(world: World, name: str, resource: ResourceType = POD_GROUPS) -> Object:
    found: Object = (await group(world, name, resource)).get("status", {})
    return found


def writes_of(world: World, name: str) -> int:
    return world.count(lambda write: write.path.endswith(f"/podgroups/{name}/status"))


def test_pods_wait_for_their_podgroup_and_for_its_minimum() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), *members("g", 2, cpu="1"))
        await world.settle(5)
        assert await world.bound() == set()
        told = (await world.condition("g-0"))["message"]
        assert told == "PodGroup default/g of scheduling.sigs.k8s.io does not exist"
        await world.user.create(POD_GROUPS, a_group("g", 3))
        await world.settle(15)
        assert await world.bound() == set()
        await world.create(members("g", 3, cpu="1")[2])
        await world.settle(15)
        assert len(await world.bound()) == 3

    in_world(story)


def test_a_kind_that_is_served_later_is_read_from_then_on() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), *members("g", 2, X_LABEL, cpu="1"))
        await world.settle(5)
        await world.user.create(CRDS, the_definition_of_the_plugins())
        await world.user.create(X_POD_GROUPS, a_group("g", 2, X_POD_GROUPS))
        await world.settle(90)
        assert len(await world.bound()) == 2

    in_world(story)


def test_a_status_follows_its_gang_from_pending_to_finished() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="1"))
        group = await world.user.create(POD_GROUPS, a_group("g", 2))
        await world.create(*members("g", 2, cpu="1"))
        await world.settle(5)
        assert (await status(world, "g"))["phase"] == "Pending"
        await world.create(a_node("n2").having(cpu="1"))
        await world.settle(15)
        found = await status(world, "g")
        assert (found["phase"], found["scheduled"], found["running"]) == ("Scheduled", 2, 0)
        (condition,) = found["conditions"]
        assert (condition["type"], condition["status"]) == ("Satisfied", "True")
        # No controller made the pods: it is the object that stands for them.
        assert found["satisfiedBy"] == [group["metadata"]["uid"]]
        for name in ("g-0", "g-1"):
            await world.set_status(name, {"phase": "Running"})
        await world.settle(5)
        assert (await status(world, "g"))["phase"] == "Running"
        for name in ("g-0", "g-1"):
            await world.set_status(name, {"phase": "Succeeded"})
        await world.settle(5)
        found = await status(world, "g")
        assert (found["phase"], found["running"], found["succeeded"]) == ("Finished", 0, 2)
        # A write for each change, and none besides.
        assert writes_of(world, "g") == 4

    in_world(story)


def test_a_gang_by_labels_gets_an_object_that_its_controller_owns() -> None:
    async def story(world: World) -> None:
        await world.user.create(JOBS, a_job("g"))
        job = await world.user.get(JOBS, "default", "g")
        uid = job["metadata"]["uid"]
        pods = [a_pod(f"g-{index}").of_gang("g", 2).owned_by("Job", "g", uid) for index in range(2)]
        await world.create(a_node("n1"), *pods)
        await world.settle(10)
        found = await group(world, "g")
        assert found["spec"]["minMember"] == 2
        (owner,) = found["metadata"]["ownerReferences"]
        assert owner["uid"] == uid
        assert "controller" not in owner
        assert found["status"]["phase"] == "Scheduled"
        assert found["status"]["satisfiedBy"] == [uid]

    in_world(story)


def a_job(name: str) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"template": template},
    }


def test_that_a_gang_had_its_minimum_survives_a_restart() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), *gang("g", 3, 3, cpu="1"))
        await world.settle(10)
        assert len(await world.bound()) == 3
        await world.kill()
        for name in ("g-0", "g-1", "g-2"):
            await world.delete_pod(name)
        await world.create(gang("g", 1, 3, cpu="1")[0])
        await world.start()
        await world.settle(15)
        assert await world.bound() == {"g-0"}

    in_world(story)


def test_without_a_restart_it_is_asked_nothing_more_either() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), *gang("g", 3, 3, cpu="1"))
        await world.settle(10)
        await world.delete_pod("g-0")
        await world.settle(5)
        await world.create(gang("g", 1, 3, cpu="1")[0])
        await world.settle(15)
        assert len(await world.bound()) == 3

    in_world(story)


def test_the_status_of_a_group_that_a_controller_owns_is_written_only_by_flag() -> None:
    async def story(world: World) -> None:
        job = await world.user.create(JOBS, a_job("owner"))
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "owner",
            "uid": job["metadata"]["uid"],
            "controller": True,
        }
        await world.user.create(POD_GROUPS, a_group("g", 2, ownerReferences=[owner]))
        await world.create(a_node("n1"), *members("g", 2))
        await world.settle(10)
        assert len(await world.bound()) == 2
        asked = world.settings.scheduler.pod_group_status == "all"
        assert ("phase" in await status(world, "g")) is asked

    in_world(story)
    in_world(story, Settings().replaced(scheduler={"pod_group_status": "all"}))


def test_another_schedulers_kind_is_written_by_flag_and_not_for_ever() -> None:
    async def story(world: World) -> None:
        await world.kill()
        await world.user.create(CRDS, the_definition_of_the_plugins())
        await world.user.create(X_POD_GROUPS, a_group("g", 2, X_POD_GROUPS))
        await world.start()
        await world.create(a_node("n1"), *members("g", 2, X_LABEL))
        await world.settle(60)
        assert (await status(world, "g", X_POD_GROUPS))["phase"] == "Scheduled"
        assert writes_of(world, "g") <= 3

    in_world(story, Settings().replaced(scheduler={"pod_group_status": "all"}))


def test_a_podgroup_that_cannot_be_read_places_nothing_and_says_why() -> None:
    async def story(world: World) -> None:
        await world.kill()
        definition = the_definition_of_the_plugins()
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"] = {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }
        await world.user.create(CRDS, definition)
        await world.user.create(X_POD_GROUPS, a_group("g", "three", X_POD_GROUPS))
        await world.start()
        await world.create(a_node("n1"), *members("g", 2, X_LABEL))
        await world.settle(15)
        assert await world.bound() == set()
        (event, *_) = await world.events("InvalidPodGroup")
        assert "spec.minMember" in event["message"]

    in_world(story)


def test_members_that_name_different_minimums_are_told_which_counts() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("a").of_gang("g", 2), a_pod("b").of_gang("g", 3))
        await world.settle(15)
        (event,) = await world.events("MinimumsDiffer")
        assert event["message"] == "g: members name different minimums (2, 3): 3 counts"
        assert await world.bound() == set()
        await world.create(a_pod("c").of_gang("g", 2))
        await world.settle(15)
        assert len(await world.bound()) == 3

    in_world(story)


def test_a_gang_whose_name_no_object_can_have_is_placed_without_one() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("a").of_gang("G_1", 1))
        await world.settle(15)
        assert await world.bound() == {"a"}
        assert await world.user.list(POD_GROUPS) == []

    in_world(story)
