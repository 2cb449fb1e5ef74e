"""Volumes are bound before the first pod that mounts one, and all of a gang's before any."""

from __future__ import annotations

from typing import Any

from kube_queue.api.storage import BIND_COMPLETED, SELECTED_NODE
from kube_queue.api.types import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from tests.controller.scheduling.world import Object, World, a_node, a_pod, in_world
from tests.placement.builders import HOST, PodBuilder


def a_class(provisioner: str = "kubernetes.io/no-provisioner") -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local"},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def a_volume(name: str, node: str) -> Object:
    term = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


def a_claim(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "resources": {"requests": {"storage": "5Gi"}},
        },
    }


def mounting(pod: PodBuilder, claim: str) -> PodBuilder:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    return pod._extend("spec", "volumes", volume)


async def completes(world: World, claim: str, volume: str) -> None:
    """What kube-controller-manager does once a volume names its claim."""
    patch: Object = {
        "metadata": {"annotations": {BIND_COMPLETED: "yes"}},
        "spec": {"volumeName": volume},
    }
    await world.user.patch(PERSISTENT_VOLUME_CLAIMS, "default", claim, patch)


async def available(world: World, *volumes: Object) -> None:
    for volume in volumes:
        made = await world.user.create(PERSISTENT_VOLUMES, volume)
        name = made["metadata"]["name"]
        status: Object = {"status": {"phase": "Available"}}
        await world.user.patch(PERSISTENT_VOLUMES, "", name, status, subresource="status")


def test_a_local_volume_is_bound_to_its_claim_before_the_pod_is_bound_to_its_node() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class())
        await available(world, a_volume("v2", "n2"))
        await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim("data"))
        await world.create(a_node("n1"), a_node("n2"), mounting(a_pod("p"), "data"))
        await world.settle(5)
        assert await world.bound() == set()
        volume = await world.user.get(PERSISTENT_VOLUMES, "", "v2")
        claim = await world.user.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
        assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
        await completes(world, "data", "v2")
        await world.settle()
        assert await world.nodes_of() == {"p": "n2"}

    in_world(story)


def test_a_volume_that_has_to_be_made_is_asked_for_on_the_claim() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class("example.com/disks"))
        await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim("data"))
        await world.create(a_node("n1"), mounting(a_pod("p"), "data"))
        await world.settle(5)
        claim: dict[str, Any] = await world.user.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
        assert claim["metadata"]["annotations"][SELECTED_NODE] == "n1"
        assert await world.bound() == set()
        await available(world, a_volume("made", "n1"))
        await completes(world, "data", "made")
        await world.settle()
        assert await world.nodes_of() == {"p": "n1"}

    in_world(story)


def test_no_member_of_a_gang_is_bound_before_the_claims_of_all_are() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class())
        await available(world, a_volume("v1", "n1"), a_volume("v2", "n2"))
        for name in ("a", "b"):
            await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim(name))
        await world.create(a_node("n1").having(cpu="1"), a_node("n2").having(cpu="1"))
        await world.create(
            *[mounting(a_pod(name).of_gang("g", 2).asking(cpu="1"), name) for name in ("a", "b")]
        )
        await world.settle(5)
        volumes = await world.user.list(PERSISTENT_VOLUMES)
        kept = {one["spec"]["claimRef"]["name"]: one["metadata"]["name"] for one in volumes}
        await completes(world, "a", kept["a"])
        await world.settle(5)
        assert await world.bound() == set()
        await completes(world, "b", kept["b"])
        await world.settle()
        assert await world.bound() == {"a", "b"}

    in_world(story)


def test_a_pod_whose_gang_waits_for_volumes_and_that_goes_frees_the_others() -> None:
    async def story(world: World) -> None:
        await world.user.create(STORAGE_CLASSES, a_class("example.com/disks"))
        await world.user.create(PERSISTENT_VOLUME_CLAIMS, a_claim("data"))
        await world.create(a_node("n1").having(cpu="2"))
        await world.create(mounting(a_pod("a").of_gang("g", 2).asking(cpu="1"), "data"))
        await world.create(a_pod("b").of_gang("g", 2).asking(cpu="1"))
        await world.settle(5)
        await world.create(a_pod("other").asking(cpu="2"))
        await world.settle(5)
        assert await world.bound() == set()
        await world.delete_pod("a")
        await world.settle(15)
        assert await world.bound() == {"other"}

    in_world(story)
