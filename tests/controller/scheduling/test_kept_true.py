"""Whatever changes in a cluster, and however quiet it is: who waits is told why, and is who a
scheduler that starts now would leave waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.errors import AlreadyExists, NotFound
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
)
from kube_queue.config import Settings
from kube_queue.placement.units import UnitKey
from tests.controller.queueing.world import a_leaf, a_root
from tests.controller.scheduling.world import Object, World, a_node, a_pod, in_world
from tests.placement.builders import ZONE, PodBuilder, term

# Nodes are kept for nobody: a scheduler that starts now would not keep them.
PATIENT = Settings().replaced(scheduler={"reserve_after_seconds": 1e9})
QUIET = 30.0
"""Seconds in which every backoff of a unit is over."""
MORE = 300.0
"""Seconds after which one whose room was taken may evict again."""
NODE_NAMES, APPS, TEAMS = ("n0", "n1", "n2"), ("red", "blue"), ("team-a", "team-b")
OURS, THEIRS = ("p0", "p1", "p2", "p3", "g0", "g1"), ("f0", "f1")

Change = Callable[[World], Awaitable[None]]
names, apps, teams = st.sampled_from(NODE_NAMES), st.sampled_from(APPS), st.sampled_from(TEAMS)
cpus = st.integers(1, 4)


def node(name: str, zone: str, cpu: int, cordoned: bool) -> Change:
    async def change(world: World) -> None:
        made = a_node(name).in_zone(zone).having(cpu=cpu)
        with contextlib.suppress(AlreadyExists):
            await world.create(made)
        patch = {"spec": {"unschedulable": cordoned}, "metadata": {"labels": {ZONE: zone}}}
        await world.user.patch(NODES, "", name, patch)
        status = {"status": {"allocatable": {"cpu": str(cpu)}}}
        await world.user.patch(NODES, "", name, status, subresource="status")

    return change


def no_node(name: str) -> Change:
    async def change(world: World) -> None:
        await world.user.delete(NODES, "", name)
        for pod in await world.user.list(PODS):
            if pod["spec"].get("nodeName") == name:
                await gone(world, pod)

    return change


def ours(
    name: str, team: str, cpu: int, app: str, priority: int, demand: Callable[..., PodBuilder]
) -> Change:
    async def change(world: World) -> None:
        pod = a_pod(name).of_namespace(team).asking(cpu=cpu).labelled(app=app)
        pod = pod.of_class(f"level-{priority}")
        await world.create(demand(pod.of_gang("g", 2) if name.startswith("g") else pod))

    return change


def theirs(name: str, home: str, cpu: int, app: str) -> Change:
    async def change(world: World) -> None:
        try:
            await world.user.get(NODES, "", home)
            pod = a_pod(name).of_scheduler("other").asking(cpu=cpu).labelled(app=app)
            await world.create(pod)
            await world.bind(name, home)
        except AlreadyExists:
            patch = {"metadata": {"labels": {"app": app}}}
            await world.user.patch(PODS, "default", name, patch)

    return change


def no_pod(name: str) -> Change:
    async def change(world: World) -> None:
        for pod in await world.user.list(PODS):
            if pod["metadata"]["name"] == name:
                await gone(world, pod)

    return change


def quotas(most: int, least: int) -> Change:
    async def change(world: World) -> None:
        leaves = [a_leaf(team, cpu=most, min={"cpu": min(least, most)}) for team in TEAMS]
        root = a_root(*leaves, cpu=6, min={"cpu": 6})
        try:
            await world.create_tree(root)
        except AlreadyExists:
            await world.change_tree(root)

    return change


async def no_quotas(world: World) -> None:
    await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")


def of_color(team: str, color: str) -> Change:
    async def change(world: World) -> None:
        await world.user.patch(NAMESPACES, "", team, {"metadata": {"labels": {"color": color}}})

    return change


def budget(team: str, app: str) -> Change:
    async def change(world: World) -> None:
        made = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "steady", "namespace": team},
            "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": app}}},
        }
        await world.user.create(POD_DISRUPTION_BUDGETS, made)

    return change


def no_budget(team: str) -> Change:
    async def change(world: World) -> None:
        await world.user.delete(POD_DISRUPTION_BUDGETS, team, "steady")

    return change


def demands() -> Iterator[st.SearchStrategy[Callable[[PodBuilder], PodBuilder]]]:
    yield st.just(lambda pod: pod)
    yield st.just(lambda pod: pod.spread_over())
    yield apps.map(lambda app: lambda pod: pod.near(ZONE, app=app))
    yield apps.map(lambda app: lambda pod: pod.away_from(ZONE, app=app))
    yield apps.map(lambda app: lambda pod: pod.related("podAffinity", reddish(app)))


def reddish(app: str) -> dict[str, Any]:
    return term(ZONE, {"app": app}, namespaceSelector={"matchLabels": {"color": "red"}})


changes: st.SearchStrategy[Change] = st.one_of(
    *(
        st.builds(ours, st.sampled_from(OURS), teams, cpus, apps, st.integers(0, 2), each)
        for each in demands()
    ),
    st.builds(node, names, st.sampled_from(("z0", "z1")), st.integers(2, 6), st.booleans()),
    names.map(no_node),
    st.builds(theirs, st.sampled_from(THEIRS), names, cpus, apps),
    st.sampled_from(OURS + THEIRS).map(no_pod),
    st.builds(quotas, st.integers(1, 6), st.integers(0, 3)),
    st.just(no_quotas),
    st.builds(of_color, teams, apps),
    st.builds(budget, teams, apps),
    teams.map(no_budget),
)


async def gone(world: World, pod: Object) -> None:
    metadata = pod["metadata"]
    with contextlib.suppress(NotFound):
        await world.delete_pod(metadata["name"], namespace=metadata["namespace"])


async def rest(world: World) -> None:
    """Whoever was told to leave has left, and whoever may come has come."""
    for _ in range(10):
        await world.settle(QUIET)
        leaving = [p for p in await world.user.list(PODS) if "deletionTimestamp" in p["metadata"]]
        if not leaving:
            return
        for pod in leaving:
            await gone(world, pod)
    raise AssertionError("somebody has to leave again and again")


async def untold(world: World) -> list[str]:
    """Who waits and is not told why it does."""
    found = []
    for pod in await world.user.list(PODS):
        metadata = pod["metadata"]
        if pod["spec"].get("nodeName"):
            continue
        where, name = metadata["namespace"], metadata["name"]
        whole = (
            UnitKey(where, "g") if name.startswith("g") else UnitKey(where, name, metadata["uid"])
        )
        answer = world.side.cache.told(whole)
        conditions = pod.get("status", {}).get("conditions") or [{}]
        told = [one.get("message", "") for one in conditions if one.get("type") == "PodScheduled"]
        if answer is None or metadata["uid"] not in answer.why:
            found.append(f"{name} was never answered")
            continue
        wanted = f"{answer.why[metadata['uid']].message} {answer.note}".strip()
        if told != [wanted]:
            found.append(f"{name} is told {told} and waits: {wanted}")
    return found


async def begin(world: World) -> None:
    """Two nodes of two zones, a pod of another scheduler on each, and three of ours, of which one
    waits for quota, and one for what it wants to be near.
    """
    for level in range(3):
        await world.create_priority(f"level-{level}", level)
    await quotas(3, 2)(world)
    for name, zone, pod, app in zip(NODE_NAMES, ("z0", "z1"), THEIRS, APPS, strict=False):
        await node(name, zone, 4, False)(world)
        await theirs(pod, name, 1, app)(world)
    await ours("p0", "team-a", 2, "red", 0, lambda pod: pod)(world)
    await ours("p1", "team-a", 2, "red", 0, lambda pod: pod)(world)
    await ours("p2", "team-b", 1, "blue", 1, lambda pod: pod.near(ZONE, app="blue"))(world)


@settings(max_examples=25, deadline=None)
@given(st.lists(changes, min_size=8, max_size=24))
def test_who_waits_is_told_why_and_would_wait_after_a_restart(life: Sequence[Change]) -> None:
    async def story(world: World) -> None:
        await begin(world)
        for change in life:
            with contextlib.suppress(AlreadyExists, NotFound):
                await change(world)
            await rest(world)
            assert await untold(world) == []
        await world.settle(MORE)
        await rest(world)
        before = await world.nodes_of()
        await world.kill()
        await world.start()
        await rest(world)
        assert await world.nodes_of() == before

    in_world(story, PATIENT)
