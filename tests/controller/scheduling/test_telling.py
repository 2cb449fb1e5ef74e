"""A pod that finds no node is told why, late and only when it has changed."""

from __future__ import annotations

from kube_queue.api.types import PODS
from tests.controller.scheduling.world import (
    Object,
    World,
    a_node,
    a_pod,
    binds,
    in_world,
    tells,
)
from tests.placement.playing import gang

CONSTRAINT = "alibabacloud.com/topology-aware-constraint"
LACKS = "0/1 nodes are available: 1 Insufficient cpu."


def test_a_pod_that_fits_nowhere_is_told_once_in_the_words_of_kube_scheduler() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="5"))
        await world.settle(120)
        told = await world.condition("p")
        assert (told["status"], told["reason"]) == ("False", "Unschedulable")
        assert told["message"] == LACKS
        assert told["lastTransitionTime"]
        (write,) = [one for one in world.recorder.writes if tells(one)]
        assert set(write.body["status"]) == {"conditions"}
        (event,) = await world.events("FailedScheduling")
        assert (event["type"], event["message"], event["count"]) == ("Warning", LACKS, 1)

    in_world(story)


def test_a_changed_message_is_told_and_the_time_of_the_transition_stays() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="5"))
        await world.settle(30)
        first = await world.condition("p")
        await world.create(a_node("n2").tainted("gpu"))
        await world.settle(30)
        second = await world.condition("p")
        assert second["message"] == (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: }."
        )
        assert second["lastTransitionTime"] == first["lastTransitionTime"]
        assert len(await world.events("FailedScheduling")) == 2

    in_world(story)


def test_a_pod_that_is_placed_within_a_second_is_told_nothing() -> None:
    async def story(world: World) -> None:
        await world.create(a_pod("p"))
        await world.settle(0.5)
        await world.create(a_node("n1"))
        await world.settle(30)
        assert await world.bound() == {"p"}
        assert world.count(tells) == 0
        assert await world.events("FailedScheduling") == []

    in_world(story)


def test_after_a_restart_pods_that_know_why_they_wait_are_not_told_again() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="5"))
        await world.settle(30)
        await world.kill()
        await world.start()
        await world.settle(60)
        assert world.count(tells) == 1
        assert len(await world.events("FailedScheduling")) == 1

    in_world(story)


def test_what_is_told_late_never_overtakes_a_binding() -> None:
    async def story(world: World) -> None:
        bound: list[str] = []

        async def meanwhile(method: str, path: str, body: Object) -> str:
            if path.endswith("/p/status") and not bound:
                bound.append("p")
                await world.bind("p", "n1")
            return ""

        world.recorder.fault = meanwhile
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="5"))
        await world.settle(30)
        assert bound
        assert (await world.condition("p"))["status"] == "True"

    in_world(story)


def test_a_pod_that_somebody_changes_meanwhile_is_told_all_the_same() -> None:
    async def story(world: World) -> None:
        kept: list[str] = []

        async def meanwhile(method: str, path: str, body: Object) -> str:
            if path.endswith("/p/status") and len(kept) < 3:
                kept.append(f"example.com/keep-{len(kept)}")
                finalizers = {"metadata": {"finalizers": list(kept)}}
                await world.user.patch(PODS, "default", "p", finalizers)
            return ""

        world.recorder.fault = meanwhile
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="5"))
        await world.settle(30)
        assert len(kept) == 3
        assert (await world.condition("p"))["message"] == LACKS
        assert len(await world.events("FailedScheduling")) == 1

    in_world(story)


def test_each_member_of_a_gang_is_told_that_it_was_rejected_with_it() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"), *gang("g", 3, 3, cpu="1"))
        await world.settle(30)
        messages = [(await world.condition(f"g-{index}"))["message"] for index in range(3)]
        assert sum("rejected by podgroup g" in message for message in messages) >= 2
        assert world.count(binds) == 0
        assert world.count(tells) == 3

    in_world(story)


def test_a_gang_that_is_not_complete_yet_is_told_how_many_pods_are_there() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"))
        for pod in gang("g", 2, 3):
            await world.create(pod)
            await world.settle(0.1)
        await world.settle(30)
        told = await world.condition("g-0")
        assert told["message"] == "rejected by podgroup g: 2 of at least 3 pods are there"
        # Not once for each pod that came.
        assert world.count(tells) == 2

    in_world(story)


def test_a_constraint_that_cannot_be_read_is_an_event_of_its_own_and_places_nothing() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("p").annotated(**{CONSTRAINT: "{not json"}))
        await world.settle(30)
        (event,) = await world.events("InvalidTopologyConstraint")
        assert CONSTRAINT in event["message"]
        assert await world.bound() == set()
        assert (await world.condition("p"))["reason"] == "Unschedulable"
        await world.user.patch(PODS, "default", "p", {"metadata": {"annotations": None}})
        await world.settle(15)
        assert await world.bound() == {"p"}

    in_world(story)
