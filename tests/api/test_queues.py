"""The projection of a Queue: unknown policies behave as Round and are remembered as unknown."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.names import PRIORITY_THRESHOLD_ANNOTATION
from kube_queue.api.queues import Policy, project_queue


def a_queue(spec: object = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "kube-queue", "name": "q", **metadata}, "spec": spec}


@pytest.mark.parametrize(
    ("policy", "behaves_as", "unknown"),
    [
        (None, None, False),
        ("", None, False),
        ("Round", Policy.ROUND, False),
        ("Priority", Policy.PRIORITY, False),
        ("Block", Policy.BLOCK, False),
        ("Intelligent", Policy.INTELLIGENT, False),
        ("Backfill", Policy.BACKFILL, False),
        ("Lottery", Policy.ROUND, True),
        ("block", Policy.ROUND, True),
        (7, Policy.ROUND, True),
        (["Block"], Policy.ROUND, True),
    ],
)
def test_an_unknown_policy_behaves_as_round_and_an_absent_one_as_the_default(
    policy: object, behaves_as: Policy | None, unknown: bool
) -> None:
    queue = project_queue(a_queue({"queuePolicy": policy}))
    assert (queue.policy, queue.policy_unknown) == (behaves_as, unknown)


def test_an_automatic_queue_knows_its_leaf() -> None:
    queue = project_queue(
        a_queue(
            {"priority": 3},
            annotations={"kube-queue/quota-path": "root/a"},
            labels={"create-by-kubequeue": "true"},
        )
    )
    assert (queue.key, queue.priority) == ("kube-queue/q", 3)
    assert (queue.quota_path, queue.created_by_us) == ("root/a", True)


@pytest.mark.parametrize("spec", [None, [], "x", {"priority": "high"}, {"priority": True}])
def test_odd_content_takes_the_default(spec: object) -> None:
    queue = project_queue(a_queue(spec, labels=[], annotations=5))
    assert (queue.priority, queue.policy, queue.created_by_us) == (0, None, False)


@pytest.mark.parametrize(
    ("written", "threshold", "unread"),
    [
        (None, 4, ""),
        ("7", 7, ""),
        ("-3", -3, ""),
        (" 10 ", 10, ""),
        ("high", 4, "'high'"),
        ("1.5", 4, "'1.5'"),
        ("", 4, "''"),
        (5, 4, "5"),
    ],
)
def test_the_threshold_is_an_integer_or_four(written: object, threshold: int, unread: str) -> None:
    queue = project_queue(
        {"metadata": {"annotations": {PRIORITY_THRESHOLD_ANNOTATION: written}}, "spec": {}}
    )
    assert (queue.threshold, queue.threshold_unread) == (threshold, unread)
