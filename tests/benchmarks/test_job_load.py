from __future__ import annotations

from typing import Any

import pytest

from benchmarks.job_load import NAMESPACE, Releases, Seen, end_patch, job, tree
from benchmarks.job_path import writes_to_admit
from benchmarks.job_side import counted
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.quota import parse_tree
from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import Hold
from kube_queue.jobframework.view import view_job
from kube_queue.kube.lanes import Lane
from kube_queue_extensions.job import JobExtension


def test_a_job_waits_for_its_release_and_asks_for_one_cpu() -> None:
    manifest = _served(job(3))
    view = view_job(JobExtension(), manifest)
    assert view.foreign == ""
    assert view.state.hold is Hold.SPEC
    (pods,) = JobExtension().pod_sets(manifest)
    assert pods.template is not None
    assert pods.count == 1
    assert pod_request(pods.template["spec"], "") == ResourceVector.parse({"cpu": "1"})


def test_the_tree_gives_the_jobs_the_room_they_share() -> None:
    parsed, violations = parse_tree(tree(100))
    assert violations == ()
    assert parsed is not None
    leaf = parsed.leaf_for("", NAMESPACE)
    assert leaf is not None
    assert leaf.max["cpu"] == 100_000


def test_the_ending_write_is_read_as_a_job_that_succeeded() -> None:
    released = merged(_served(job(0)), JobExtension().resume(job(0)))
    ended = merged(released, end_patch("u-1", 1.7e9, 1.7e9 + 1))
    outcome = JobExtension().state(ended).outcome
    assert outcome is not None
    assert outcome.succeeded
    assert ended["status"]["startTime"] < ended["status"]["completionTime"]


def test_a_job_without_suspend_is_seen_as_released() -> None:
    manifest = _served(job(0))
    assert Seen.of(manifest).suspended
    del manifest["spec"]["suspend"]
    assert not Seen.of(manifest).suspended


def test_each_release_is_paired_with_the_earliest_end_not_paired_yet() -> None:
    releases = Releases()
    releases.released(0.5)
    for at in (1.0, 2.0):
        releases.ended(at)
    for at in (2.5, 2.75):
        releases.released(at)
    assert releases.latencies == [1.5, 0.75]


def test_writes_to_admit_are_those_from_creation_to_release_of_both_processes() -> None:
    controller = {"admit": {"sent": 10, "failed": 1}, "event": {"sent": 99}}
    jobs = {
        "create": {"sent": 10},
        "resume": {"sent": 10, "superseded": 4},
        "progress": {"sent": 9},
    }
    assert writes_to_admit(controller, jobs, 10) == pytest.approx(3.1)


def test_the_job_sides_writes_are_told_by_lane() -> None:
    counts = {(Lane.CREATE, "sent"): 2, (Lane.CREATE, "failed"): 1, (Lane.RESUME, "sent"): 1}
    assert counted(counts) == {"create": {"sent": 2, "failed": 1}, "resume": {"sent": 1}}


def _served(manifest: dict[str, Any]) -> dict[str, Any]:
    given = {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**manifest, "metadata": {**manifest["metadata"], **given}}
