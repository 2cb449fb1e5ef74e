"""Which tree is in force, what is said about it, and what its status shows."""

from __future__ import annotations

from typing import Any

from kube_queue.api.types import ELASTIC_QUOTA_TREES
from kube_queue.config import Settings
from tests.controller.queueing.world import Object, World, a_leaf, a_root, a_tree, in_world

STRICT = Settings().replaced(controller={"tree_validation": "strict"})


def broken_root(cpu: int = 2) -> Object:
    """A leaf whose min is above its max."""
    return a_root(a_leaf("default", cpu=cpu, min={"cpu": cpu + 5}))


def valid(tree: Object) -> Any:
    (condition,) = [one for one in tree["status"]["conditions"] if one["type"] == "Valid"]
    return condition


def test_a_sound_tree_is_said_to_be_valid_without_an_event() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        condition = valid(await world.tree())
        assert (condition["status"], condition["reason"]) == ("True", "TreeValid")
        events = await world.events()
        assert [one for one in events if one["involvedObject"]["kind"] == "ElasticQuotaTree"] == []

    in_world(story)


def test_a_tree_with_errors_is_used_and_says_where_by_one_event() -> None:
    async def story(world: World) -> None:
        await world.create_tree(broken_root())
        await world.create_unit("u1")
        await world.settle(3)
        condition = valid(await world.tree())
        assert (condition["status"], condition["reason"]) == ("False", "TreeInvalid")
        assert "spec.root.children[0].min.cpu" in condition["message"]
        assert await world.admitted() == {"u1"}
        (event,) = await world.events("TreeInvalid")
        assert event["type"] == "Warning"
        assert "spec.root.children[0].min.cpu" in event["message"]

    in_world(story)


def test_a_restart_does_not_repeat_the_event() -> None:
    async def story(world: World) -> None:
        await world.create_tree(broken_root())
        await world.settle(3)
        await world.kill()
        await world.start()
        await world.settle(3)
        assert len(await world.events("TreeInvalid")) == 1

    in_world(story)


def test_strict_keeps_the_last_valid_tree_and_says_so() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        await world.change_tree(broken_root(cpu=2))
        await world.settle()
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == {"u1"}
        condition = valid(await world.tree())
        assert condition["status"] == "False"
        assert "the last valid tree stays in force" in condition["message"]
        await world.change_tree(a_root(a_leaf("default", cpu=3)))
        await world.create_unit("u2", cpu=1)
        await world.settle()
        assert await world.admitted() == {"u1"}
        assert valid(await world.tree())["status"] == "True"

    in_world(story, STRICT)


def test_strict_without_any_valid_tree_admits_nothing() -> None:
    async def story(world: World) -> None:
        await world.create_tree(broken_root())
        await world.create_unit("u1")
        await world.settle(4)
        assert await world.admitted() == set()
        assert (await world.unit("u1"))["status"]["reason"] == "NoTree"
        assert "no tree is in force" in valid(await world.tree())["message"]

    in_world(story, STRICT)


def test_a_tree_outside_kube_system_has_no_effect() -> None:
    async def story(world: World) -> None:
        tree = a_tree(a_root(a_leaf("default")), "elasticquotatree")
        tree["metadata"]["namespace"] = "default"
        await world.user.create(ELASTIC_QUOTA_TREES, tree)
        await world.create_unit("u1")
        await world.settle(4)
        assert await world.admitted() == set()
        assert await world.queue_names() == []

    in_world(story)


def test_of_two_trees_the_older_counts_and_the_other_says_so() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)), "b")
        await world.settle()
        await world.create_tree(a_root(a_leaf("default", cpu=1), a_leaf("team-a")), "a")
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == {"u1"}
        assert await world.queue_names() == ["root-default"]
        assert valid(await world.tree("b"))["status"] == "True"
        assert "kube-system/b is in force" in valid(await world.tree("a"))["message"]
        assert "root" not in (await world.tree("a"))["status"]
        # Who starts anew sees both at once, and decides the same.
        await world.kill()
        await world.start()
        await world.settle()
        assert world.side.keeper.in_force is not None
        assert world.side.keeper.in_force.name == "b"
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "b")
        await world.settle()
        assert valid(await world.tree("a"))["status"] == "True"
        assert len(await world.queue_names()) == 2

    in_world(story)


def test_of_equally_old_trees_the_first_by_name_counts() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)), "b")
        await world.create_tree(a_root(a_leaf("default", cpu=1)), "a")
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == set()
        assert "kube-system/a is in force" in valid(await world.tree("b"))["message"]

    in_world(story)


def test_the_status_of_a_tree_mirrors_it_with_used_and_request() -> None:
    async def story(world: World) -> None:
        max_ = {"cpu": "4", "memory": "4Gi"}
        await world.create_tree(
            a_root(a_leaf("default", max=max_), a_leaf("team-a", max=max_), max=max_)
        )
        await world.create_unit("u1", resource={"cpu": "3", "memory": "1Gi"})
        await world.settle()
        await world.create_unit("u2", resource={"cpu": "2500m"})
        await world.settle()
        root = (await world.tree())["status"]["root"]
        assert root["name"] == "root"
        assert root["used"] == {"cpu": "3", "memory": "1Gi"}
        assert root["request"] == {"cpu": "5500m", "memory": "1Gi"}
        first, second = root["children"]
        assert (first["name"], first["namespaces"]) == ("default", ["default"])
        assert first["used"] == {"cpu": "3", "memory": "1Gi"}
        assert second["used"] == {"cpu": "0", "memory": "0"}

    in_world(story)


def test_what_a_tree_no_longer_lists_leaves_its_status() -> None:
    async def story(world: World) -> None:
        both = {"cpu": "4", "nvidia.com/gpu": "2"}
        await world.create_tree(a_root(a_leaf("default"), a_leaf("team-a"), max=both))
        await world.settle()
        assert (await world.tree())["status"]["root"]["used"] == {"cpu": "0", "nvidia.com/gpu": "0"}
        await world.change_tree(a_root(a_leaf("default"), cpu=4))
        await world.settle()
        root = (await world.tree())["status"]["root"]
        assert root["used"] == {"cpu": "0"}
        assert [child["name"] for child in root["children"]] == ["default"]

    in_world(story)


def test_a_smaller_tree_takes_effect_at_once_and_admits_nothing_until_it_is_below() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("u1", cpu=3)
        await world.settle()
        await world.change_tree(a_root(a_leaf("default", cpu=2)))
        await world.create_unit("u2", cpu=1)
        await world.settle()
        assert await world.admitted() == {"u1"}
        assert world.side.cache.quota_status()["root/default"].used["cpu"] == 3000
        await world.finish("u1")
        await world.settle()
        assert await world.admitted() == {"u2"}

    in_world(story)
