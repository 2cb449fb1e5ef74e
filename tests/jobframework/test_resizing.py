"""What a running job is charged once its pods are more, fewer, larger or smaller than they were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.decisions import Topic, UnitStatus
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue_extensions.raycluster import RayClusterExtension
from kube_queue_extensions.trainjob import TrainJobExtension
from tests.extensions.manifests import a_raycluster, a_trainjob
from tests.jobframework.builders import RUNNING, World, a_template, conditions, kinds, tf_world

BARE: dict[str, Any] = {"spec": {"containers": [{"name": "main"}]}}


def defaults(cpu: str) -> Surroundings:
    """A LimitRange fills in so much where a container asks for nothing."""
    return Surroundings(container_defaults={"default": ResourceVector.parse({"cpu": cpu})})


def workers(replicas: int = 2, **template: Any) -> dict[str, Any]:
    worker: dict[str, Any] = {"replicas": replicas}
    if template:
        worker["template"] = a_template(**template)
    return {"spec": {"tfReplicaSpecs": {"Worker": worker}}}


def runs(world: World) -> World:
    """It runs as it was admitted."""
    world.go()
    world.admit().go()
    world.job_is(RUNNING)
    world.go()
    # As the controller does; what else is charged is charged on top of it.
    held = [
        {"name": each.name, "replicas": each.count, "resources": each.total.manifest()}
        for each in world.view.held_sets
    ]
    return world.unit_status(admissions=held)


def settled(world: World) -> list[str]:
    """What is written until nothing is left, however long bursts of changes are waited out."""
    world.waited = dict.fromkeys(Topic, 1e6)
    return [each for each in kinds(world.go()) if each not in ("Wait", "Emit")]


def cpu(world: World) -> int:
    return world.view.unit.held["cpu"]


def test_larger_pods_are_charged_at_once_and_said() -> None:
    world = runs(tf_world()).job_is(workers(cpu="9"))
    (write,) = [each for each in world.plan() if isinstance(each, UnitStatus)]
    ((news),) = write.says
    assert (news.reason.value, news.warning) == ("Resized", False)
    assert "3 pods that ask for cpu 19, memory 3Gi" in news.message
    assert settled(world) == ["UnitStatus", "UpdateUnit"]
    assert cpu(world) == 19000
    assert world.view.unit.request == world.view.unit.held


def test_smaller_pods_are_charged_as_before_until_the_job_waits_again() -> None:
    world = runs(tf_world()).job_is(workers(cpu="100m"))
    assert settled(world) == []
    assert cpu(world) == 3000
    # Those that are left may be the ones that were there before.
    world.job_is(workers(replicas=1))
    settled(world)
    assert cpu(world) == 2000
    # And so may all but the new ones.
    world.job_is(workers(replicas=3))
    settled(world)
    assert cpu(world) == 4000
    world.evict().go()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    world.go()
    assert world.phase == "Enqueued"
    assert world.view.unit.request["cpu"] == 1300


def test_what_a_limit_range_says_later_changes_nothing_about_pods_that_are_there() -> None:
    world = tf_world()
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"template": BARE}}}})
    world.surroundings = defaults("2")
    runs(world)
    assert cpu(world) == 5000
    for amount in ("4", "1", "0"):
        world.surroundings = defaults(amount)
        assert settled(world) == []
    assert cpu(world) == 5000


def test_pods_that_come_anew_ask_for_what_the_limit_range_says_then() -> None:
    world = tf_world()
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"template": BARE}}}})
    world.surroundings = defaults("2")
    runs(world)
    world.surroundings = defaults("3")
    world.job_is(workers(replicas=3))
    settled(world)
    assert cpu(world) == 10000


def test_an_owners_word_for_more_is_charged_at_once() -> None:
    world = World(a_trainjob(annotation="cpu: 7"), TrainJobExtension())
    world.go()
    world.admit().go()
    world.job_is({"metadata": {"annotations": {"kube-queue/min-resources": "cpu: 8"}}})
    settled(world)
    assert cpu(world) == 8000


def test_worker_groups_that_are_edited_come_or_are_suspended_are_charged_as_they_are() -> None:
    def with_groups(*groups: dict[str, Any]) -> dict[str, Any]:
        return {"spec": {"workerGroupSpecs": list(groups)}}

    def group(name: str, cpu: str, **fields: Any) -> dict[str, Any]:
        return {"groupName": name, "template": a_template(cpu), "replicas": 2, **fields}

    world = World(a_raycluster(workerGroupSpecs=[group("a", "1")]), RayClusterExtension())
    world.go()
    world.admit().go()
    world.job_is({"status": {"state": "ready"}})
    world.go()
    assert cpu(world) == 3000
    world.job_is(with_groups(group("a", "2"), group("b", "3"))).go()
    assert cpu(world) == 1000 + 2 * 2000 + 2 * 3000, "at once"
    world.job_is(with_groups(group("a", "2", suspend=True), group("b", "3", replicas=1)))
    settled(world)
    assert cpu(world) == 1000 + 3000
    assert world.view.unit.request["cpu"] == 4000


@pytest.mark.parametrize("sets", [{"PS": {"replicas": 0}, "Worker": {"replicas": 0}}, None])
def test_a_job_without_pods_keeps_what_it_holds(sets: dict[str, Any] | None) -> None:
    world = runs(tf_world())
    world.job_is({"spec": {"tfReplicaSpecs": sets}})
    assert "UnitStatus" not in settled(world)
    assert cpu(world) == 3000


amounts = st.integers(0, 6)
changes = st.lists(st.tuples(st.integers(1, 5), amounts, amounts), min_size=1, max_size=5)


@given(changes)
def test_whatever_is_changed_it_is_never_charged_for_less_than_its_pods_can_take(
    steps: list[tuple[int, int, int]],
) -> None:
    """The pods that stay are the largest ones; new ones are made of template and LimitRange."""
    world = tf_world(Worker=2)
    pods = [1000, 1000]
    runs(world)
    for count, asks, default in steps:
        world.surroundings = defaults(str(default))
        template = a_template(cpu=str(asks)) if asks else BARE
        specs = {"Worker": {"replicas": count, "template": template}}
        world.job_is({"spec": {"tfReplicaSpecs": None}})
        world.job_is({"spec": {"tfReplicaSpecs": specs}})
        fresh = 1000 * (asks or default)
        pods = sorted(pods, reverse=True)[:count]
        pods += [fresh] * (count - len(pods))
        settled(world)
        assert cpu(world) >= sum(pods)
        assert world.plan() == ()
