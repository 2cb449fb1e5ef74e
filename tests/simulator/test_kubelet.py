"""Pods on simulated nodes live as on real ones."""

import asyncio
from datetime import datetime

import pytest

from kube_queue.api.types import NODES, PODS
from kube_queue.simulator.profile import Profile
from tests.simulator.world import World, a_pod, conditions, in_world


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def test_a_pod_runs_as_long_as_its_command_says_and_succeeds():
    async def story(world: World) -> None:
        await world.create_pod("a", command=["sleep", "30s"])
        await asyncio.sleep(29)
        running = await world.get(PODS, "a")
        assert running["status"]["phase"] == "Running"
        assert conditions(running)["Ready"] == "True"
        assert running["status"]["podIP"]
        assert running["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        await asyncio.sleep(2)
        done = await world.get(PODS, "a")
        assert done["status"]["phase"] == "Succeeded"
        assert conditions(done)["Ready"] == "False"
        ended = done["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
        assert seconds_between(ended["startedAt"], ended["finishedAt"]) == 30

    in_world(story)


def test_a_pod_whose_script_fails_is_failed():
    async def story(world: World) -> None:
        await world.create_pod("a", annotations={"simulator.kube-queue/exit-code": "3"})
        await asyncio.sleep(31)
        pod = await world.get(PODS, "a")
        assert pod["status"]["phase"] == "Failed"
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (3, "Error")

    in_world(story)


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [
        ("Always", "0", "Running", 2),
        ("OnFailure", "1", "Running", 2),
        ("OnFailure", "0", "Succeeded", 0),
        ("Never", "1", "Failed", 0),
    ],
)
def test_the_restart_policy_decides_whether_a_container_runs_again(
    policy: str, code: str, phase: str, restarts: int
):
    async def story(world: World) -> None:
        pod = a_pod(
            "a",
            command=["sleep", "10"],
            annotations={"simulator.kube-queue/exit-code": code},
            restartPolicy=policy,
        )
        await world.client.create(PODS, pod)
        await asyncio.sleep(25)
        status = (await world.get(PODS, "a"))["status"]
        assert status["phase"] == phase
        assert status["containerStatuses"][0]["restartCount"] == restarts

    in_world(story)


def test_a_pod_bound_to_a_full_node_is_rejected_out_of_cpu():
    async def story(world: World) -> None:
        await world.create_pod("a", cpu="3", nodeName="node-1")
        await world.create_pod("b", cpu="3", nodeName="node-1")
        await asyncio.sleep(1)
        assert sorted((await world.phases()).values()) == ["Failed", "Running"]
        (failed,) = [p for p in await world.pods() if p["status"]["phase"] == "Failed"]
        assert failed["status"]["reason"] == "OutOfcpu"
        assert "requested: 3000, used: 3000, capacity: 4000" in failed["status"]["message"]

    in_world(story, Profile(nodes=1, cpu="4"))


def test_room_is_free_again_when_a_pod_has_ended():
    async def story(world: World) -> None:
        await world.create_pod("a", cpu="3", nodeName="node-1", command=["sleep", "10"])
        await asyncio.sleep(12)
        await world.create_pod("b", cpu="3", nodeName="node-1")
        await asyncio.sleep(1)
        assert await world.phases() == {"a": "Succeeded", "b": "Running"}

    in_world(story, Profile(nodes=1, cpu="4"))


def test_a_deleted_sleep_ends_quickly_although_its_grace_period_is_long():
    async def story(world: World) -> None:
        await world.create_pod("a", command=["sleep", "1h"])
        await asyncio.sleep(2)
        await world.client.delete(PODS, "default", "a")
        assert await world.phases() == {"a": "Terminating"}
        await asyncio.sleep(1.5)
        assert await world.phases() == {}

    in_world(story)


@pytest.mark.parametrize(("stop", "grace", "lasts"), [("20", 60, 20), ("3600", 30, 30)])
def test_a_process_that_is_slow_to_stop_is_killed_when_its_grace_period_is_over(
    stop: str, grace: int, lasts: int
):
    async def story(world: World) -> None:
        await world.create_pod(
            "a",
            command=["sleep", "1h"],
            annotations={"simulator.kube-queue/stop-seconds": stop},
            terminationGracePeriodSeconds=grace,
        )
        await asyncio.sleep(2)
        await world.client.delete(PODS, "default", "a")
        await asyncio.sleep(lasts - 2)
        assert await world.phases() == {"a": "Terminating"}
        await asyncio.sleep(4)
        assert await world.phases() == {}

    in_world(story)


def test_a_killed_simulator_goes_on_with_the_time_a_pod_has_left():
    async def story(world: World) -> None:
        await world.create_pod("a", command=["sleep", "60"])
        await asyncio.sleep(20)
        await world.kill_simulator()
        await asyncio.sleep(20)
        world.start_simulator()
        await asyncio.sleep(15)
        assert await world.phases() == {"a": "Running"}
        await asyncio.sleep(8)
        assert await world.phases() == {"a": "Succeeded"}

    in_world(story)


def test_an_hour_of_a_busy_node_passes_and_every_pod_has_run():
    async def story(world: World) -> None:
        for number in range(120):
            await world.create_pod(f"p{number:03}", command=["sleep", "5m"])
        await asyncio.sleep(3600)
        assert set((await world.phases()).values()) == {"Succeeded"}

    in_world(story, Profile(nodes=2, cpu="8"))


def test_nodes_look_registered():
    async def story(world: World) -> None:
        nodes = await world.client.list(NODES)
        assert [node["metadata"]["name"] for node in nodes] == ["node-1", "node-2", "node-3"]
        first = nodes[0]
        assert first["status"]["capacity"]["nvidia.com/gpu"] == "8"
        assert first["status"]["allocatable"]["cpu"] == "64"
        assert conditions(first)["Ready"] == "True"
        assert first["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.")
        zones = [node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes]
        assert zones == ["zone-a", "zone-b", "zone-c"]

    from kube_queue.simulator.profile import profile_named

    in_world(story, profile_named("gpu"))


def test_a_node_that_somebody_adds_with_our_label_gets_a_kubelet():
    async def story(world: World) -> None:
        label = {"simulator.kube-queue/node": "true"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "extra", "labels": label}}
        await world.client.create(NODES, node)
        await world.create_pod("a", nodeName="extra")
        await asyncio.sleep(1)
        assert conditions(await world.get(NODES, "extra"))["Ready"] == "True"
        assert await world.phases() == {"a": "Running"}

    in_world(story, Profile(nodes=0))


def test_pods_of_a_node_that_is_not_ours_are_left_alone():
    async def story(world: World) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "real"}}
        await world.client.create(NODES, node)
        await world.create_pod("a", nodeName="real")
        await asyncio.sleep(60)
        assert await world.phases() == {"a": "Pending"}

    in_world(story)
