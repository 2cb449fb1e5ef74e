"""A tree replaced while jobs run and wait: nothing that runs is disturbed."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.types import ELASTIC_QUOTA_TREES
from kube_queue.config import Settings
from kube_queue.controller.records import tree_record
from tests.controller.queueing.world import World, a_leaf, a_root, in_world

STRICT = Settings().replaced(controller={"tree_validation": "strict"})
QUOTA = "quota.scheduling.alibabacloud.com/name"


def used(world: World, path: str) -> int:
    return world.side.cache.quota_status()[path].used.get("cpu", 0)


async def running(world: World, *names: str, cpu: int = 2) -> None:
    for name in names:
        await world.create_unit(name, cpu=cpu)
    await world.settle()
    assert await world.admitted() >= set(names)


async def a_world(world: World, cpu: int = 4) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu=cpu)))
    await world.settle()


async def told(world: World, name: str) -> tuple[str, str]:
    await world.settle(3)
    status = (await world.unit(name))["status"]
    return status["reason"], status["message"]


def test_a_larger_tree_lets_those_in_that_wait() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=2)
        await running(world, "u1")
        await world.create_unit("u2", cpu=2)
        await world.change_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        assert await world.admitted() == {"u1", "u2"}

    in_world(story)


def test_a_smaller_tree_disturbs_nothing_that_runs() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await running(world, "u1", "u2")
        await world.change_tree(a_root(a_leaf("default", cpu=1)))
        await world.settle(5)
        assert await world.admitted() == {"u1", "u2"}
        assert used(world, "root/default") == 4000

    in_world(story)


@pytest.mark.parametrize("settings", [None, STRICT], ids=["warn", "strict"])
@pytest.mark.parametrize("root", ["nonsense", None, []], ids=["text", "null", "list"])
def test_a_malformed_tree_leaves_the_last_one_in_force(
    root: Any, settings: Settings | None
) -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await running(world, "u1")
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        # No schema lets such a root in; a definition of somebody else's might.
        [record] = world.side.trees.values()
        spoiled = {"metadata": {**_metadata(record)}, "spec": {"root": root}}
        world.side.keeper.tree_changed(record, _seen(world, spoiled))
        await running(world, "u2")
        assert used(world, "root/default") == 4000

    in_world(story, settings)


def _metadata(record: Any) -> dict[str, Any]:
    return {"namespace": record.namespace, "name": record.name, "uid": record.uid}


def _seen(world: World, obj: dict[str, Any]) -> Any:
    record = tree_record(obj)
    world.side.trees._objects[record.namespace, record.name] = record
    return record


def test_without_a_tree_what_runs_goes_on_and_what_waits_says_so() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await running(world, "u1")
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.create_unit("u2", cpu=3)
        assert (await told(world, "u2"))[0] == "NoTree"
        assert await world.admitted() == {"u1"}
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        assert used(world, "root/default") == 2000
        assert await world.admitted() == {"u1"}
        await world.finish("u1")
        await world.settle()
        assert await world.admitted() == {"u2"}

    in_world(story)


def test_a_namespace_that_moved_takes_its_units_along() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", cpu=5, namespaces=[])))
        await running(world, "u1", "u2")
        await world.create_unit("u3", cpu=3)
        await world.settle()
        moved = a_root(a_leaf("default", namespaces=[]), a_leaf("other", namespaces=["default"]))
        await world.change_tree(moved)
        await world.settle()
        assert (used(world, "root/default"), used(world, "root/other")) == (0, 4000)
        await world.finish("u1")
        await world.settle()
        assert await world.admitted() == {"u2"}
        await world.finish("u2")
        await world.settle()
        assert await world.admitted() == {"u3"}
        assert used(world, "root/other") == 3000

    in_world(story)


def test_units_of_a_renamed_leaf_are_charged_under_its_new_name() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await running(world, "u1")
        await world.change_tree(a_root(a_leaf("renamed", namespaces=["default"])))
        await world.settle()
        assert used(world, "root/renamed") == 2000
        await world.create_unit("u2", cpu=2, queue="")
        await world.create_unit("u3", cpu=2, queue="")
        await world.settle()
        assert await world.admitted() == {"u1", "u2"}
        assert (await world.unit("u2"))["spec"]["queue"] == "root-renamed"

    in_world(story)


def test_what_runs_in_a_leaf_that_vanished_counts_nowhere_until_a_leaf_takes_it() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await running(world, "u1", "u2")
        await world.change_tree(a_root(a_leaf("other", namespaces=[])))
        await world.settle()
        assert used(world, "root") == 0
        assert await world.admitted() == {"u1", "u2"}
        await world.finish("u2")
        await world.change_tree(a_root(a_leaf("default", cpu=3)))
        await world.create_unit("u3", cpu=2)
        await world.settle()
        assert used(world, "root/default") == 2000
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_unit_that_comes_before_its_leaf_waits_and_is_picked_up() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("other", namespaces=[])))
        await world.create_unit("u1", queue="")
        reason, message = await told(world, "u1")
        assert reason == "NoQuota"
        assert message.startswith("namespace default does not belong to any elastic quota; list ")
        assert QUOTA in message
        await world.change_tree(a_root(a_leaf("default")))
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_label_that_names_no_leaf_says_so_and_never_charges_the_namespace() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await world.create_unit("u1", queue="", labels={QUOTA: "typo"})
        reason, message = await told(world, "u1")
        assert reason == "NoQuota"
        assert message.startswith("no elastic quota is called typo; name a leaf of ")
        assert await world.admitted() == set()

    in_world(story)
