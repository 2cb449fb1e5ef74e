"""Answers of the server count until the watch has caught up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kube_queue.app.virtual_time import run_virtual
from kube_queue.controller.jobs.answers import TRUST_SECONDS, Answers
from kube_queue.controller.jobs.patience import Patience
from kube_queue.controller.jobs.pods import PodCounts
from kube_queue.controller.jobs.records import JobKey, PodOwner, PodRecord, pod_record
from kube_queue.jobframework.decisions import Topic, Wait
from kube_queue.jobframework.unit_status import Pods

KEY = JobKey("job", "default", "pi")


@dataclass(frozen=True)
class Thing:
    uid: str
    resource_version: str


def test_an_answer_counts_until_the_watch_tells_of_it_or_of_something_later() -> None:
    async def story() -> None:
        answers = Answers[Thing]()
        answers.keep(KEY, Thing("u", "9"))
        assert answers.present(KEY, None) == Thing("u", "9")
        assert answers.present(KEY, Thing("u", "8")) == Thing("u", "9")
        assert answers.present(KEY, Thing("u", "10")) == Thing("u", "10")
        assert answers.present(KEY, Thing("u", "8")) == Thing("u", "8")
        assert len(answers) == 0

    run_virtual(story())


def test_versions_that_are_no_numbers_leave_it_to_the_watch() -> None:
    async def story() -> None:
        answers = Answers[Thing]()
        answers.keep(KEY, Thing("u", "abc"))
        assert answers.present(KEY, Thing("u", "8")) == Thing("u", "8")

    run_virtual(story())


def test_a_deleted_object_is_gone_although_the_watch_still_shows_it() -> None:
    async def story() -> None:
        answers = Answers[Thing]()
        answers.keep(KEY, Thing("u", "9"))
        answers.gone(KEY, "u")
        assert answers.present(KEY, Thing("u", "9")) is None
        assert answers.present(KEY, Thing("next", "11")) == Thing("next", "11")

    run_virtual(story())


def test_an_answer_the_watch_never_tells_of_becomes_stale_instead_of_wrong() -> None:
    async def story() -> None:
        answers = Answers[Thing]()
        answers.keep(KEY, Thing("u", "9"))
        assert not answers.stale(KEY)
        await asyncio.sleep(TRUST_SECONDS)
        assert answers.stale(KEY)
        assert answers.present(KEY, Thing("u", "8")) == Thing("u", "9")
        answers.forget(KEY)
        assert not answers.stale(KEY)

    run_virtual(story())


def test_waiting_for_a_topic_is_counted_from_the_first_wish_without_a_break() -> None:
    async def story() -> None:
        patience = Patience()
        assert patience.asked(KEY, [Wait(Topic.JOB_GONE, 3.0), Wait(Topic.POD_STATE, 2.0)]) == 2.0
        await asyncio.sleep(1)
        assert patience.asked(KEY, [Wait(Topic.JOB_GONE, 2.0)]) == 2.0
        await asyncio.sleep(1)
        assert patience.waited(KEY) == {Topic.JOB_GONE: 2.0}
        assert patience.asked(KEY, []) is None
        assert patience.waited(KEY) == {}

    run_virtual(story())


def a_pod(phase: str = "Pending", *, node: str = "", leaving: bool = False) -> PodRecord:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "pi", "uid": "u", "controller": True}
    metadata = {"namespace": "default", "name": "pi-0", "uid": "p", "ownerReferences": [owner]}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    return pod_record(
        {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}
    )


def test_pods_are_counted_through_their_whole_life() -> None:
    told: list[tuple[str, PodOwner, Pods, Pods]] = []
    counts = PodCounts(lambda *change: told.append(change), lambda *_: None)
    life: list[tuple[PodRecord | None, Pods]] = [
        (a_pod(), Pods(pending=1)),
        (a_pod("Running", node="n"), Pods(on_node=1)),
        (a_pod("Running", node="n", leaving=True), Pods(on_node=1, leaving=1)),
        (a_pod("Failed", node="n", leaving=True), Pods()),
        (None, Pods()),
    ]
    old: PodRecord | None = None
    for new, expected in life:
        counts.seen(old, new)
        assert counts.of("u") == expected
        old = new
    assert [after for *_, after in told] == [pods for _, pods in life[:4]]
    assert all(namespace == "default" for namespace, *_ in told)


def test_pods_nobody_controls_are_not_counted() -> None:
    counts = PodCounts(lambda *_: None, lambda *_: None)
    counts.seen(None, pod_record({"metadata": {"name": "lone", "uid": "p"}}))
    assert counts.of("") == Pods()


def test_a_pod_that_is_a_job_counts_for_it_once_nothing_holds_it() -> None:
    told: list[tuple[JobKey, Pods, Pods]] = []
    counts = PodCounts(lambda *_: None, lambda *change: told.append(change))
    key = JobKey("pod", "default", "lone")
    pod = {"metadata": {"namespace": "default", "name": "lone", "uid": "p"}}
    held = pod_record({**pod, "spec": {}}, part=key)
    free = pod_record({**pod, "spec": {}}, part=key, free=True)
    counts.seen(None, held)
    assert counts.of(key) == Pods()
    counts.seen(held, free)
    counts.seen(free, None)
    assert told == [(key, Pods(), Pods(pending=1)), (key, Pods(pending=1), Pods())]
