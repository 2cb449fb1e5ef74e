"""Gangs by PodGroups of other makers: that of the scheduler-plugins, and Kubernetes' own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from e2e.coscheduling import ZONE, Object, pod, see_held, see_on_nodes, with_nodes
from e2e.placements import Placements
from e2e.scenario import scenario
from e2e.scenarios.beside import here, room
from e2e.world import World
from kube_queue.api.errors import NotFound
from kube_queue.api.types import CRDS, KUBERNETES_POD_GROUPS, X_POD_GROUPS, ResourceType
from kube_queue.app.install import is_established

_LABEL: Final = "scheduling.x-k8s.io/pod-group"
_SERVED_WITHIN: Final = 30.0
_COUNTS: Final = ("running", "succeeded", "failed")


def definition() -> Object:
    """The fields that the scheduler-plugins' PodGroup has, and none of ours."""
    number, text = {"type": "integer", "format": "int32"}, {"type": "string"}
    status: Object = dict.fromkeys(_COUNTS, number)
    status |= {"phase": text, "occupiedBy": text}
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"minMember": number, "scheduleTimeoutSeconds": number},
            },
            "status": {"type": "object", "properties": status},
        },
    }
    version = {
        "name": X_POD_GROUPS.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {
            "name": f"{X_POD_GROUPS.plural}.{X_POD_GROUPS.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a copy for a test"},
        },
        "spec": {
            "group": X_POD_GROUPS.group,
            "scope": "Namespaced",
            "names": {"kind": "PodGroup", "plural": "podgroups", "singular": "podgroup"},
            "versions": [version],
        },
    }


async def make(world: World, resource: ResourceType, name: str, spec: Object) -> None:
    """A PodGroup of this kind, as soon as the kind is served."""
    made = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"namespace": "default", "name": name},
        "spec": spec,
    }
    async with asyncio.timeout(_SERVED_WITHIN):
        while True:
            try:
                await world.client.create(resource, made)
            except NotFound:
                # An API server serves what is Established a moment later, and tells nobody when.
                await asyncio.sleep(0.05)
            else:
                return


@scenario(
    "S3b",
    "a PodGroup of scheduling.x-k8s.io counts as soon as its kind is there, and has its status",
    settings={"scheduler": {"pod_group_status": "all"}},
)
async def of_the_plugins(world: World) -> None:
    placed = await Placements.of(world)
    async with with_nodes(world, room("plugins-1", "2")):
        for index in range(3):
            made = here(pod(f"member-{index}", "1"))
            made["metadata"]["labels"] = {_LABEL: "crew"}
            await world.apply(made)
        await see_held(
            world, 3, "PodGroup default/crew of scheduling.x-k8s.io does not exist", prefix="member"
        )
        await world.apply(definition())
        await world.until(
            CRDS,
            lambda seen: any(
                is_established(one)
                for one in seen
                if one["spec"]["group"] == X_POD_GROUPS.group
                and one["spec"]["names"]["kind"] == "PodGroup"
            ),
            "the kind is established",
        )
        await make(world, X_POD_GROUPS, "crew", {"minMember": 3})
        await see_held(world, 3, "rejected by podgroup crew", prefix="member")
        assert not placed.bound("member")
        await see_status(world, {"phase": "Pending"})
        async with with_nodes(world, room("plugins-2", "1")):
            await see_on_nodes(world, 3, prefix="member")
            await see_status(world, {"phase": "Running", "running": 3})
    placed.check()


async def see_status(world: World, wanted: Object) -> None:
    """The PodGroup of the scheduler-plugins says this."""

    def seen(groups: Sequence[Object]) -> bool:
        said = [one.get("status") or {} for one in groups]
        return [{key: one.get(key) for key in wanted} for one in said] == [wanted]

    await world.until(X_POD_GROUPS, seen, f"a PodGroup's status {wanted}")


@scenario(
    "S3c",
    "Kubernetes' own PodGroup: its minimum within one zone or nothing, and its condition follows",
    needs=frozenset({"own-pod-groups"}),
)
async def of_kubernetes(world: World) -> None:
    placed = await Placements.of(world)
    nodes = [room("narrow-1", "2"), room("wide-1", "3")]
    for one in nodes:
        one["metadata"]["labels"][ZONE] = one["metadata"]["name"].partition("-")[0]
    async with with_nodes(world, *nodes):
        spec: Object = {
            "schedulingPolicy": {"gang": {"minCount": 4}},
            "schedulingConstraints": {"topology": [{"key": ZONE}]},
        }
        await make(world, KUBERNETES_POD_GROUPS, "native", spec)
        for index in range(4):
            group = {"podGroupName": "native"}
            await world.apply(here(pod(f"native-{index}", "1", schedulingGroup=group)))
        # There is room for five, but for no four of them in one zone.
        await see_held(world, 4, ZONE, prefix="native")
        assert not placed.bound("native")
        await see_condition(world, "False", "0 of at least 4 pods stand on nodes")
        more = room("wide-2", "1")
        more["metadata"]["labels"][ZONE] = "wide"
        async with with_nodes(world, more):
            await see_on_nodes(world, 4, prefix="native")
            homes = {one["spec"]["nodeName"] for one in placed.bound("native")}
            assert homes == {"wide-1", "wide-2"}, homes
            await see_condition(world, "True", "its minimum stands on nodes")
    placed.check()


async def see_condition(world: World, status: str, message: str) -> None:
    """The one PodGroup has this condition PodGroupScheduled, and no other."""

    def seen(groups: Sequence[Object]) -> bool:
        said: list[dict[str, Any]] = [
            each for one in groups for each in (one.get("status") or {}).get("conditions") or ()
        ]
        wanted = ("PodGroupScheduled", status, message)
        return [(one["type"], one["status"], one["message"]) for one in said] == [wanted]

    await world.until(KUBERNETES_POD_GROUPS, seen, f"PodGroupScheduled {status}: {message}")
