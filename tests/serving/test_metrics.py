"""Every metric of the catalogue has the value it should have after a small day at work."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kube_queue.api.types import QUEUES
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.client import Client
from kube_queue.observability.catalogue import METRICS
from kube_queue.observability.meters import Meters
from kube_queue.serving.readings import SchedulerSources, Sources, readings, scheduler_readings
from tests.controller.queueing.world import World, a_leaf, a_root, world
from tests.controller.scheduling import world as scheduling

Key = tuple[str, tuple[tuple[str, str], ...]]

QUEUE = (("queue", "root-default"),)
QUEUE_AND_KIND = (("kind", "Job"), ("queue", "root-default"))


def cpu_of(path: str) -> tuple[tuple[str, str], ...]:
    return (("quota", path), ("resource", "cpu"))


PROVEN: dict[Key, float] = {
    ("kube_queue_pending_units", QUEUE): 1,
    ("kube_queue_reserved_units", QUEUE): 1,
    ("kube_queue_admitted_units", QUEUE): 1,
    ("kube_queue_admission_wait_seconds_count", QUEUE_AND_KIND): 2,
    ("kube_queue_e2e_seconds_count", QUEUE_AND_KIND): 1,
    ("kube_queue_e2e_seconds_sum", QUEUE_AND_KIND): 11,
    ("kube_queue_admission_attempts_total", (("result", "admitted"),)): 2,
    ("kube_queue_quota_used", cpu_of("root")): 3.5,
    ("kube_queue_quota_min", cpu_of("root/default")): 1,
    ("kube_queue_quota_max", cpu_of("root/default")): 4,
    ("kube_queue_quota_request", cpu_of("root/default")): 6.5,
    ("kube_queue_evictions_total", (("reason", "Reclaimed"),)): 1,
    ("kube_queue_api_writes_total", (("lane", "admit"), ("result", "sent"))): 2,
    ("kube_queue_events_dropped_total", ()): 0,
    ("kube_queue_informer_objects", (("resource", "queueunits"),)): 4,
    ("kube_queue_informer_lag_seconds_count", ()): 2,
    ("kube_queue_leader", ()): 1,
}
PROVEN_OF_SCHEDULER: dict[Key, float] = {
    ("kube_queue_scheduling_attempts_total", (("result", "scheduled"),)): 1,
    ("kube_queue_binding_seconds_count", ()): 1,
    ("kube_queue_waiting_scheduling_units", ()): 1,
}
AT_LEAST: dict[Key, float] = {
    ("kube_queue_cycle_seconds_count", ()): 2,
    ("kube_queue_api_requests_total", (("verb", "patch"),)): 2,
}


async def a_day(world: World) -> None:
    """One unit ended, one runs and is evicted, one has its quota reserved, one waits."""
    await world.create_tree(a_root(a_leaf("default", cpu=4, min={"cpu": 1})))
    await world.settle()
    await world.create_unit("ends", cpu=2, job="j1")
    await world.settle(11)
    await world.finish("ends")
    await world.create_unit("runs", cpu=3, job="j2")
    await world.settle()
    checked = {"spec": {"admissionChecks": [{"name": "budget"}]}}
    await world.user.patch(QUEUES, "kube-queue", "root-default", checked)
    await world.create_unit("reserved", cpu="500m")
    held = [{"name": "main", "replicas": 1, "resources": {"cpu": "500m"}}]
    pending = [{"name": "budget", "state": "Pending"}]
    status = {"phase": "Reserved", "admissions": held, "admissionChecks": pending}
    await world.set_status("reserved", status)
    await world.create_unit("waits", cpu=3)
    evicted = {"type": "Evicted", "status": "True", "reason": "Reclaimed"}
    await world.set_status("runs", {"reason": "Reclaimed", "conditions": [evicted]})
    await world.settle(5)


def values_after_a_day() -> dict[Key, float]:
    async def play() -> bytes:
        async with world() as made:
            sources = Sources(
                made.side_client, lambda: made.side, lambda: made.scheduler, lambda: True
            )
            made.meters.read_from(lambda: readings(sources))
            await a_day(made)
            return made.meters.text()

    return parsed(run_virtual(play()))


def values_of_scheduler() -> dict[Key, float]:
    async def play() -> bytes:
        async with scheduling.world() as made:
            sources = SchedulerSources(Client(made.recorder), made.side, None)
            made.meters.read_from(lambda: scheduler_readings(sources))
            await made.create(scheduling.a_node("n1").having(cpu="1"))
            await made.create(*[scheduling.a_pod(name).asking(cpu="1") for name in ("p", "q")])
            await made.settle()
            return made.meters.text()

    return parsed(run_virtual(play()))


def parsed(text: bytes) -> dict[Key, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def values() -> dict[Key, float]:
    return values_after_a_day()


@pytest.mark.parametrize("key", PROVEN, ids=str)
def test_a_metric_has_the_value_of_the_world(values: dict[Key, float], key: Key) -> None:
    assert values[key] == PROVEN[key]


@pytest.fixture(scope="module")
def scheduler_values() -> dict[Key, float]:
    return values_of_scheduler()


@pytest.mark.parametrize("key", PROVEN_OF_SCHEDULER, ids=str)
def test_a_metric_of_the_scheduler_has_the_value_of_the_world(
    scheduler_values: dict[Key, float], key: Key
) -> None:
    assert scheduler_values[key] == PROVEN_OF_SCHEDULER[key]


@pytest.mark.parametrize("key", AT_LEAST, ids=str)
def test_a_metric_counts(values: dict[Key, float], key: Key) -> None:
    assert values[key] >= AT_LEAST[key]


def test_every_metric_is_proven_and_nothing_else_is_exported(
    values: dict[Key, float], scheduler_values: dict[Key, float]
) -> None:
    def family(name: str) -> str:
        for end in ("_count", "_sum", "_bucket"):
            name = name.removesuffix(end)
        return name

    known = {metric.name for metric in METRICS}
    assert {family(name) for name, _ in (*PROVEN, *AT_LEAST, *PROVEN_OF_SCHEDULER)} == known
    assert {family(name) for name, _ in (*values, *scheduler_values)} == known


def test_labels_are_those_of_the_catalogue(
    values: dict[Key, float], scheduler_values: dict[Key, float]
) -> None:
    by_name = {metric.name: set(metric.labels) for metric in METRICS}
    for name, labels in (*values, *scheduler_values):
        if name in by_name:
            assert {label for label, _ in labels} == by_name[name]


def test_two_processes_of_one_interpreter_share_no_counts() -> None:
    one, other = Meters(), Meters()
    one.attempt("admitted")
    assert b'{result="admitted"}' in one.text()
    assert b'{result="admitted"}' not in other.text()


def test_a_clock_set_back_makes_no_negative_wait() -> None:
    meters = Meters()
    meters.admitted("q", "Job", -5.0)
    line = 'kube_queue_admission_wait_seconds_sum{kind="Job",queue="q"} 0.0'
    assert line in meters.text().decode()
