"""Kubernetes' own PodGroup, which most clusters do not serve: read and told where one does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson

from kube_queue.api.types import CRDS, KUBERNETES_POD_GROUPS, PODS
from kube_queue.kube.transport import Query, Response, Transport
from tests.controller.scheduling.world import Object, World, a_node, a_pod, fresh, in_world

STATUS = re.compile(r"/apis/scheduling\.k8s\.io/v1alpha2/.*/podgroups/[^/]+/status")
STRATEGIC = "application/strategic-merge-patch+json"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class BuiltIn:
    """A transport to a server that serves the kind as a definition, and so takes no strategic
    merge patch of it, as one built in would: conditions are merged by their type here.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.patches: list[Object] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
    ) -> Response:
        if method == "PATCH" and STATUS.fullmatch(path):
            assert content_type == STRATEGIC
            assert body is not None
            body = await self._merged(path, orjson.loads(body))
            content_type = "application/merge-patch+json"
        return await self._transport.request(
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
        )

    async def _merged(self, path: str, patch: Object) -> bytes:
        self.patches.append(patch)
        found = await self._transport.request("GET", path.removesuffix("/status"))
        there = orjson.loads(found.body).get("status", {}).get("conditions", [])
        merged = {each["type"]: each for each in there}
        for each in patch["status"]["conditions"]:
            merged[each["type"]] = {**merged.get(each["type"], {}), **each}
        return orjson.dumps({**patch, "status": {"conditions": list(merged.values())}})

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = "application/json"
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._transport.stream(path, query=query, read_timeout=read_timeout, accept=accept)

    async def close(self) -> None:
        await self._transport.close()


def the_definition() -> Object:
    """The kind, with whatever fields its objects have."""
    kind = KUBERNETES_POD_GROUPS
    schema = {"type": "object", "properties": {"spec": ANYTHING, "status": ANYTHING}}
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": "podgroup"},
            "versions": [version],
        },
    }


async def serve_the_kind(world: World) -> BuiltIn:
    """The cluster serves the kind, and the scheduling side starts."""
    built_in = BuiltIn(world.recorder.transport)
    world.recorder.transport = built_in
    await world.user.create(CRDS, the_definition())
    await world.start()
    return built_in


async def create_group(world: World, least: Any, *, key: str = "") -> None:
    spec: Object = {"schedulingPolicy": {"gang": {"minCount": least}}}
    if key:
        spec["schedulingConstraints"] = {"topology": [{"key": key}]}
    made: Object = {
        "apiVersion": KUBERNETES_POD_GROUPS.api_version,
        "kind": KUBERNETES_POD_GROUPS.kind,
        "metadata": {"namespace": "default", "name": "g"},
        "spec": spec,
    }
    await world.user.create(KUBERNETES_POD_GROUPS, made)


async def create_members(world: World, *names: str) -> None:
    for name in names:
        manifest = fresh(a_pod(name).asking(cpu="1").manifest)
        manifest["spec"]["schedulingGroup"] = {"podGroupName": "g"}
        await world.user.create(PODS, manifest)


async def conditions(world: World) -> list[Object]:
    found = await world.user.get(KUBERNETES_POD_GROUPS, "default", "g")
    told: list[Object] = found.get("status", {}).get("conditions", [])
    return told


def test_its_minimum_starts_together_and_its_one_condition_follows() -> None:
    async def story(world: World) -> None:
        built_in = await serve_the_kind(world)
        await create_group(world, 3)
        await world.create(a_node("n1").having(cpu="2"))
        await create_members(world, "a", "b", "c")
        await world.settle(15)
        assert await world.bound() == set()
        (waiting,) = await conditions(world)
        assert (waiting["type"], waiting["status"]) == ("PodGroupScheduled", "False")
        assert waiting["reason"] == "Unschedulable"
        assert waiting["message"] == "0 of at least 3 pods stand on nodes"
        await world.create(a_node("n2").having(cpu="1"))
        await world.settle(15)
        assert await world.bound() == {"a", "b", "c"}
        (scheduled,) = await conditions(world)
        assert (scheduled["status"], scheduled["reason"]) == ("True", "Scheduled")
        assert scheduled["lastTransitionTime"] > waiting["lastTransitionTime"]
        # Nothing but that condition is ever written, and nothing twice.
        assert len(built_in.patches) == 2
        for patch in built_in.patches:
            assert patch["metadata"].keys() == {"uid"}
            assert patch["status"].keys() == {"conditions"}

    in_world(story, start=False)


def test_a_condition_of_somebody_else_stays_and_one_that_stays_keeps_its_time() -> None:
    async def story(world: World) -> None:
        await serve_the_kind(world)
        await create_group(world, 3)
        await world.create(a_node("n1").having(cpu="1"))
        await create_members(world, "a", "b", "c")
        await world.settle(5)
        (first,) = await conditions(world)
        other = {"type": "DisruptionTarget", "status": "True", "reason": "Other", "message": ""}
        change: Object = {"status": {"conditions": [first, other]}}
        await world.user.patch(KUBERNETES_POD_GROUPS, "default", "g", change, subresource="status")
        # Somebody else's scheduler puts one of its pods on a node.
        await world.bind("a", "n1")
        await world.settle(5)
        told = {each["type"]: each for each in await conditions(world)}
        assert told["DisruptionTarget"] == other
        scheduled = told["PodGroupScheduled"]
        assert scheduled["message"] == "1 of at least 3 pods stand on nodes"
        assert scheduled["lastTransitionTime"] == first["lastTransitionTime"]

    in_world(story, start=False)


def test_its_topology_constraint_holds_the_gang_together() -> None:
    async def story(world: World) -> None:
        await serve_the_kind(world)
        await create_group(world, 2, key="example.com/rack")
        racks = [
            a_node(f"n{rack}").having(cpu="1").labelled(**{"example.com/rack": rack})
            for rack in "12"
        ]
        await world.create(*racks)
        await create_members(world, "a", "b")
        await world.settle(15)
        assert await world.bound() == set()
        assert "no domain of example.com/rack" in (await world.condition("a"))["message"]
        await world.create(a_node("n3").having(cpu="1").labelled(**{"example.com/rack": "2"}))
        await world.settle(15)
        assert set((await world.nodes_of()).values()) == {"n2", "n3"}

    in_world(story, start=False)


def test_where_the_kind_is_not_served_the_pods_wait_and_say_so() -> None:
    async def story(world: World) -> None:
        await world.create(a_node("n1"))
        await create_members(world, "a", "b")
        await world.settle(60)
        assert await world.bound() == set()
        told = (await world.condition("a"))["message"]
        assert told == "PodGroup default/g of scheduling.k8s.io does not exist"
        # And from the moment it is served, they need not wait.
        world.recorder.transport = BuiltIn(world.recorder.transport)
        await world.user.create(CRDS, the_definition())
        await create_group(world, 2)
        await world.settle(60)
        assert await world.bound() == {"a", "b"}

    in_world(story)


def test_a_group_that_goes_before_its_status_is_written_disturbs_nobody() -> None:
    async def story(world: World) -> None:
        await serve_the_kind(world)
        await create_group(world, 2)
        await world.create(a_node("n1").having(cpu="2"))
        await create_members(world, "a")
        await world.settle(15)
        await world.user.delete(KUBERNETES_POD_GROUPS, "default", "g")
        await create_members(world, "b")
        await world.settle(15)
        assert await world.bound() == set()
        assert "does not exist" in (await world.condition("b"))["message"]
        await create_group(world, 2)
        await world.settle(15)
        assert await world.bound() == {"a", "b"}
        (scheduled,) = await conditions(world)
        assert scheduled["status"] == "True"

    in_world(story, start=False)


def test_a_group_that_cannot_be_read_holds_its_pods_and_an_event_names_the_field() -> None:
    async def story(world: World) -> None:
        await serve_the_kind(world)
        await create_group(world, "many")
        await world.create(a_node("n1"))
        await create_members(world, "a")
        await world.settle(15)
        assert await world.bound() == set()
        (event, *_) = await world.events("InvalidPodGroup")
        assert "spec.schedulingPolicy.gang.minCount" in event["message"]

    in_world(story, start=False)
