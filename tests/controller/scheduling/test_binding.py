"""Every pod that was given a node is bound there once, or it is certain that it is not."""

from __future__ import annotations

import asyncio

import pytest

from kube_queue.api.names import GANG_COMMIT_ANNOTATION
from kube_queue.api.types import NODES, PODS
from tests.controller.queueing.world import no_fault
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


def test_a_pod_that_names_us_is_bound_by_its_uid_in_one_write() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("p").asking(cpu="1"))
        await world.settle(30)
        assert await world.nodes_of() == {"p": "n1"}
        (write,) = [one for one in world.recorder.writes if "/pods/" in one.path]
        assert binds(write)
        assert write.body["metadata"]["uid"] == (await world.pod("p"))["metadata"]["uid"]
        assert "annotations" not in write.body["metadata"]
        (event,) = await world.events("Scheduled")
        assert event["message"] == "Successfully assigned default/p to n1"

    in_world(story)


def test_pods_of_other_schedulers_are_counted_and_left_alone() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"))
        await world.create(a_pod("other").of_scheduler("default-scheduler").asking(cpu="3"))
        await world.bind("other", "n1")
        await world.create(a_pod("waiting").of_scheduler("default-scheduler"))
        await world.create(a_pod("p").asking(cpu="2"), a_pod("q").asking(cpu="1"))
        await world.settle()
        assert await world.nodes_of() == {"other": "n1", "waiting": "", "p": "", "q": "n1"}

    in_world(story)


def test_every_binding_of_a_gang_tells_which_commit_it_is_part_of() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"))
        await world.create(*gang("g", 3, 3, cpu="1"))
        await world.settle()
        assert await world.bound() == {"g-0", "g-1", "g-2"}
        commits = {
            (await world.pod(name))["metadata"]["annotations"][GANG_COMMIT_ANNOTATION]
            for name in ("g-0", "g-1", "g-2")
        }
        (commit,) = commits
        assert commit.endswith("/3")

    in_world(story)


def test_a_gang_that_does_not_fit_whole_is_not_bound_at_all_until_it_does() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="2"))
        await world.create(*gang("g", 3, 3, cpu="1"))
        await world.settle(30)
        assert await world.bound() == set()
        await world.create(a_node("n2").having(cpu="1"))
        await world.settle(15)
        assert await world.bound() == {"g-0", "g-1", "g-2"}

    in_world(story)


@pytest.mark.parametrize("fate", ["lose-before", "lose-after"])
def test_a_binding_without_an_answer_is_sent_again_to_the_same_node_until_there_is_one(
    fate: str,
) -> None:
    async def story(world: World) -> None:
        lost: list[str] = []

        async def lose(method: str, path: str, body: Object) -> str:
            if path.endswith("/binding") and len(lost) < 20:
                lost.append(body["target"]["name"])
                return fate
            return ""

        world.recorder.fault = lose
        await world.create(a_node("n1"), a_pod("p").asking(cpu="1"))
        await world.settle(3)
        # Meanwhile a better node comes; the pod may be on the first already.
        await world.create(a_node("n0").having(cpu="64"))
        await world.settle(120)
        assert len(lost) == 20
        assert set(lost) == {"n1"}
        assert await world.nodes_of() == {"p": "n1"}
        assert world.side.cache.cluster.placed((await world.pod("p"))["metadata"]["uid"])

    in_world(story)


def test_a_request_that_binds_is_given_four_seconds() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("p"))
        await world.settle()
        assert world.recorder.patience["/api/v1/namespaces/default/pods/p/binding"] == 4.0

    in_world(story)


def test_a_pod_that_another_scheduler_bound_first_counts_where_it_is() -> None:
    async def story(world: World) -> None:
        async def faster(method: str, path: str, body: Object) -> str:
            if path.endswith("/binding"):
                world.recorder.fault = no_fault
                await world.bind("p", "n2")
            return ""

        await world.create(a_node("n1").having(cpu="4"))
        await world.create(a_node("n2").having(cpu="4").tainted("other"))
        world.recorder.fault = faster
        await world.create(a_pod("p").asking(cpu="4"))
        await world.settle(10)
        assert await world.nodes_of() == {"p": "n2"}
        assert world.count(binds) == 1
        await world.create(a_pod("q").asking(cpu="4"))
        await world.settle()
        assert (await world.nodes_of())["q"] == "n1"

    in_world(story)


def test_a_pod_that_goes_before_it_is_bound_leaves_its_room_to_the_next() -> None:
    async def story(world: World) -> None:
        async def gone(method: str, path: str, body: Object) -> str:
            if path.endswith("/p/binding"):
                await world.delete_pod("p")
            return ""

        world.recorder.fault = gone
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="4"))
        await world.create(a_pod("q").asking(cpu="4"))
        await world.settle(10)
        assert await world.nodes_of() == {"q": "n1"}

    in_world(story)


def test_a_refused_binding_is_tried_again_after_a_while_and_not_at_once() -> None:
    async def story(world: World) -> None:
        tries: list[float] = []

        async def forbid(method: str, path: str, body: Object) -> str:
            if path.endswith("/binding"):
                tries.append(asyncio.get_running_loop().time())
                return "forbid"
            return ""

        world.recorder.fault = forbid
        await world.create(a_node("n1"), a_pod("p"))
        await world.settle(10)
        assert 5 <= len(tries) <= 12
        world.recorder.fault = no_fault
        await world.settle(3)
        assert await world.nodes_of() == {"p": "n1"}

    in_world(story)


def test_room_that_somebody_took_before_the_write_is_not_used() -> None:
    async def story(world: World) -> None:
        world.recorder.latency = 0.2
        await world.create(a_node("n1").having(cpu="4"))
        await world.create(*[a_pod(f"small-{number}").asking(cpu="10m") for number in range(40)])
        await world.create(a_pod("last").asking(cpu="3"))
        # More than 32 writes: the last one waits for its turn while somebody else is faster.
        await world.create(a_pod("foreign").of_scheduler("default-scheduler").asking(cpu="2"))
        await world.bind("foreign", "n1")
        await world.settle(30)
        nodes = await world.nodes_of()
        assert nodes["foreign"] == "n1"
        assert nodes["last"] == ""
        assert sum(1 for name, node in nodes.items() if name.startswith("small") and node) == 40

    in_world(story)


def test_terminating_pods_take_room_until_they_are_gone_and_are_not_placed_themselves() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="4"))
        await world.settle()
        await world.delete_pod("p", grace_seconds=30)
        await world.create(a_pod("q").asking(cpu="4"))
        await world.settle()
        assert await world.nodes_of() == {"p": "n1", "q": ""}
        await world.delete_pod("p")
        await world.settle(15)
        assert await world.nodes_of() == {"q": "n1"}

    in_world(story)


def test_a_gated_pod_waits_until_its_gate_is_gone_and_is_told_nothing_by_us() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"), a_pod("p").gated())
        await world.settle(30)
        assert await world.nodes_of() == {"p": ""}
        assert world.count(tells) == 0
        pod = await world.pod("p")
        pod["spec"]["schedulingGates"] = []
        await world.user.replace(PODS, pod)
        await world.settle()
        assert await world.nodes_of() == {"p": "n1"}

    in_world(story)


def test_a_node_that_is_cordoned_before_the_write_gets_no_pod() -> None:
    async def story(world: World) -> None:
        world.recorder.latency = 0.2
        await world.create(a_node("n1").having(cpu="4"))
        await world.create(*[a_pod(f"p-{number:02}") for number in range(60)])
        await world.settle(0.1)
        await world.user.patch(NODES, "", "n1", {"spec": {"unschedulable": True}})
        at = asyncio.get_running_loop().time()
        await world.settle(30)
        late = [one for one in world.recorder.writes if binds(one) and one.at > at + 0.2]
        assert late == []
        assert len(await world.bound()) == 32

    in_world(story)
