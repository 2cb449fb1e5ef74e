"""Pods that are queued by themselves: held by a gate, released, followed, deleted to make room."""

from __future__ import annotations

import asyncio
from typing import Final

import orjson
import pytest

from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import SCHEDULING_GATE
from kube_queue.api.types import EVENTS, JOBS, PODS, QUEUE_UNITS, TFJOBS
from kube_queue.controller.jobs.pod_jobs import PodProjection
from kube_queue.controller.jobs.records import JobKey
from kube_queue.jobframework import UnitView
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.jobset import JOBSETS
from kube_queue_extensions.leaderworkerset import LeaderWorkerSetExtension
from kube_queue_extensions.pod import PodExtension
from kube_queue_extensions.podgroup import PodGroupExtension
from tests.controller.jobs.cluster import Cluster, Manifest, play
from tests.extensions.manifests import a_jobset, a_member, a_pod, an_lws_pod, controlled_by
from tests.jobframework.builders import a_job, a_template, a_tfjob

KINDS = (PodExtension(), PodGroupExtension(), LeaderWorkerSetExtension())
OURS: Final = {"name": SCHEDULING_GATE}
UNIT = "web-0-pod-qu"
OWNERS = {"Job": JOBS, "TFJob": TFJOBS, "JobSet": JOBSETS}


async def create(cluster: Cluster, *gates: str, name: str = "web-0", **options: object) -> Manifest:
    """A pod that sleeps for 5 s once it runs."""
    pod = a_pod(*gates, name=name, **options)
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        pod["metadata"].pop(field)
    (container,) = pod["spec"]["containers"]
    container |= {"image": "busybox", "command": ["sleep", "5"]}
    pod["spec"]["restartPolicy"] = "Never"
    await cluster.makers_exist(pod["metadata"])
    return await cluster.client.create(PODS, pod, "default")


async def the_pod(cluster: Cluster, name: str = "web-0") -> Manifest:
    return await cluster.client.get(PODS, "default", name)


async def gates_of(cluster: Cluster) -> list[Manifest]:
    gates: list[Manifest] = (await the_pod(cluster))["spec"].get("schedulingGates", [])
    return gates


async def no_unit(cluster: Cluster) -> bool:
    return not await cluster.units()


async def said(cluster: Cluster) -> set[str]:
    return {event["reason"] for event in await cluster.client.list(EVENTS)}


async def own(cluster: Cluster, metadata: Manifest) -> None:
    """What controls the pod exists, where it can."""
    for owner in metadata.get("ownerReferences", []):
        resource = OWNERS.get(owner["kind"])
        if resource is None:
            continue
        maker = a_job() if resource is JOBS else a_tfjob() if resource is TFJOBS else a_jobset()
        maker["metadata"] |= {"name": owner["name"]}
        if resource is JOBSETS:
            for field in ("uid", "resourceVersion", "creationTimestamp"):
                maker["metadata"].pop(field)
            made = await cluster.client.create(resource, maker, "default")
        else:
            made = await cluster.create(resource, maker)
        owner["uid"] = made["metadata"]["uid"]


def test_a_gated_pod_waits_for_its_unit_runs_and_ends() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster)
        unit = await cluster.until_phase(UNIT, Phase.ENQUEUED)
        assert unit.request.manifest() == {"cpu": "1", "memory": "1Gi"}
        await cluster.settle(20)
        assert (await cluster.unit(UNIT)).phase is Phase.ENQUEUED
        assert not (await the_pod(cluster))["spec"].get("nodeName")
        await cluster.admit(UNIT)
        await cluster.until_phase(UNIT, Phase.RUNNING)
        assert await gates_of(cluster) == []
        state = (await cluster.client.get(QUEUE_UNITS, "default", UNIT))["status"]["podState"]
        assert state == {"running": 1, "pending": 0}
        unit = await cluster.until_phase(UNIT, Phase.SUCCEED)
        assert not unit.held

    play(story)


def test_a_pod_that_fails_ends_its_unit_with_the_words_of_its_kubelet() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        await cluster.admit(UNIT)
        await cluster.settle()
        failed = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
        await cluster.patch(PODS, "web-0", {"status": failed}, "status")
        unit = await cluster.until_phase(UNIT, Phase.FAILED)
        obj = await cluster.client.get(QUEUE_UNITS, "default", UNIT)
        assert unit.reason == "JobFailed"
        assert obj["status"]["message"].endswith("Evicted: the node was low on memory")

    play(story, simulated=False)


@pytest.mark.parametrize("order", [(), ("kube-system/first",), ("a.example/x", "b.example/y")])
def test_only_our_gate_goes_and_the_others_stay_as_they_were(order: tuple[str, ...]) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        made = await create(cluster, *order)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        others = [gate for gate in made["spec"]["schedulingGates"] if gate != OURS]
        assert [gate["name"] for gate in others] == list(order)
        await cluster.admit(UNIT)

        async def released() -> bool:
            return OURS not in await gates_of(cluster)

        await cluster.until(released, "our gate is gone")
        assert await gates_of(cluster) == others
        await cluster.settle(3)
        unit = await cluster.unit(UNIT)
        assert unit.phase is (Phase.DEQUEUED if others else Phase.RUNNING)

    play(story)


def test_a_gate_that_somebody_takes_away_meanwhile_does_not_come_back() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster, "example.com/volume")
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        # Both at once: whoever comes second decides on what the first has left.
        ungated = {"spec": {"schedulingGates": [OURS]}}
        await asyncio.gather(cluster.admit(UNIT), cluster.patch(PODS, "web-0", ungated))

        async def free() -> bool:
            return await gates_of(cluster) == []

        await cluster.until(free, "no gate is left")

    play(story)


def test_a_pod_of_a_controller_is_deleted_to_make_room_and_its_successor_waits_anew() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        first = await create(cluster, **controlled_by("StatefulSet"))
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        assert (await cluster.unit(UNIT)).evictable
        await cluster.admit(UNIT)
        await cluster.until_phase(UNIT, Phase.RUNNING)
        await cluster.evict(UNIT)

        async def leaving() -> bool:
            return "deletionTimestamp" in (await the_pod(cluster))["metadata"]

        await cluster.until(leaving, "the pod is being deleted")
        # Until it is gone its quota is not free.
        assert (await cluster.unit(UNIT)).phase is Phase.RUNNING

        async def gone() -> bool:
            try:
                await the_pod(cluster)
            except NotFound:
                return True
            return False

        await cluster.until(gone, "the pod is gone")
        # At once, as a StatefulSet does: of the same name.
        second = await create(cluster, **controlled_by("StatefulSet"))

        async def waits_anew() -> bool:
            units = await cluster.units()
            jobs = [unit.job.uid for unit in units if unit.job is not None]
            return jobs == [second["metadata"]["uid"]] and units[0].phase is Phase.ENQUEUED

        await cluster.until(waits_anew, "the successor has a unit of its own")
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        await cluster.settle(5)
        assert await gates_of(cluster) == [OURS]

    play(story)


def test_a_pod_without_a_controller_is_not_evicted() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        assert not (await cluster.unit(UNIT)).evictable
        await cluster.admit(UNIT)
        await cluster.until_phase(UNIT, Phase.RUNNING)
        await cluster.evict(UNIT)
        await cluster.until_phase(UNIT, Phase.SUCCEED)
        assert "NotEvictable" in await said(cluster)

    play(story)


def test_a_pod_that_is_evicted_before_it_is_released_waits_again() -> None:
    async def story(cluster: Cluster) -> None:
        await create(cluster, **controlled_by("StatefulSet"))
        jobs = cluster.start_jobs(PodExtension())
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        cluster.tasks.remove(jobs)
        jobs.cancel()
        await asyncio.gather(jobs, return_exceptions=True)
        await cluster.admit(UNIT)
        await cluster.evict(UNIT)
        cluster.start_jobs(PodExtension())
        unit = await cluster.until_phase(UNIT, Phase.ENQUEUED)
        assert unit.reason == "Preempted"
        assert await gates_of(cluster) == [OURS]

    play(story)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_pod_whose_gate_a_person_takes_away_is_adopted_and_charged(restarted: bool) -> None:
    async def story(cluster: Cluster) -> None:
        jobs = cluster.start_jobs(PodExtension())
        await create(cluster)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        if restarted:
            cluster.tasks.remove(jobs)
            jobs.cancel()
            await asyncio.gather(jobs, return_exceptions=True)
        await cluster.patch(PODS, "web-0", {"spec": {"schedulingGates": None}})
        if restarted:
            cluster.start_jobs(PodExtension())
        unit = await cluster.until_phase(UNIT, Phase.DEQUEUED)
        assert unit.reason == "ReleasedByHand"
        assert unit.held["cpu"] == 1000

    play(story, simulated=False)


def test_a_released_pod_whose_unit_is_deleted_gets_one_that_is_charged() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        await cluster.admit(UNIT)
        await cluster.until_phase(UNIT, Phase.RUNNING)
        await cluster.client.delete(QUEUE_UNITS, "default", UNIT)
        await cluster.until_phase(UNIT, Phase.RUNNING)
        assert (await cluster.unit(UNIT)).held["cpu"] == 1000

    play(story)


def test_a_deleted_pod_takes_its_unit_along() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await create(cluster)
        await cluster.until_phase(UNIT, Phase.ENQUEUED)
        await cluster.client.delete(PODS, "default", "web-0")

        async def forgotten() -> bool:
            return await no_unit(cluster)

        await cluster.until(forgotten, "the unit is gone")

    play(story)


@pytest.mark.parametrize(
    "metadata",
    [
        controlled_by("Job", "batch/v1"),
        controlled_by("TFJob", "kubeflow.org/v1"),
        controlled_by("JobSet", "jobset.x-k8s.io/v1alpha2"),
        controlled_by("DaemonSet"),
        {"labels": {"kueue.x-k8s.io/queue-name": "theirs"}},
        {
            "labels": {"workload.codeflare.dev/appwrapper": "whole"},
            **controlled_by("ReplicaSet"),
        },
    ],
)
def test_a_pod_of_a_job_that_has_its_own_unit_is_not_queued(metadata: Manifest) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension())
        await own(cluster, metadata)
        await create(cluster, **metadata)
        await cluster.settle(10)
        assert await no_unit(cluster)
        assert await gates_of(cluster) == [OURS]
        events = await cluster.client.list(EVENTS)
        (told,) = [each["message"] for each in events if each["reason"] == "InvalidJob"]
        assert told.endswith("so it is not queued, and nobody takes away what holds it")

    play(story, simulated=False)


def test_the_pods_of_a_queued_job_are_counted_once_also_behind_our_gate() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(PodExtension(), BatchJob())
        template = a_template("100m")
        template["spec"]["schedulingGates"] = [OURS]
        job = a_job(template=template)
        await cluster.create(JOBS, job)
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.admit("pi-job-qu")
        await cluster.settle(10)
        assert [unit.name for unit in await cluster.units()] == ["pi-job-qu"]

    play(story)


class NoUnits:
    def unit(self, key: JobKey) -> UnitView | None:
        return None


def test_of_a_pod_that_nobody_queues_only_a_few_words_are_kept() -> None:
    for extensions in ((), KINDS):
        record = PodProjection(extensions, NoUnits())(a_pod(held=False))
        assert (record.raw, record.part, record.free) == (b"", None, False)
    record = PodProjection(KINDS, NoUnits())(a_pod())
    assert record.part == JobKey("pod", "default", "job1")
    assert orjson.loads(record.raw)["spec"]["schedulingGates"] == [OURS]


@pytest.mark.parametrize(
    ("pod", "part"),
    [
        (a_member("a"), JobKey("podgroup", "default", "team")),
        (a_member("a", held=False), JobKey("podgroup", "default", "team")),
        (a_member("a", **controlled_by("StatefulSet")), JobKey("podgroup", "default", "team")),
        (a_member("a", **controlled_by("Job", "batch/v1")), None),
        (an_lws_pod(0), JobKey("leaderworkerset", "default", "it-0")),
        (an_lws_pod(2), JobKey("leaderworkerset", "default", "it-0")),
        (an_lws_pod(2, held=False), None),
    ],
)
def test_a_pod_is_part_of_its_group_and_no_job_besides(pod: Manifest, part: JobKey | None) -> None:
    assert PodProjection(KINDS, NoUnits())(pod).part == part
