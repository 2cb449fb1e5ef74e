from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks import write_floor
from benchmarks.kueue_load import (
    LEAVES,
    PARENTS,
    SHAPES,
    Seen,
    finish_patch,
    places,
    quota_path,
    requeue_patch,
    shapes,
    tree,
    unit,
)
from kube_queue.api.lifecycle import Phase
from kube_queue.api.quota import parse_tree, queue_name
from kube_queue.api.units import project_unit


def test_the_whole_load_is_fifteen_thousand_units() -> None:
    assert PARENTS * LEAVES * sum(shape.count for shape in shapes(1.0)) == 15_000


def test_a_scaled_load_keeps_its_pace_and_at_least_one_unit_of_each_class() -> None:
    tiny = shapes(0.001)
    assert [shape.count for shape in tiny] == [1, 1, 1]
    assert [shape.interval for shape in tiny] == [shape.interval for shape in SHAPES]


def test_the_tree_breaks_no_rule_and_has_the_quota_of_every_namespace() -> None:
    parsed, violations = parse_tree(tree())
    assert violations == ()
    assert parsed is not None
    for parent, leaf in places():
        namespace = unit(parent, leaf, SHAPES[0], 0)["metadata"]["namespace"]
        found = parsed.leaf_for("", namespace)
        assert found is not None
        assert found.path == quota_path(parent, leaf)


def test_a_unit_is_readable_and_waits_in_the_queue_of_its_leaf() -> None:
    large = SHAPES[2]
    seen = project_unit(_served(unit(1, 2, large, 3)))
    assert seen.invalid == ""
    assert seen.queue == queue_name(quota_path(1, 2))
    assert (seen.priority, seen.request["cpu"]) == (large.priority, large.cpu * 1000)


def test_an_evicted_unit_is_put_back_into_its_queue_holding_nothing() -> None:
    served = _served(unit(0, 0, SHAPES[0], 0))
    served["status"] = {
        "phase": "Dequeued",
        "conditions": [{"type": "Evicted", "status": "True", "reason": "Reclaimed"}],
    }
    seen = Seen.of(served)
    assert seen.evicted
    assert not seen.runs
    requeued = project_unit({**served, "status": requeue_patch(seen)["status"]})
    assert requeued.phase is Phase.ENQUEUED
    assert not requeued.evicted
    assert not requeued.held


def test_the_floor_has_every_unit_of_the_load_once() -> None:
    names = Counter(
        (manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        for manifest, _ in write_floor.work(0.02)
    )
    assert set(names.values()) == {1}
    assert len(names) == PARENTS * LEAVES * sum(shape.count for shape in shapes(0.02))


def test_the_floor_admits_a_unit_to_its_quota_at_its_version() -> None:
    manifest, quota = next(write_floor.work(0.02))
    patch = write_floor.admit_patch(_served(manifest), quota, 1.7e9)
    assert patch["metadata"] == {"uid": "u-1", "resourceVersion": "7"}
    assert patch["status"]["phase"] == Phase.DEQUEUED.value
    assert quota in patch["status"]["message"]
    assert patch["status"]["admissions"] == [
        {"name": "main", "replicas": 1, "resources": {"cpu": "1"}}
    ]


def test_a_finish_names_the_unit_by_uid_only() -> None:
    assert finish_patch("u-1") == {
        "metadata": {"uid": "u-1"},
        "status": {"phase": Phase.SUCCEED.value},
    }


def _served(manifest: dict[str, Any]) -> dict[str, Any]:
    given = {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**manifest, "metadata": {**manifest["metadata"], **given}}
