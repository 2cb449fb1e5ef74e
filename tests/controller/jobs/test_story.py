"""What users and the queue side do, and what becomes of jobs and units."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import (
    CRDS,
    ELASTIC_QUOTA_TREES,
    EVENTS,
    JOBS,
    LIMIT_RANGES,
    PODS,
    PRIORITY_CLASSES,
    QUEUE_UNITS,
    TFJOBS,
)
from kube_queue.kube.lanes import Lane
from tests.controller.jobs.cluster import Cluster, play
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.jobframework.builders import a_job, a_template, a_tfjob

SUSPEND = "scheduling.x-k8s.io/suspend"


def test_two_tfjobs_run_one_after_the_other_and_say_so() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        cluster.start_admitter(4000)
        await cluster.tfjob("job1")
        await cluster.tfjob("job2")
        await cluster.until_phase("job1-tf-qu", Phase.RUNNING)
        assert [await cluster.state(name) for name in ("job1", "job2")] == ["Running", "Queuing"]
        pods = await cluster.client.list(PODS)
        assert {pod["metadata"]["name"].split("-")[0] for pod in pods} == {"job1"}
        await cluster.until_phase("job2-tf-qu", Phase.RUNNING)
        assert [await cluster.state(name) for name in ("job1", "job2")] == ["Succeeded", "Running"]
        await cluster.until_phase("job2-tf-qu", Phase.SUCCEED)

    play(story)


def test_a_waiting_job_of_a_batch_kind_costs_one_write_and_its_life_three_more() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.settle()
        assert len(cluster.wire.writes) == 1 + events(cluster)
        await cluster.admit("pi-job-qu")
        await cluster.until_phase("pi-job-qu", Phase.SUCCEED)
        await cluster.settle(5)
        assert cluster.writes is not None
        sent = {lane.name: n for (lane, what), n in cluster.writes.counts.items() if what == "sent"}
        del sent["EVENT"]
        # Running is shown by the Job's status only when one of its pods is ready.
        assert sent == {"CREATE": 1, "RESUME": 1, "PROGRESS": 2}
        failed = [n for (_, what), n in cluster.writes.counts.items() if what == "failed"]
        assert failed == []

    play(story)


def events(cluster: Cluster) -> int:
    return sum(path.endswith("/events") for _, path in cluster.wire.writes)


def test_a_tfjob_costs_two_writes_more_to_show_that_it_waits() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.tfjob("job1")
        await cluster.settle()
        await cluster.admit("job1-tf-qu")
        await cluster.until_phase("job1-tf-qu", Phase.SUCCEED)
        await cluster.settle(5)
        assert cluster.writes is not None
        sent = {lane.name: n for (lane, what), n in cluster.writes.counts.items() if what == "sent"}
        del sent["EVENT"]
        assert sent == {"CREATE": 2, "RESUME": 2, "PROGRESS": 2}

    play(story)


def test_a_job_released_by_hand_is_charged() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.patch(JOBS, "pi", {"spec": {"suspend": False}})
        unit = await cluster.until_phase("pi-job-qu", Phase.DEQUEUED)
        assert unit.reason == "ReleasedByHand"
        assert unit.held["cpu"] == 100

    play(story, simulated=False)


def test_our_own_release_is_never_taken_for_one_by_hand() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        cluster.start_admitter(100_000)
        for number in range(20):
            await cluster.job(f"pi-{number}")
        for number in range(20):
            await cluster.until_phase(f"pi-{number}-job-qu", Phase.SUCCEED)
        said = {event["reason"] for event in await cluster.client.list(EVENTS)}
        assert "ReleasedByHand" not in said

    play(story)


def test_a_job_suspended_by_its_user_gives_its_quota_back_when_its_pods_are_gone() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi", template=slow())
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.admit("pi-job-qu")
        await cluster.until_phase("pi-job-qu", Phase.RUNNING)
        await cluster.patch(JOBS, "pi", {"spec": {"suspend": True}})
        unit = await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        assert unit.reason == "SuspendedByUser"
        assert not [pod for pod in await cluster.client.list(PODS) if live(pod)]
        await cluster.admit("pi-job-qu")
        await cluster.until_phase("pi-job-qu", Phase.RUNNING)

    play(story)


def test_an_evicted_tfjob_waits_again_and_runs_again() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.tfjob("job1")
        await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)
        await cluster.admit("job1-tf-qu")
        await cluster.until_phase("job1-tf-qu", Phase.RUNNING)
        await cluster.evict("job1-tf-qu")
        unit = await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)
        assert unit.reason == "Preempted"
        assert not unit.evicted
        assert not [pod for pod in await cluster.client.list(PODS) if live(pod)]
        await cluster.settle()
        assert await cluster.state("job1") == "Queuing"
        await cluster.admit("job1-tf-qu")
        await cluster.until_phase("job1-tf-qu", Phase.SUCCEED)

    play(story)


def test_a_re_applied_manifest_does_not_stop_a_running_job() -> None:
    # Nobody obeys the mark here: how fast an operator does is its own affair.
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.tfjob("job1")
        await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)
        await cluster.admit("job1-tf-qu")
        await cluster.settle()
        running = [{"type": "Running", "status": "True"}]
        await cluster.patch(TFJOBS, "job1", {"status": {"conditions": running}}, "status")
        await cluster.until_phase("job1-tf-qu", Phase.RUNNING)
        await cluster.patch(TFJOBS, "job1", {"metadata": {"annotations": {SUSPEND: "true"}}})
        await cluster.settle()
        job = await cluster.client.get(TFJOBS, "default", "job1")
        assert job["metadata"]["annotations"][SUSPEND] == "false"
        assert (await cluster.unit("job1-tf-qu")).phase is Phase.RUNNING

    play(story, simulated=False)


def test_conditions_an_operator_writes_meanwhile_are_never_lost() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.tfjob("job1")
        for number in range(20):
            job = await cluster.client.get(TFJOBS, "default", "job1")
            known = job.get("status", {}).get("conditions", [])
            more = [*known, {"type": f"Operator{number}", "status": "True"}]
            patch = {
                "metadata": {"resourceVersion": job["metadata"]["resourceVersion"]},
                "status": {"conditions": more},
            }
            # An operator that comes too late tries again, as ours does.
            with contextlib.suppress(Conflict):
                await cluster.patch(TFJOBS, "job1", patch, "status")
            await asyncio.sleep(0.01)
        await cluster.settle()
        job = await cluster.client.get(TFJOBS, "default", "job1")
        types = [each["type"] for each in job["status"]["conditions"]]
        assert types[-1] == "Queuing"
        assert len(types) == len(set(types)) > 15

    play(story, simulated=False)


def test_deleting_the_unit_of_a_held_job_brings_it_back_in_its_place() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        before = await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await asyncio.sleep(3)
        await cluster.client.delete(QUEUE_UNITS, "default", "pi-job-qu")
        await cluster.settle()
        after = await cluster.unit("pi-job-qu")
        assert after.uid != before.uid
        assert after.submitted // 1_000_000 == before.submitted // 1_000_000

    play(story)


def test_deleting_the_unit_of_a_running_job_brings_it_back_charged() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi", template=slow())
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.admit("pi-job-qu")
        await cluster.until_phase("pi-job-qu", Phase.RUNNING)
        await cluster.client.delete(QUEUE_UNITS, "default", "pi-job-qu")
        unit = await cluster.until_phase("pi-job-qu", Phase.RUNNING)
        assert unit.held["cpu"] == 100

    play(story)


def test_a_job_created_again_under_its_name_waits_as_a_new_one() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi", template=slow())
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.admit("pi-job-qu")
        before = await cluster.until_phase("pi-job-qu", Phase.RUNNING)
        await cluster.client.delete(JOBS, "default", "pi", propagation="Background")
        await cluster.job("pi")
        await cluster.settle(5)
        after = await cluster.unit("pi-job-qu")
        assert after.uid != before.uid
        assert after.phase is Phase.ENQUEUED
        assert after.job is not None
        assert after.job.uid == (await cluster.client.get(JOBS, "default", "pi"))["metadata"]["uid"]

    play(story)


def test_the_unit_of_a_deleted_job_goes_with_it() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.client.delete(JOBS, "default", "pi", propagation="Background")
        await cluster.settle(1)
        assert await cluster.units() == []
        # Garbage collection did it; no write of ours was needed.
        assert not [path for method, path in cluster.wire.writes if method == "DELETE"]

    play(story)


def test_the_unit_of_a_job_deleted_without_garbage_collection_goes_too() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        await cluster.client.delete(JOBS, "default", "pi", propagation="Orphan")
        await cluster.settle(10)
        assert await cluster.units() == []

    play(story)


def test_a_unit_whose_job_vanished_while_nobody_watched_goes_after_a_restart() -> None:
    async def story(cluster: Cluster) -> None:
        process = cluster.start_jobs()
        await cluster.job("pi")
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        cluster.wire.cut.set()
        await cluster.kill(process)
        await cluster.client.delete(JOBS, "default", "pi", propagation="Orphan")
        cluster.start_jobs()
        await cluster.settle(10)
        assert await cluster.units() == []

    play(story)


def test_jobs_of_somebody_else_are_left_alone() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        job = {"labels": {"kueue.x-k8s.io/queue-name": "team"}}
        manifest = a_job("theirs")
        manifest["metadata"].update(job)
        await cluster.create(JOBS, manifest)
        await cluster.job("ours")
        await cluster.until_phase("ours-job-qu", Phase.ENQUEUED)
        await cluster.settle()
        assert [unit.name for unit in await cluster.units()] == ["ours-job-qu"]
        theirs = await cluster.client.get(JOBS, "default", "theirs")
        assert theirs["spec"]["suspend"] is True

    play(story)


def test_a_malformed_job_is_held_with_one_sentence_and_others_go_on() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        cluster.start_admitter(100_000)
        bad = a_tfjob("bad")
        bad["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = -4
        await cluster.create(TFJOBS, bad)
        await cluster.tfjob("good")
        await cluster.until_phase("good-tf-qu", Phase.SUCCEED)
        unit = await cluster.unit("bad-tf-qu")
        assert unit.phase is Phase.ENQUEUED
        assert unit.invalid
        said = [e for e in await cluster.client.list(EVENTS) if e["type"] == "Warning"]
        assert {(e["reason"], e["message"].split(";")[0]) for e in said} == {
            (
                "InvalidRequest",
                "spec.tfReplicaSpecs.Worker.replicas: -4 is not a number of pods",
            )
        }
        fixed = {"spec": {"tfReplicaSpecs": {"Worker": {"replicas": 1}}}}
        await cluster.patch(TFJOBS, "bad", fixed)
        await cluster.until_phase("bad-tf-qu", Phase.SUCCEED)

    play(story)


def test_a_unit_that_no_longer_names_its_job_is_replaced() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.settle()
        before = await cluster.unit("pi-job-qu")
        await cluster.patch(QUEUE_UNITS, "pi-job-qu", {"spec": {"consumerRef": None}})
        await cluster.settle()
        after = await cluster.unit("pi-job-qu")
        assert after.uid != before.uid
        assert after.job == before.job
        assert after.submitted // 1_000_000 == before.submitted // 1_000_000

    play(story)


def test_a_unit_the_server_refuses_is_a_warning_on_the_job() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        manifest = a_tfjob("odd")
        manifest["metadata"]["annotations"]["kube-queue/queue-name"] = "q" * 254
        await cluster.create(TFJOBS, manifest)
        await cluster.settle(5)
        assert await cluster.units() == []
        said = [e for e in await cluster.client.list(EVENTS) if e["type"] == "Warning"]
        assert [e["reason"] for e in said] == ["InvalidJob"]
        assert len(cluster.wire.writes) < 12

    play(story)


def test_requests_and_priorities_follow_what_surrounds_the_job() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        template: dict[str, Any] = {
            "spec": {
                "restartPolicy": "Never",
                "priorityClassName": "urgent",
                "containers": [{"name": "main", "image": "busybox"}],
            }
        }
        await cluster.job("pi", template=template)
        unit = await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        assert (unit.priority, unit.request["cpu"]) == (0, 0)
        urgent = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        }
        await cluster.client.create(PRIORITY_CLASSES, urgent)
        limits = {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "limits", "namespace": "default"},
            "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "300m"}}]},
        }
        await cluster.client.create(LIMIT_RANGES, limits)
        await cluster.settle()
        unit = await cluster.unit("pi-job-qu")
        assert (unit.priority, unit.request["cpu"]) == (1000, 300)

    play(story)


def test_a_held_job_whose_operator_starts_it_anyway_is_charged_with_a_warning() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        job = await cluster.tfjob("job1")
        await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "job1-worker-0",
                "namespace": "default",
                "ownerReferences": [
                    {
                        "apiVersion": "kubeflow.org/v1",
                        "kind": "TFJob",
                        "name": "job1",
                        "uid": job["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": a_template()["spec"] | {"containers": [{"name": "main", "image": "busybox"}]},
        }
        await cluster.client.create(PODS, pod)
        unit = await cluster.until_phase("job1-tf-qu", Phase.DEQUEUED)
        assert unit.held["cpu"] == 3000
        await cluster.settle()
        said = {e["reason"] for e in await cluster.client.list(EVENTS) if e["type"] == "Warning"}
        assert "SuspendIgnored" in said

    play(story, simulated=False)


def test_a_storm_of_new_jobs_does_not_delay_a_release() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.job("first")
        cluster.start_jobs()
        await cluster.until_phase("first-job-qu", Phase.ENQUEUED)
        await asyncio.gather(*(cluster.job(f"storm-{number}") for number in range(300)))
        await cluster.admit("first-job-qu")
        await cluster.settle(2)
        order = [path for method, path in cluster.wire.writes if "/events" not in path]
        release = next(i for i, path in enumerate(order) if path.endswith("/jobs/first"))
        created = sum(path.endswith("/queueunits") for path in order)
        assert created == 301
        assert release < 301
        assert cluster.writes is not None
        assert cluster.writes.counts[Lane.CREATE, "failed"] == 0

    play(story, simulated=False)


def slow() -> dict[str, Any]:
    return a_template(
        "100m",
        terminationGracePeriodSeconds=0,
    ) | {"metadata": {"annotations": {"simulator.kube-queue/run-seconds": "600"}}}


def live(pod: dict[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def test_a_missing_kind_does_not_keep_the_others_from_being_queued() -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.client.delete(CRDS, "", "tfjobs.kubeflow.org")
        cluster.start_jobs()
        await cluster.job("pi")
        await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        try:
            await cluster.client.list(TFJOBS)
        except NotFound:
            return
        raise AssertionError("the kind is still served")

    play(story, simulated=False)


def test_of_two_trees_the_older_says_which_queue_a_unit_waits_in() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.start_jobs()
        for name, leaf in (("b", "default"), ("a", "other")):
            root = a_root(a_leaf(leaf, namespaces=["default"]))
            await cluster.client.create(ELASTIC_QUOTA_TREES, a_tree(root, name))
            await cluster.settle()
        await cluster.job("pi")
        unit = await cluster.until_phase("pi-job-qu", Phase.ENQUEUED)
        assert unit.queue == "root-default"

    play(story, simulated=False)
