"""ResourceQuotas as quotas: what is admitted where, and how changes of them take effect."""

from __future__ import annotations

from typing import Any

import structlog.testing

from kube_queue.api.errors import NotFound
from kube_queue.api.types import NAMESPACES, PODS, QUEUE_UNITS, QUEUES, RESOURCE_QUOTAS
from kube_queue.config import Settings
from kube_queue.controller.queueing.quota_side import OVERSELL_NOTICE
from tests.controller.queueing.world import Object, World, in_world

BY_NAMESPACE = Settings().replaced(controller={"queue_group_plugin": "resourcequota"})
BLOCK = BY_NAMESPACE.replaced(controller={"strict_priority": True})


async def set_quota(
    world: World, hard: Object, name: str = "compute", namespace: str = "default", **spec: Any
) -> None:
    whole = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hard": hard, **spec},
    }
    try:
        await world.user.patch(
            RESOURCE_QUOTAS,
            namespace,
            name,
            [{"op": "replace", "path": "/spec/hard", "value": hard}],
            kind="json",
        )
    except NotFound:
        await world.user.create(RESOURCE_QUOTAS, whole)


async def unit(world: World, name: str, cpu: str | int = 1, **kinds: Any) -> None:
    kinds.setdefault("queue", "")
    await world.create_unit(name, cpu=cpu, **kinds)


def with_limits(cpu: int, count: int = 1, **spec: Any) -> dict[str, Any]:
    """A unit's fields for `count` pods of one cpu, limited to `cpu`."""
    resources = {"requests": {"cpu": "1"}, "limits": {"cpu": str(cpu)}}
    template = {"spec": {"containers": [{"name": "main", "resources": resources}], **spec}}
    pods = {"name": "worker", "count": count, "template": template}
    return {"podSet": [pods], "resource": {"cpu": str(count)}}


async def reason(world: World, name: str, namespace: str = "default") -> tuple[str, str]:
    status = (await world.unit(name, namespace)).get("status", {})
    return status.get("reason", ""), status.get("message", "")


async def a_pod(world: World, name: str, cpu: str = "1", **fields: Any) -> None:
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **fields.pop("metadata", {})},
        "spec": {"containers": [container], **fields},
    }
    await world.user.create(PODS, pod)


def test_units_are_admitted_while_they_fit_below_hard() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4"})
        for name in ("u1", "u2"):
            await unit(world, name, 3)
        await world.settle(4)
        assert await world.admitted() == {"u1"}
        kind, message = await reason(world, "u2")
        assert kind == "InsufficientQuota"
        assert message.startswith(
            "ResourceQuota default/compute: cpu requested 3, used 3, hard 4; waits until 2 cpu"
        )
        await world.finish("u1")
        await world.settle()
        assert await world.admitted() == {"u2"}

    in_world(story, BY_NAMESPACE)


def test_every_resource_quota_of_the_namespace_has_to_hold() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "10"}, "a")
        await set_quota(world, {"requests.cpu": "2"}, "b")
        await unit(world, "u1", 3)
        await unit(world, "u2", 2)
        await world.settle(4)
        assert await world.admitted() == {"u2"}
        kind, message = await reason(world, "u1")
        assert kind == "ExceedsMaxQuota"
        assert "ResourceQuota default/b: requests.cpu requested 3" in message

    in_world(story, BY_NAMESPACE)


def test_limits_and_pods_are_counted_from_the_templates() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"limits.cpu": "8", "pods": "5"})
        await unit(world, "u1", **with_limits(2, count=2))
        await unit(world, "u2", **with_limits(3, count=2))
        await unit(world, "u3", **with_limits(1, count=3))
        await world.settle(4)
        assert await world.admitted() == {"u1", "u3"}
        assert "limits.cpu requested 6, used 4, hard 8" in (await reason(world, "u2"))[1]

    in_world(story, BY_NAMESPACE)


def test_a_quota_bounds_only_the_pods_in_its_scopes() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"pods": "1"}, scopes=["Terminating"])
        await unit(world, "a1", **with_limits(1, activeDeadlineSeconds=60))
        await unit(world, "a2", **with_limits(1, activeDeadlineSeconds=60))
        await unit(world, "b1", **with_limits(1, count=5))
        await world.settle()
        assert await world.admitted() == {"a1", "b1"}

    in_world(story, BY_NAMESPACE)


def test_a_template_the_quota_would_refuse_is_held_and_says_why() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"limits.memory": "8Gi"})
        await unit(world, "u1", **with_limits(1))
        await world.settle(4)
        assert await world.admitted() == set()
        kind, message = await reason(world, "u1")
        assert kind == "InvalidForResourceQuota"
        assert "must specify limits.memory for: main" in message
        await set_quota(world, {"limits.cpu": "8"})
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_held_template_does_not_block_those_behind_it() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"limits.cpu": "8"})
        broken = with_limits(1)
        del broken["podSet"][0]["template"]["spec"]["containers"][0]["resources"]["limits"]
        await unit(world, "u1", priority=5, **broken)
        await unit(world, "u2", **with_limits(1))
        await world.settle()
        assert await world.admitted() == {"u2"}

    in_world(story, BLOCK)


def test_without_a_resource_quota_nothing_limits_and_the_message_says_so() -> None:
    async def story(world: World) -> None:
        await unit(world, "u1", 1000)
        await world.settle()
        assert await world.admitted() == {"u1"}
        message = (await world.unit("u1"))["status"]["message"]
        assert "namespace default has no ResourceQuota, so nothing limits it" in message

    in_world(story, BY_NAMESPACE)


def test_a_namespace_with_units_has_a_queue_of_its_own_name() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4"}, namespace="team-b")
        await unit(world, "u1", namespace="team-a")
        await world.settle()
        assert await world.queue_names() == ["ns-team-a"]
        assert (await world.unit("u1", "team-a"))["spec"]["queue"] == "ns-team-a"
        assert (await world.queue("ns-team-a"))["status"]["admitted"] == 1
        await unit(world, "u2", namespace="team-b")
        await world.settle()
        assert await world.queue_names() == ["ns-team-a", "ns-team-b"]

    in_world(story, BY_NAMESPACE)


def test_the_queue_of_a_namespace_left_empty_goes_unless_it_has_quotas() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4"}, namespace="team-b")
        for space in ("team-a", "team-b"):
            await unit(world, "u", namespace=space)
        await world.settle()
        for space in ("team-a", "team-b"):
            await world.user.delete(QUEUE_UNITS, space, "u")
        await world.settle(20)
        assert await world.queue_names() == ["ns-team-b"]

    in_world(story, BY_NAMESPACE)


def test_a_unit_may_name_another_queue_and_is_charged_to_its_namespace() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2"})
        queue = {"apiVersion": QUEUES.api_version, "kind": "Queue", "spec": {}}
        await world.user.create(
            QUEUES, {**queue, "metadata": {"name": "mine", "namespace": "kube-queue"}}
        )
        for name in ("u1", "u2"):
            await unit(world, name, 2, queue="mine")
        await world.settle()
        assert len(await world.admitted()) == 1

    in_world(story, BY_NAMESPACE)


def test_the_label_that_names_a_quota_has_no_effect() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2"})
        labels = {"quota.scheduling.alibabacloud.com/name": "elsewhere"}
        await unit(world, "u1", 2, labels=labels)
        await unit(world, "u2", 2, labels=labels)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_units_that_are_not_preemptible_may_use_all_of_hard() -> None:
    async def story(world: World) -> None:
        labels = {"quota.scheduling.alibabacloud.com/preemptible": "false"}
        await set_quota(world, {"cpu": "4"})
        await set_quota(world, {"cpu": "4"}, namespace="team-a")
        await unit(world, "u1", 4, labels=labels)
        await unit(world, "u2", 4, labels=labels, namespace="team-a")
        await unit(world, "u3", 1, labels=labels, namespace="team-b")
        await world.settle()
        assert await world.admitted() == {"u1", "u2", "u3"}

    in_world(story, BY_NAMESPACE)


def test_two_namespaces_progress_on_their_own() -> None:
    async def story(world: World) -> None:
        for space in ("team-a", "team-b"):
            await set_quota(world, {"cpu": "2"}, namespace=space)
        for name in ("u1", "u2"):
            await unit(world, f"a-{name}", 2, namespace="team-a")
            await unit(world, f"b-{name}", 1, namespace="team-b")
        await world.settle()
        assert await world.admitted() == {"a-u1", "b-u1", "b-u2"}

    in_world(story, BLOCK)


# --- changes ------------------------------------------------------------------------------------


def test_a_raised_quota_lets_those_in_that_wait() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "1"})
        await unit(world, "u1", 2)
        await world.settle()
        assert await world.admitted() == set()
        await set_quota(world, {"cpu": "2"})
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_quota_below_what_is_used_disturbs_nothing_and_admits_nothing() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4"})
        await unit(world, "u1", 3)
        await world.settle()
        await set_quota(world, {"cpu": "2"})
        await unit(world, "u2", 1)
        await world.settle()
        assert await world.admitted() == {"u1"}
        await world.finish("u1")
        await world.settle()
        assert await world.admitted() == {"u2"}

    in_world(story, BY_NAMESPACE)


def test_a_quota_below_what_is_used_keeps_nobody_out_who_asks_for_something_else() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"pods": "2"}, "short", scopes=["Terminating"])
        await set_quota(world, {"cpu": "9"}, "all")
        await unit(world, "u1", **with_limits(1, count=2, activeDeadlineSeconds=60))
        await world.settle()
        await set_quota(world, {"pods": "1"}, "short")
        await unit(world, "u2", **with_limits(1))
        await unit(world, "u3", **with_limits(1, activeDeadlineSeconds=60))
        await world.settle()
        assert await world.admitted() == {"u1", "u2"}

    in_world(story, BY_NAMESPACE)


def test_a_deleted_quota_no_longer_limits() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "1"})
        await unit(world, "u1", 5)
        await world.settle()
        await world.user.delete(RESOURCE_QUOTAS, "default", "compute")
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_new_quota_counts_what_is_held_already() -> None:
    async def story(world: World) -> None:
        await unit(world, "u1", 3)
        await world.settle()
        await set_quota(world, {"cpu": "4"})
        await unit(world, "u2", 2)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_what_the_status_of_a_quota_says_is_used_changes_nothing() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4"})
        status = {"status": {"hard": {"cpu": "4"}, "used": {"cpu": "4"}}}
        path = RESOURCE_QUOTAS, "default", "compute", status
        await world.user.patch(*path, subresource="status")
        await unit(world, "u1", 4)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_sums_are_the_same_after_a_restart() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4", "limits.cpu": "9"})
        await unit(world, "u1", **with_limits(3, count=2))
        await unit(world, "u2", **with_limits(3, count=2))
        await world.settle()
        before = world.side.cache.quota_status()["ns-default"].used
        assert before["compute:limits.cpu"] == 6000
        await world.kill()
        await world.start()
        await world.settle()
        assert world.side.cache.quota_status()["ns-default"].used == before
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_many_new_namespaces_do_not_look_at_all_units_again() -> None:
    async def story(world: World) -> None:
        await unit(world, "u0")
        await world.settle()
        rebuilt: list[object] = []
        world.side.cache.pending.rebuild = rebuilt.append  # type: ignore[method-assign, assignment]
        for number in range(20):
            space = {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": f"space-{number}"},
            }
            await world.user.create(NAMESPACES, space)
            await unit(world, "u", namespace=f"space-{number}")
        await world.settle(3)
        assert rebuilt == []
        phases = [one["status"]["phase"] for one in await world.units()]
        assert phases == ["Dequeued"] * 21

    in_world(story, BY_NAMESPACE)


# --- pods that no unit stands for ----------------------------------------------------------------


def test_live_pods_of_no_unit_are_charged_from_their_creation() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "4", "pods": "3"})
        await a_pod(world, "p1", "2")
        await world.settle()
        await unit(world, "u1", 3)
        await unit(world, "u2", 2)
        await world.settle()
        assert await world.admitted() == {"u2"}
        await world.user.delete(PODS, "default", "p1", grace_seconds=0)
        await world.finish("u2")
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_pod_that_waits_for_its_own_unit_is_not_in_that_units_way() -> None:
    async def waits(world: World, name: str) -> None:
        await a_pod(world, name, schedulingGates=[{"name": "kube-queue/admission"}])
        pod = await world.user.get(PODS, "default", name)
        job = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": name}
        await unit(world, name, 1, consumerRef={**job, "uid": pod["metadata"]["uid"]})

    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2"})
        await waits(world, "first")
        await waits(world, "second")
        await world.settle(4)
        assert await world.admitted() == {"first", "second"}
        # Whoever deletes a pod gives its room to the next, which Kubernetes lets in only then.
        await world.user.delete(PODS, "default", "first")
        await world.user.delete(QUEUE_UNITS, "default", "first")
        await waits(world, "third")
        await world.settle(4)
        assert await world.admitted() == {"second", "third"}

    in_world(story, BY_NAMESPACE)


def test_pods_outside_the_scopes_of_a_quota_are_not_charged() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2"}, scopes=["Terminating"])
        await a_pod(world, "p1", "2")
        await world.settle()
        await unit(world, "u1", **with_limits(1, activeDeadlineSeconds=60))
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_new_quota_counts_the_pods_that_are_there() -> None:
    async def story(world: World) -> None:
        await a_pod(world, "p1", "2")
        await world.settle()
        await set_quota(world, {"cpu": "3"})
        await unit(world, "u1", 2)
        await world.settle()
        assert await world.admitted() == set()
        await set_quota(world, {"cpu": "4"})
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_a_pod_that_ended_takes_only_its_place_among_all_pods() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2", "count/pods": "2"})
        await a_pod(world, "p1", "2")
        ended = {"status": {"phase": "Succeeded"}}
        await world.user.patch(PODS, "default", "p1", ended, subresource="status")
        await world.settle()
        await unit(world, "u1", 1)
        await unit(world, "u2", 1)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story, BY_NAMESPACE)


def test_the_oversell_rate_has_no_effect_and_start_up_says_so() -> None:
    async def story(world: World) -> None:
        await set_quota(world, {"cpu": "2"})
        for name in ("u1", "u2"):
            await unit(world, name, 2)
        await world.settle()
        assert await world.admitted() == {"u1"}

    with structlog.testing.capture_logs() as lines:
        in_world(story, BY_NAMESPACE.replaced(controller={"oversell_rate": 2.0}))
    assert [line["event"] for line in lines].count(OVERSELL_NOTICE) == 1
