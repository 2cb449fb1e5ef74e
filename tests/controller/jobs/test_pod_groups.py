"""Pods that are queued together: nobody before all are there, nobody without the others."""

from __future__ import annotations

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import SCHEDULING_GATE
from kube_queue.api.types import EVENTS, PODS, QUEUE_UNITS
from kube_queue_extensions.leaderworkerset import LeaderWorkerSetExtension
from kube_queue_extensions.pod import PodExtension
from kube_queue_extensions.podgroup import PodGroupExtension
from tests.controller.jobs.cluster import Cluster, Manifest, Wire, play
from tests.extensions.manifests import a_member, an_lws_pod

UNIT = "team-group-qu"
SET = "it-0-lws-qu"
KINDS = (PodExtension(), PodGroupExtension(), LeaderWorkerSetExtension())


async def create(cluster: Cluster, *pods: Manifest, seconds: int = 5) -> list[Manifest]:
    """Each of these pods sleeps so long once it runs."""
    made = []
    for pod in pods:
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            pod["metadata"].pop(field, None)
        (container,) = pod["spec"]["containers"]
        container |= {"image": "busybox", "command": ["sleep", str(seconds)]}
        pod["spec"]["restartPolicy"] = "Never"
        await cluster.makers_exist(pod["metadata"])
        made.append(await cluster.client.create(PODS, pod, "default"))
    return made


async def waiting(cluster: Cluster) -> list[str]:
    """The pods that have our gate."""
    ours = {"name": SCHEDULING_GATE}
    pods = await cluster.client.list(PODS)
    return sorted(
        pod["metadata"]["name"] for pod in pods if ours in pod["spec"].get("schedulingGates", [])
    )


async def problem(cluster: Cluster, name: str = UNIT) -> str:
    return (await cluster.unit(name)).invalid


async def says(cluster: Cluster, phase: str, *names: str) -> None:
    """As the kubelet."""
    for name in names:
        await cluster.patch(PODS, name, {"status": {"phase": phase}}, "status")


async def released(cluster: Cluster, name: str = UNIT) -> None:
    await cluster.admit(name)

    async def free() -> bool:
        return await waiting(cluster) == []

    await cluster.until(free, "no pod waits")


async def ready(cluster: Cluster, name: str = UNIT) -> None:
    async def asks() -> bool:
        return not await problem(cluster, name)

    await cluster.until_phase(name, Phase.ENQUEUED)
    await cluster.until(asks, "the group can be admitted")


async def a_running_team(cluster: Cluster) -> None:
    """Pods a and b, which were released together."""
    cluster.start_jobs(*KINDS)
    await create(cluster, a_member("a"), a_member("b"))
    await ready(cluster)
    await released(cluster)
    await says(cluster, "Running", "a", "b")
    await cluster.until_phase(UNIT, Phase.RUNNING)


def test_a_group_waits_for_all_its_pods_and_is_released_and_ends_as_one() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        await create(cluster, a_member("a", "3"), a_member("b", "3"))
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        await cluster.settle(5)
        assert await problem(cluster) == (
            "not all of its 3 pods are there yet; it waits until they are"
        )
        await create(cluster, a_member("c", "3", "example.com/other"))
        await ready(cluster)
        unit = await cluster.unit(UNIT)
        assert unit.request.manifest() == {"cpu": "3", "memory": "3Gi"}
        obj = await cluster.client.get(QUEUE_UNITS, "default", UNIT)
        assert [(each["name"], each["count"]) for each in obj["spec"]["podSet"]] == [("pods", 3)]
        await cluster.settle(10)
        assert await waiting(cluster) == ["a", "b", "c"]
        await released(cluster)
        await cluster.settle(2)
        assert (await cluster.unit(UNIT)).phase is Phase.DEQUEUED
        # One of them still waits for somebody else.
        await cluster.patch(PODS, "c", {"spec": {"schedulingGates": None}})
        await cluster.until_phase(UNIT, Phase.RUNNING)
        unit = await cluster.until_phase(UNIT, Phase.SUCCEED)
        assert not unit.held
        assert [unit.name for unit in await cluster.units()] == [UNIT]

    play(story)


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ((a_member("a", "1"), a_member("b", "1")), "has 2 pods, and they say 1"),
        ((a_member("a", "2"), a_member("b", "3")), "pods say different numbers: 2 on a, 3 on b"),
        ((a_member("a", None),), "pods[a].metadata.annotations[kube-queue/pod-group-total-count]"),
        ((a_member("a", "two"),), "'two' is no number of pods"),
        ((a_member("a", "0"),), "'0' is no number of pods"),
    ],
)
def test_a_group_that_contradicts_itself_says_how_until_it_does_not(
    pods: tuple[Manifest, ...], said: str
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        await create(cluster, *pods)

        async def told() -> bool:
            return said in await problem(cluster)

        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        await cluster.until(told, said)
        for pod in pods:
            total = {"kube-queue/pod-group-total-count": str(len(pods))}
            name = pod["metadata"]["name"]
            await cluster.patch(PODS, name, {"metadata": {"annotations": total}})
        await ready(cluster)

    play(story, simulated=False)


def test_a_failed_pod_ends_its_group_when_no_other_is_left_that_runs() -> None:
    async def story(cluster: Cluster) -> None:
        await a_running_team(cluster)
        await says(cluster, "Failed", "a")
        await cluster.settle(5)
        assert (await cluster.unit(UNIT)).held["cpu"] == 2000
        await says(cluster, "Succeeded", "b")
        await cluster.until_phase(UNIT, Phase.FAILED)
        obj = await cluster.client.get(QUEUE_UNITS, "default", UNIT)
        assert "pod a failed" in obj["status"]["message"]

    play(story, simulated=False)


def test_a_pod_in_place_of_one_that_failed_is_released_at_once() -> None:
    async def story(cluster: Cluster) -> None:
        await a_running_team(cluster)
        await says(cluster, "Failed", "a")
        await create(cluster, a_member("c"))

        async def free() -> bool:
            return await waiting(cluster) == []

        await cluster.until(free, "c waits for nothing")
        assert (await cluster.unit(UNIT)).held["cpu"] == 2000
        # One more is one too many: nobody has asked for its quota.
        await create(cluster, a_member("d"))
        await cluster.settle(10)
        assert await waiting(cluster) == ["d"]
        await cluster.client.delete(PODS, "default", "d")
        await says(cluster, "Succeeded", "b", "c")
        await cluster.until_phase(UNIT, Phase.SUCCEED)

    play(story, simulated=False)


def test_pods_that_succeeded_give_their_share_back() -> None:
    async def story(cluster: Cluster) -> None:
        await a_running_team(cluster)
        await says(cluster, "Succeeded", "a")

        async def half() -> bool:
            return (await cluster.unit(UNIT)).held["cpu"] == 1000

        await cluster.until(half, "half of the quota is free")

    play(story, simulated=False)


def test_a_group_of_nobody_is_not_evicted() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        await create(cluster, a_member("a"), a_member("b"))
        await ready(cluster)
        assert not (await cluster.unit(UNIT)).evictable
        await released(cluster)
        await cluster.evict(UNIT)
        await cluster.settle(5)
        assert len(await cluster.client.list(PODS)) == 2
        assert "NotEvictable" in {one["reason"] for one in await cluster.client.list(EVENTS)}

    play(story, simulated=False)


def test_a_release_that_was_cut_short_is_finished() -> None:
    async def story(cluster: Cluster) -> None:
        wire = Wire(cluster.server)
        jobs = cluster.start_jobs(*KINDS, wire=wire)
        await create(cluster, *(a_member(name, "4") for name in "abcd"))
        await ready(cluster)
        # The second pod's write is the last that gets through.
        wire._cut_at = len(wire.writes) + 2
        await cluster.admit(UNIT)
        await wire.cut.wait()
        await cluster.kill(jobs)
        assert 0 < len(await waiting(cluster)) < 4
        cluster.start_jobs(*KINDS)

        async def free() -> bool:
            return await waiting(cluster) == []

        await cluster.until(free, "all four are released")
        assert (await cluster.unit(UNIT)).phase in (Phase.DEQUEUED, Phase.RUNNING)

    play(story)


def test_the_unit_of_a_group_goes_with_the_last_of_its_pods_only() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        for name in "ab":
            await create(cluster, a_member(name))
            await cluster.settle(2)
        unit = await cluster.unit(UNIT)
        await released(cluster)
        await says(cluster, "Running", "a", "b")
        await cluster.until_phase(UNIT, Phase.RUNNING)
        await says(cluster, "Failed", "a")
        await create(cluster, a_member("c"))
        await cluster.settle(2)
        for name in "ab":
            await cluster.client.delete(PODS, "default", name, grace_seconds=0)
            await cluster.settle(5)
            assert (await cluster.unit(UNIT)).uid == unit.uid
        assert (await cluster.unit(UNIT)).held["cpu"] == 2000

    play(story, simulated=False)


def test_a_group_whose_pods_are_gone_has_no_unit() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        await create(cluster, a_member("a"), a_member("b"))
        await ready(cluster)
        for name in "ab":
            await cluster.client.delete(PODS, "default", name)

        async def forgotten() -> bool:
            return not await cluster.units()

        await cluster.until(forgotten, "the unit is gone")

    play(story, simulated=False)


# --- replica groups of LeaderWorkerSets -----------------------------------------------------------


def test_a_replica_group_is_one_unit_of_its_leader_and_its_workers() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        leader, *_ = await create(cluster, an_lws_pod(0))
        await cluster.until_phase(SET, Phase.ENQUEUED)
        assert (await problem(cluster, SET)).startswith("its 2 workers are not all there yet")
        await create(cluster, an_lws_pod(1), an_lws_pod(2))
        await ready(cluster, SET)
        unit = await cluster.unit(SET)
        assert unit.request.manifest() == {"cpu": "3", "memory": "3Gi"}
        assert unit.job is not None and unit.job.uid == leader["metadata"]["uid"]
        assert unit.evictable
        await released(cluster, SET)
        await says(cluster, "Running", "it-0", "it-0-1", "it-0-2")
        await cluster.until_phase(SET, Phase.RUNNING)
        assert [unit.name for unit in await cluster.units()] == [SET]

    play(story, simulated=False)


def test_an_evicted_replica_group_loses_its_pods_and_the_next_one_waits() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        await create(cluster, an_lws_pod(0), an_lws_pod(1), an_lws_pod(2))
        await ready(cluster, SET)
        await released(cluster, SET)
        await says(cluster, "Running", "it-0", "it-0-1", "it-0-2")
        await cluster.until_phase(SET, Phase.RUNNING)
        await cluster.evict(SET)

        async def gone() -> bool:
            return not await cluster.client.list(PODS)

        await cluster.until(gone, "the pods are gone")
        leader, *_ = await create(cluster, an_lws_pod(0), an_lws_pod(1), an_lws_pod(2))

        async def anew() -> bool:
            units = await cluster.units()
            return [each.job.uid for each in units if each.job] == [leader["metadata"]["uid"]]

        await cluster.until(anew, "the next group has a unit")
        await ready(cluster, SET)
        assert await waiting(cluster) == ["it-0", "it-0-1", "it-0-2"]

    play(story, simulated=False)


def test_workers_that_wait_for_their_leader_are_asked_for_by_its_annotation() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(*KINDS)
        asks = {"kube-queue/min-resources": "{cpu: 3, memory: 3Gi}"}
        await create(cluster, an_lws_pod(0, annotations=asks))
        await ready(cluster, SET)
        assert (await cluster.unit(SET)).request.manifest() == {"cpu": "3", "memory": "3Gi"}
        await released(cluster, SET)
        await says(cluster, "Running", "it-0")
        await cluster.until_phase(SET, Phase.RUNNING)
        await create(cluster, an_lws_pod(1), an_lws_pod(2))

        async def free() -> bool:
            return await waiting(cluster) == []

        await cluster.until(free, "the workers wait for nothing more")
        assert (await cluster.unit(SET)).held["cpu"] == 3000

    play(story, simulated=False)
