"""Suspended jobs that are somebody else's, and when one becomes theirs."""

from __future__ import annotations

import pytest

from kube_queue.jobframework.decisions import (
    CreateUnit,
)
from tests.jobframework.builders import (
    batch_world,
    kinds,
)


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}},
        {"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}},
        {
            "metadata": {
                "ownerReferences": [
                    {
                        "apiVersion": "jobset.x-k8s.io/v1alpha2",
                        "kind": "JobSet",
                        "name": "set",
                        "uid": "u",
                        "controller": True,
                    }
                ]
            }
        },
    ],
)
def test_a_suspended_job_of_somebody_else_is_left_alone(patch: dict[str, object]) -> None:
    assert batch_world().job_is(patch).plan() == ()


def test_a_suspended_job_of_a_cron_job_is_queued() -> None:
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "nightly",
        "uid": "u",
        "controller": True,
    }
    world = batch_world().job_is({"metadata": {"ownerReferences": [owner]}})
    assert isinstance(world.plan()[0], CreateUnit)


def test_a_waiting_job_that_is_handed_to_somebody_else_loses_its_unit() -> None:
    world = batch_world()
    world.go()
    world.job_is({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}})
    assert kinds(world.go()) == ["DeleteUnit"]
