"""Every leaf has its Queue; a Queue without its leaf goes once empty; a user's Queue stays."""

from __future__ import annotations

import pytest

from kube_queue.api.types import ELASTIC_QUOTA_TREES, EVENTS, QUEUES
from kube_queue.config import Settings
from tests.controller.queueing.world import World, a_leaf, a_root, in_world


def test_every_leaf_gets_a_queue_that_names_its_path() -> None:
    async def story(world: World) -> None:
        nested = {"name": "Group", "children": [a_leaf("team-a"), a_leaf("team-b")]}
        await world.create_tree(a_root(nested, a_leaf("default")))
        await world.settle()
        names = await world.queue_names()
        assert len(names) == 3 and "root-default" in names
        paths = {}
        for name in names:
            metadata = (await world.queue(name))["metadata"]
            assert metadata["labels"] == {"create-by-kubequeue": "true"}
            paths[metadata["annotations"]["kube-queue/quota-path"]] = name
        assert set(paths) == {"root/Group/team-a", "root/Group/team-b", "root/default"}
        assert paths["root/Group/team-a"].startswith("root-group-team-a-")

    in_world(story)


def test_a_queue_goes_with_its_leaf_once_its_last_unit_ended() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("team-a")))
        await world.settle()
        await world.create_unit("u1")
        await world.settle()
        await world.change_tree(a_root(a_leaf("other", namespaces=["team-a"])))
        await world.settle()
        # team-a's own leaf is gone as well, and its Queue was empty.
        assert await world.queue_names() == ["root-default", "root-other"]
        await world.finish("u1")
        await world.settle()
        assert await world.queue_names() == ["root-other"]

    in_world(story)


def test_a_queue_stays_when_its_leaf_comes_back_in_time() -> None:
    async def story(world: World) -> None:
        tree = a_root(a_leaf("default"))
        await world.create_tree(tree)
        await world.create_unit("u1")
        await world.settle()
        uid = (await world.queue("root-default"))["metadata"]["uid"]
        await world.change_tree(a_root(a_leaf("other", namespaces=["team-a"])))
        await world.settle()
        await world.change_tree(tree)
        await world.settle()
        await world.finish("u1")
        await world.settle()
        assert (await world.queue("root-default"))["metadata"]["uid"] == uid

    in_world(story)


def test_events_tell_when_a_queue_is_created_and_deleted_and_for_which_quota() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle(30)
        uid = (await world.queue("root-default"))["metadata"]["uid"]
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.settle(30)
        told = [one for one in await world.user.list(EVENTS) if one["reason"].startswith("Queue")]
        assert {one["involvedObject"]["uid"] for one in told} == {uid}
        assert [(one["reason"], one["message"]) for one in told] == [
            ("QueueCreated", "created for the quota root/default"),
            ("QueueDeleted", "deleted: it is empty and its quota root/default is gone"),
        ]

    in_world(story)


def test_queues_go_with_the_tree() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.settle()
        assert await world.queue_names() == []

    in_world(story)


def test_a_queue_deleted_by_hand_comes_back() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        await world.user.delete(QUEUES, "kube-queue", "root-default")
        await world.settle()
        assert await world.queue_names() == ["root-default"]

    in_world(story)


def a_queue(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": QUEUES.api_version,
        "kind": "Queue",
        "metadata": {"name": name, "namespace": "kube-queue"},
        "spec": spec,
    }


def test_queues_of_users_are_neither_changed_nor_deleted() -> None:
    async def story(world: World) -> None:
        mine = await world.user.create(QUEUES, a_queue("mine"))
        same = await world.user.create(QUEUES, a_queue("root-default", queuePolicy="Block"))
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.settle()
        for before in (mine, same):
            after = await world.queue(before["metadata"]["name"])
            assert after["spec"] == before["spec"]
            assert after["metadata"]["uid"] == before["metadata"]["uid"]
            assert after["metadata"].get("labels") == before["metadata"].get("labels")

    in_world(story)


def test_an_invalid_tree_takes_no_queue_away_even_after_a_restart() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        broken = a_root(a_leaf("default", min={"cpu": 9}), a_leaf("team-a", min={"cpu": 1}))
        await world.change_tree(broken)
        await world.kill()
        await world.start()
        await world.settle()
        assert await world.queue_names() == ["root-default"]

    in_world(story, Settings().replaced(controller={"tree_validation": "strict"}))


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        ({}, "Round"),
        ({"strict_priority": True}, "Block"),
        ({"strict_consistency": True}, "Priority"),
    ],
)
def test_an_automatic_queue_follows_the_controllers_default_policy(
    settings: dict[str, bool], policy: str
) -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default")))
        await world.settle()
        status = world.side.cache.queue_status("kube-queue/root-default")
        assert status is not None and status.policy == policy
        assert "queuePolicy" not in (await world.queue("root-default")).get("spec", {})

    in_world(story, Settings().replaced(controller=settings))


def test_a_changed_policy_loses_no_unit() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        await world.create_unit("head", cpu=4)
        await world.settle()
        for number in range(100):
            await world.create_unit(f"u{number:03}", cpu=1)
        await world.settle()
        for policy in ("Block", "Priority", "Round"):
            patch = {"spec": {"queuePolicy": policy}}
            await world.user.patch(QUEUES, "kube-queue", "root-default", patch)
            await world.settle()
            status = world.side.cache.queue_status("kube-queue/root-default")
            assert status is not None
            assert (str(status.policy), status.pending) == (policy, 100)
        await world.change_tree(a_root(a_leaf("default", cpu=104)))
        await world.settle()
        assert len(await world.admitted()) == 101

    in_world(story)
