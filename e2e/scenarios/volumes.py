"""Volumes that wait for their pods: bound, or made, where the pods are to stand, before they do."""

from __future__ import annotations

from e2e.coscheduling import gang, node, nodes_of, pod, see_held, see_on_nodes, with_nodes
from e2e.placements import Placements
from e2e.scenario import scenario
from e2e.volumes import (
    HOSTNAME,
    PROVISIONER,
    ZONE,
    Object,
    Order,
    claim,
    is_bound,
    mounting,
    provisioned,
    storage_class,
    volume,
    volume_controller,
)
from e2e.world import World
from kube_queue.api.storage import SELECTED_NODE
from kube_queue.api.types import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS

NO_VOLUME = "didn't find available persistent volumes to bind"


async def _followed(world: World) -> Order:
    order = Order()
    await world.follow(PERSISTENT_VOLUME_CLAIMS, order.claim_seen)
    await world.follow(PODS, order.pod_seen)
    return order


async def _ready(world: World, *volumes: Object) -> None:
    """These volumes may be bound."""
    await world.apply(*volumes)
    names = {one["metadata"]["name"] for one in volumes}
    await world.until(
        PERSISTENT_VOLUMES,
        lambda seen: (
            names
            <= {one["metadata"]["name"] for one in seen if one["status"]["phase"] == "Available"}
        ),
        f"{', '.join(sorted(names))} available",
    )


@scenario(
    "S13b", "a gang with local volumes stands where these are, and no pod before all are bound"
)
async def local_volumes(world: World) -> None:
    placed, order = await Placements.of(world), await _followed(world)
    nodes = [node(name, "4") for name in ("disk-1", "disk-2", "disk-3")]
    async with volume_controller(world), with_nodes(world, *nodes):
        await world.apply(storage_class("local"))
        await _ready(world, volume("on-1", "local", HOSTNAME, "disk-1"))
        await world.apply(*(claim(f"data-{index:02}", "local") for index in range(2)))
        members = gang("disks", 2, "3")
        await world.apply(*(mounting(one, f"data-{index:02}") for index, one in enumerate(members)))
        # One volume for two claims: nobody gets a node, and nothing is bound.
        await see_held(world, 2, NO_VOLUME, "rejected by podgroup disks", gang="disks")
        assert not order.bound and not placed.bound("disks")
        await _ready(world, volume("on-2", "local", HOSTNAME, "disk-2"))
        await see_on_nodes(world, 2, gang="disks")
        assert sorted(await nodes_of(world, gang="disks")) == ["disk-1", "disk-2"]
        await order.check(world, ("disks-00", "disks-01"), ("data-00", "data-01"))
        claims = sorted(await world.objects(PERSISTENT_VOLUME_CLAIMS), key=_name)
        homes = [name.replace("disk", "on") for name in await nodes_of(world, gang="disks")]
        assert [one["spec"]["volumeName"] for one in claims] == homes, (claims, homes)
    placed.check()


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


@scenario(
    "S13c", "a volume is made where its pod is to stand, and who mounts it later stands there"
)
async def made_volumes(world: World) -> None:
    placed, order = await Placements.of(world), await _followed(world)
    nodes = [node(f"{zone}-1", cpu) for zone, cpu in (("left", "2"), ("right", "8"))]
    for one in nodes:
        one["metadata"]["labels"][ZONE] = one["metadata"]["name"].partition("-")[0]
    async with volume_controller(world), provisioned(world), with_nodes(world, *nodes):
        # The node with more room is where this class makes nothing.
        await world.apply(storage_class("zonal", PROVISIONER, zone="left"), claim("disk", "zonal"))
        await world.apply(mounting(pod("first", "1"), "disk"))
        await see_on_nodes(world, 1, prefix="first")
        assert await nodes_of(world, prefix="first") == ["left-1"]
        await order.check(world, ("first",), ("disk",))
        (made,) = await world.objects(PERSISTENT_VOLUME_CLAIMS)
        assert is_bound(made) and made["spec"]["volumeName"] == "for-disk", made
        assert made["metadata"]["annotations"][SELECTED_NODE] == "left-1", made["metadata"]
        await world.apply(mounting(pod("second", "1"), "disk"), mounting(pod("third", "1"), "disk"))
        await see_on_nodes(world, 2, prefix="")
        await see_held(world, 1, "didn't match PersistentVolume's node affinity")
        assert set(await nodes_of(world)) == {"left-1"}
        await world.delete(PODS, "first")
        await see_on_nodes(world, 2, prefix="")
    placed.check()
