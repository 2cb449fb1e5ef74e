"""What is said of units, Queues and the tree becomes true, however quiet it is when they change."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.errors import AlreadyExists, Forbidden, NotFound
from kube_queue.api.types import ELASTIC_QUOTA_TREES, PODS, QUEUES, RESOURCE_QUOTAS
from kube_queue.config import Settings
from kube_queue.controller.queueing.reasons import worth_writing
from tests.controller.queueing.pods_world import a_pod
from tests.controller.queueing.test_resource_quotas import BY_NAMESPACE, set_quota
from tests.controller.queueing.world import World, a_leaf, a_root, in_world, phase_of

QUIET = 60.0
"""Seconds in which everything is over that a change leads to, backoffs among it."""
NAMES = ("a", "b", "c", "d")

Change = tuple[str, str, int]
names = st.sampled_from(NAMES)
changes = st.one_of(
    st.tuples(st.just("unit"), names, st.integers(1, 8)),
    st.tuples(st.just("resize"), names, st.integers(1, 8)),
    st.tuples(st.just("priority"), names, st.integers(0, 3)),
    st.tuples(st.just("finish"), names, st.just(0)),
    st.tuples(st.just("elsewhere"), names, st.integers(0, 1)),
    st.tuples(st.just("pod"), names, st.integers(1, 4)),
    st.tuples(st.just("no pod"), names, st.just(0)),
    st.tuples(st.just("quota"), st.just(""), st.integers(0, 8)),
    st.tuples(st.just("no quota"), st.just(""), st.just(0)),
    st.tuples(st.just("stop"), st.sampled_from(("Hold", "None")), st.just(0)),
    st.tuples(
        st.just("policy"),
        st.sampled_from(("Round", "Block", "Priority", "Intelligent", "Backfill")),
        st.just(0),
    ),
)


@dataclass(frozen=True)
class Quota:
    """What says how much cpu there is, and the Queue of all units."""

    settings: Settings
    queue: str
    give: Callable[[World, int], Awaitable[None]]
    take_away: Callable[[World], Awaitable[None]]


async def give_by_tree(world: World, cpu: int) -> None:
    root = a_root(a_leaf("default", cpu=cpu))
    try:
        await world.create_tree(root)
    except AlreadyExists:
        await world.change_tree(root)


async def without_tree(world: World) -> None:
    await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")


async def give_by_namespace(world: World, cpu: int) -> None:
    await set_quota(world, {"cpu": str(cpu)})


async def without_resource_quota(world: World) -> None:
    await world.user.delete(RESOURCE_QUOTAS, "default", "compute")


QUOTAS = {
    "tree": Quota(Settings(), "root-default", give_by_tree, without_tree),
    "namespace": Quota(BY_NAMESPACE, "ns-default", give_by_namespace, without_resource_quota),
}


async def change(world: World, quota: Quota, what: str, name: str, number: int) -> None:
    """One thing a user does; what cannot be done now is not done."""
    match what:
        case "unit":
            await world.create_unit(name, cpu=number, queue=quota.queue)
        case "resize":
            if phase_of(await world.unit(name)) == "Enqueued":
                await world.change_unit(name, {"resource": {"cpu": str(number)}})
        case "priority":
            await world.change_unit(name, {"priority": number})
        case "finish":
            if phase_of(await world.unit(name)) == "Dequeued":
                await world.finish(name)
        case "elsewhere":
            await world.change_unit(name, {"queue": "nowhere" if number else quota.queue})
        case "pod":
            await a_pod(world, f"pod-{name}", str(number))
        case "no pod":
            await world.user.delete(PODS, "default", f"pod-{name}")
        case "quota":
            await quota.give(world, number)
        case "no quota":
            await quota.take_away(world)
        case "stop":
            await change_queue(world, quota, stopPolicy=name)
        case "policy":
            await change_queue(world, quota, queuePolicy=name)


async def change_queue(world: World, quota: Quota, **spec: str) -> None:
    await world.user.patch(QUEUES, "kube-queue", quota.queue, {"spec": spec})


async def begin(world: World, quota: Quota) -> None:
    """A quota of 4 cpu of which one unit holds 3, and another one waits for 3."""
    await quota.give(world, 4)
    for name in NAMES[:2]:
        await world.create_unit(name, cpu=3, queue=quota.queue)
    await world.settle(QUIET)


async def attempt(world: World, quota: Quota, each: Change) -> None:
    with contextlib.suppress(AlreadyExists, Forbidden, NotFound):
        await change(world, quota, *each)


async def see_nobody_forgotten(world: World) -> None:
    """A controller that starts now changes nothing."""
    before = await world.phases()
    await world.kill()
    await world.start()
    await world.settle(QUIET)
    assert await world.phases() == before


async def untrue(world: World) -> list[str]:
    """What is said and is not so: why a unit waits, what a Queue counts, what the tree has used."""
    found = []
    for unit in await world.units():
        answer = world.side.cache.why(unit["metadata"]["uid"])
        said = unit.get("status", {}).get("reason", "")
        if phase_of(unit) == "Enqueued" and answer and worth_writing(said, answer.reason):
            found.append(f"{unit['metadata']['name']} says {said!r} and waits: {answer.reason}")
    for queue in await world.user.list(QUEUES):
        known = world.side.cache.queue_status(f"kube-queue/{queue['metadata']['name']}")
        counts = {key: queue.get("status", {}).get(key) for key in ("pending", "admitted")}
        if known and counts != {"pending": known.pending, "admitted": known.admitted}:
            found.append(f"{queue['metadata']['name']} says {counts} and is {known}")
    for tree in await world.user.list(ELASTIC_QUOTA_TREES):
        used = tree.get("status", {}).get("root", {}).get("used", {}).get("cpu", "0")
        root = world.side.cache.quota_status()["root"].used.get("cpu", 0)
        if used != str(root // 1000):
            found.append(f"the tree says {used} cpu are used, and {root} thousandths are")
    return found


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(QUOTAS)), st.lists(changes, min_size=1, max_size=12))
def test_what_is_said_becomes_true_after_any_change(kind: str, life: Sequence[Change]) -> None:
    quota = QUOTAS[kind]

    async def story(world: World) -> None:
        await begin(world, quota)
        for each in life:
            await attempt(world, quota, each)
            await world.settle(QUIET)
            assert await untrue(world) == [], each
        await see_nobody_forgotten(world)

    in_world(story, quota.settings)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(QUOTAS)),
    st.lists(st.tuples(changes, st.sampled_from((0.1, 0.6, 1.5, 4.0))), min_size=2, max_size=12),
    st.sampled_from((0.0, 0.7, 3.0)),
)
def test_what_is_said_becomes_true_after_changes_that_overtake_each_other(
    kind: str, life: Sequence[tuple[Change, float]], lateness: float
) -> None:
    quota = QUOTAS[kind]

    async def story(world: World) -> None:
        await begin(world, quota)
        world.recorder.lateness = lateness
        for each, pause in life:
            await attempt(world, quota, each)
            await world.settle(pause)
        await world.settle(QUIET)
        assert await untrue(world) == []
        await see_nobody_forgotten(world)

    in_world(story, quota.settings)
