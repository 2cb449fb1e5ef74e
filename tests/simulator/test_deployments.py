"""The promises of the Deployment and ReplicaSet controllers."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from kube_queue.api.types import DEPLOYMENTS, EVENTS, NODES, PODS, REPLICA_SETS, ResourceType
from kube_queue.simulator.deployment import template_hash
from kube_queue.simulator.profile import Profile
from kube_queue.simulator.replica_set import available
from kube_queue.simulator.views import pod_view
from tests.simulator.world import World, conditions, container, in_world

Object = dict[str, Any]


def a_deployment(name: str = "web", replicas: int = 3, cpu: str = "1", **spec: Any) -> Object:
    pod = container([], cpu)
    del pod["command"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [pod]}},
            **spec,
        },
    }


async def change(world: World, patch: Object, name: str = "web") -> None:
    await world.client.patch(DEPLOYMENTS, "default", name, patch)


async def scale(world: World, replicas: int) -> None:
    await change(world, {"spec": {"replicas": replicas}})


async def roll(world: World, version: str) -> None:
    await change(world, {"spec": {"template": {"metadata": {"annotations": {"version": version}}}}})


async def the_sets(world: World) -> list[Object]:
    """The ReplicaSets in the order of their revisions."""
    sets = await world.client.list(REPLICA_SETS, "default")
    return sorted(sets, key=lambda one: int(revision(one)))


def revision(obj: Object) -> str:
    return str(obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


async def running(world: World) -> list[Object]:
    return [pod for pod in await world.pods() if "deletionTimestamp" not in pod["metadata"]]


def counts(obj: Object) -> dict[str, int]:
    return {
        name.removesuffix("Replicas"): count
        for name, count in obj["status"].items()
        if isinstance(count, int) and name not in ("observedGeneration", "terminatingReplicas")
    }


def test_a_deployment_has_as_many_pods_as_it_asks_for_and_says_so():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        web = await world.get(DEPLOYMENTS, "web")
        every = {"replicas": 3, "updated": 3, "ready": 3, "available": 3}
        assert counts(web) == every
        assert conditions(web) == {"Available": "True", "Progressing": "True"}
        assert web["status"]["observedGeneration"] == web["metadata"]["generation"]
        (only,) = await the_sets(world)
        digest = only["metadata"]["labels"]["pod-template-hash"]
        assert only["metadata"]["name"] == f"web-{digest}"
        assert revision(web) == revision(only) == "1"
        for pod in await world.pods():
            metadata = pod["metadata"]
            assert metadata["generateName"] == f"web-{digest}-"
            assert len(metadata["name"]) == len(metadata["generateName"]) + 5
            assert metadata["labels"] == {"app": "web", "pod-template-hash": digest}
            (owner,) = metadata["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (only["metadata"]["uid"], True)

    in_world(story)


def test_a_server_runs_until_it_is_stopped():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(3600)
        restarts = [
            pod["status"]["containerStatuses"][0]["restartCount"] for pod in await running(world)
        ]
        assert restarts == [0, 0, 0]

    in_world(story)


def test_scaling_up_and_down_and_to_nothing_is_followed():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        before = {pod["metadata"]["uid"] for pod in await running(world)}
        await scale(world, 5)
        await asyncio.sleep(5)
        assert before < {pod["metadata"]["uid"] for pod in await running(world)}
        assert counts(await world.get(DEPLOYMENTS, "web"))["ready"] == 5
        await scale(world, 0)
        await asyncio.sleep(5)
        assert await world.pods() == []
        assert counts(await world.get(DEPLOYMENTS, "web")) == {}
        assert len(await the_sets(world)) == 1

    in_world(story)


def test_pods_without_a_node_go_before_running_ones():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=5))
        await asyncio.sleep(5)
        assert Counter((await world.phases()).values()) == {"Running": 4, "Pending": 1}
        web = await world.get(DEPLOYMENTS, "web")
        every = {"replicas": 5, "updated": 5, "ready": 4, "available": 4, "unavailable": 1}
        assert counts(web) == every
        await scale(world, 4)
        await asyncio.sleep(5)
        assert Counter((await world.phases()).values()) == {"Running": 4}

    in_world(story, Profile(nodes=1, cpu="4"))


def test_the_cheapest_pod_goes_first():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=4))
        await asyncio.sleep(5)
        cheap = (await world.pods())[2]["metadata"]["name"]
        cost = {"controller.kubernetes.io/pod-deletion-cost": "-10"}
        await world.client.patch(PODS, "default", cheap, {"metadata": {"annotations": cost}})
        await asyncio.sleep(1)
        await scale(world, 3)
        await asyncio.sleep(5)
        assert cheap not in await world.phases()
        assert len(await running(world)) == 3

    in_world(story)


def test_an_update_goes_on_only_while_enough_pods_serve():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=4, minReadySeconds=10))
        await asyncio.sleep(15)
        await roll(world, "2")
        least, most = 4, 4
        for _ in range(600):
            await asyncio.sleep(0.25)
            pods = await running(world)
            serving = sum(available(pod_view(pod), 10, world.clock()) for pod in pods)
            least, most = min(least, serving), max(most, len(pods))
        assert (least, most) == (3, 5)
        old, new = await the_sets(world)
        assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 4)
        web = await world.get(DEPLOYMENTS, "web")
        assert revision(web) == revision(new) == "2"
        assert counts(web) == {"replicas": 4, "updated": 4, "ready": 4, "available": 4}
        assert web["status"]["conditions"][-1]["reason"] == "NewReplicaSetAvailable"

    in_world(story)


def test_a_deployment_that_recreates_has_no_new_pod_before_the_last_old_one_is_gone():
    async def story(world: World) -> None:
        recreate = a_deployment(strategy={"type": "Recreate"})
        annotations = {"simulator.kube-queue/stop-seconds": "10"}
        recreate["spec"]["template"]["metadata"]["annotations"] = annotations
        await world.client.create(DEPLOYMENTS, recreate)
        await asyncio.sleep(5)
        await roll(world, "2")
        for _ in range(100):
            await asyncio.sleep(0.25)
            sets = {pod["metadata"]["labels"]["pod-template-hash"] for pod in await world.pods()}
            assert len(sets) <= 1
        assert [one["spec"]["replicas"] for one in await the_sets(world)] == [0, 3]
        assert counts(await world.get(DEPLOYMENTS, "web"))["available"] == 3

    in_world(story)


def test_going_back_makes_the_old_set_the_newest_revision():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        await roll(world, "2")
        await asyncio.sleep(20)
        await change(world, {"spec": {"template": {"metadata": {"annotations": None}}}})
        await asyncio.sleep(20)
        second, first = await the_sets(world)
        assert (revision(second), revision(first)) == ("2", "3")
        history = first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"]
        assert history == "1"
        assert (second["spec"]["replicas"], first["spec"]["replicas"]) == (0, 3)
        assert revision(await world.get(DEPLOYMENTS, "web")) == "3"

    in_world(story)


def test_old_revisions_beyond_the_limit_are_forgotten():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(revisionHistoryLimit=1))
        for version in "2345":
            await asyncio.sleep(20)
            await roll(world, version)
        await asyncio.sleep(20)
        assert [revision(one) for one in await the_sets(world)] == ["4", "5"]

    in_world(story)


def test_a_paused_deployment_is_scaled_but_not_rolled_on():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        await change(world, {"spec": {"paused": True}})
        await asyncio.sleep(1)
        await roll(world, "2")
        await scale(world, 4)
        await asyncio.sleep(20)
        (only,) = await the_sets(world)
        assert only["spec"]["replicas"] == 4
        web = await world.get(DEPLOYMENTS, "web")
        reasons = {each["type"]: each["reason"] for each in web["status"]["conditions"]}
        assert reasons["Progressing"] == "DeploymentPaused"
        await change(world, {"spec": {"paused": False}})
        await asyncio.sleep(20)
        assert [one["spec"]["replicas"] for one in await the_sets(world)] == [0, 4]

    in_world(story)


def test_a_rollout_that_does_not_get_on_says_so_after_its_deadline():
    async def story(world: World) -> None:
        stuck = a_deployment(cpu="100", progressDeadlineSeconds=60)
        await world.client.create(DEPLOYMENTS, stuck)
        await asyncio.sleep(30)
        web = await world.get(DEPLOYMENTS, "web")
        assert conditions(web) == {"Progressing": "True", "Available": "False"}
        await asyncio.sleep(60)
        web = await world.get(DEPLOYMENTS, "web")
        assert web["status"]["conditions"][-1]["reason"] == "ProgressDeadlineExceeded"

    in_world(story)


@pytest.mark.parametrize("how", ["deleted", "evicted", "failed"])
def test_a_pod_that_is_lost_is_replaced(how: str):
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=1))
        await asyncio.sleep(5)
        (lost,) = await world.pods()
        name = lost["metadata"]["name"]
        if how == "deleted":
            await world.client.delete(PODS, "default", name)
        elif how == "evicted":
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": "default"},
            }
            await world.client.create_subresource(PODS, "default", name, "eviction", eviction)
        else:
            patch = {"status": {"phase": "Failed"}}
            await world.client.patch(PODS, "default", name, patch, subresource="status")
        await asyncio.sleep(5)
        alive = [one for one in await world.pods() if one["status"]["phase"] == "Running"]
        assert [one["metadata"]["name"] != name for one in alive] == [True]

    in_world(story)


def test_orphans_that_match_are_adopted_and_pods_that_no_longer_match_let_go():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=2))
        await asyncio.sleep(5)
        first = (await world.pods())[0]["metadata"]["name"]
        await world.client.patch(
            PODS, "default", first, {"metadata": {"labels": {"app": "debugged"}}}
        )
        await asyncio.sleep(5)
        assert len(await running(world)) == 3
        lost = await world.get(PODS, first)
        assert not lost["metadata"].get("ownerReferences")
        # Relabelled back it is an orphan that matches: one too many, and the youngest need not go.
        await world.client.patch(PODS, "default", first, {"metadata": {"labels": {"app": "web"}}})
        await asyncio.sleep(5)
        assert len(await running(world)) == 2

    in_world(story)


def test_a_set_by_itself_is_kept_and_a_deployment_of_its_template_takes_it():
    async def story(world: World) -> None:
        template = a_deployment()["spec"]["template"]
        labels = {"app": "web", "pod-template-hash": "abc"}
        template["metadata"]["labels"] = labels
        alone = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "web-abc", "namespace": "default", "labels": labels},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
        }
        await world.client.create(REPLICA_SETS, alone)
        await asyncio.sleep(5)
        assert len(await running(world)) == 2
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        (only,) = await world.client.list(REPLICA_SETS, "default")
        (owner,) = only["metadata"]["ownerReferences"]
        assert (only["metadata"]["name"], owner["kind"]) == ("web-abc", "Deployment")
        assert len(await running(world)) == 3

    in_world(story)


def test_sets_and_pods_go_with_their_deployment():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        await world.client.delete(DEPLOYMENTS, "default", "web", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []
        assert await world.client.list(REPLICA_SETS, "default") == []

    in_world(story)


def test_a_set_whose_pods_the_server_refuses_says_why_in_condition_and_event():
    async def story(world: World) -> None:
        refused = a_deployment()
        refused["spec"]["template"]["spec"]["priorityClassName"] = "missing"
        await world.client.create(DEPLOYMENTS, refused)
        await asyncio.sleep(60)
        (only,) = await the_sets(world)
        assert only["status"]["conditions"][0]["reason"] == "FailedCreate"
        web = await world.get(DEPLOYMENTS, "web")
        assert conditions(web)["ReplicaFailure"] == "True"
        events = await world.client.list(EVENTS, "default")
        assert len([one for one in events if one["reason"] == "FailedCreate"]) == 1

    in_world(story)


def test_pods_of_another_scheduler_wait_for_it_and_run_once_it_has_bound_them():
    async def story(world: World) -> None:
        other = a_deployment(replicas=1)
        other["spec"]["template"]["spec"]["schedulerName"] = "kube-queue-scheduler"
        await world.client.create(DEPLOYMENTS, other)
        await asyncio.sleep(30)
        (pod,) = await world.pods()
        assert not pod["spec"].get("nodeName")
        assert not pod["status"].get("conditions")
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        node = (await world.client.list(NODES))[0]["metadata"]["name"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": "default", "name": name, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await world.client.create_subresource(PODS, "default", name, "binding", binding)
        await asyncio.sleep(2)
        assert counts(await world.get(DEPLOYMENTS, "web"))["ready"] == 1

    in_world(story)


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.3, 1.1])
def test_killed_again_and_again_a_rollout_still_ends_with_no_pod_too_many(pause: float):
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(replicas=6))
        for count in range(12):
            await world.kill_simulator()
            world.start_simulator()
            await asyncio.sleep(pause)
            if count == 6:
                await roll(world, "2")
        await asyncio.sleep(60)
        assert len(await world.pods()) == 6
        newest = (await the_sets(world))[-1]
        assert newest["spec"]["replicas"] == 6
        assert counts(await world.get(DEPLOYMENTS, "web"))["available"] == 6

    in_world(story)


def test_a_collision_of_names_is_counted_and_the_next_name_taken():
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment(paused=True))
        await asyncio.sleep(2)
        assert await world.client.list(REPLICA_SETS, "default") == []
        name = await _name_it_will_take(world)
        squatter: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "other"}},
                "template": {
                    "metadata": {"labels": {"app": "other"}},
                    "spec": {"containers": [container(["sleep", "1"])]},
                },
            },
        }
        await world.client.create(REPLICA_SETS, squatter)
        await change(world, {"spec": {"paused": False}})
        await asyncio.sleep(20)
        web = await world.get(DEPLOYMENTS, "web")
        assert web["status"]["collisionCount"] == 1
        assert counts(web)["available"] == 3

    in_world(story)


async def _name_it_will_take(world: World) -> str:
    """The name of the set of a Deployment of the same name and template in another namespace."""
    web = await world.get(DEPLOYMENTS, "web")
    return f"web-{template_hash(web['spec']['template'])}"


SETS: tuple[ResourceType, ...] = (REPLICA_SETS, DEPLOYMENTS)


@pytest.mark.parametrize("kind", SETS)
def test_the_scale_of_a_set_can_be_read_and_written(kind: ResourceType):
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, a_deployment())
        await asyncio.sleep(5)
        name = "web" if kind is DEPLOYMENTS else (await the_sets(world))[0]["metadata"]["name"]
        patch = {"spec": {"replicas": 2}}
        await world.client.patch(kind, "default", name, patch, subresource="scale")
        await asyncio.sleep(5)
        # A set of a Deployment is put right again; a Deployment is obeyed.
        wanted = 2 if kind is DEPLOYMENTS else 3
        assert len(await running(world)) == wanted

    in_world(story)
