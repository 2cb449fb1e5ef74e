"""The hands on the embedded server: over HTTP on a real loop, and in process in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from kube_queue.api.errors import AlreadyExists, Conflict, Expired, NotFound, Unauthorized
from kube_queue.api.types import CRDS, LEASES, NAMESPACES, PODS, PRIORITY_CLASSES, ResourceType
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.kube.client import Client
from kube_queue.kube.credentials import Credentials, FixedAuthorization
from kube_queue.kube.events import EventRecorder, ObjectRef
from kube_queue.kube.informer import Informer
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.transport import HttpTransport
from kube_queue.kube.writes import Lane, WriteScheduler

CLASSES = PRIORITY_CLASSES


@dataclass(frozen=True, slots=True)
class Seen:
    """A PriorityClass, reduced."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    description: str


def project(obj: dict[str, Any]) -> Seen:
    metadata = obj["metadata"]
    return Seen(
        "",
        metadata["name"],
        metadata["uid"],
        metadata["resourceVersion"],
        obj.get("description", ""),
    )


def a_class(name: str, description: str = "") -> dict[str, Any]:
    return {
        "apiVersion": CLASSES.api_version,
        "kind": CLASSES.kind,
        "metadata": {"name": name},
        "value": 1,
        "description": description,
    }


def a_namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@asynccontextmanager
async def over_http(**options: int) -> AsyncIterator[Client]:
    """A client of a server of its own, over a socket."""
    server = ApiServer(clock=lambda: 1_800_000_000.0, rng=random.Random(1), **options)
    running = await serve(server, token="secret")
    known = Credentials(running.url, authorization=FixedAuthorization("Bearer secret"))
    client = Client(HttpTransport(known))
    try:
        yield client
    finally:
        await client.close()
        await running.close()
        await server.close()


@asynccontextmanager
async def in_process(**options: int) -> AsyncIterator[Client]:
    """A client of a server of its own, on the same virtual loop."""
    server = ApiServer(clock=virtual_clock(), rng=random.Random(1), **options)
    try:
        yield Client(InProcessTransport(server))
    finally:
        await server.close()


def on_both(scenario: Any) -> Any:
    """The scenario as one test over HTTP and one in process, with one client each."""

    @pytest.mark.parametrize("way", ["http", "in process"])
    def test(way: str) -> None:
        async def main() -> None:
            async with over_http() if way == "http" else in_process() as client:
                await scenario(client)

        if way == "http":
            asyncio.run(main())
        else:
            run_virtual(main())

    test.__doc__ = scenario.__doc__
    return test


@asynccontextmanager
async def following(client: Client, **options: Any) -> AsyncIterator[Informer[Seen]]:
    """A synced informer of PriorityClasses whose own objects only are told."""
    informer = Informer(client, CLASSES, project, rng=random.Random(1), **options)
    task = asyncio.create_task(informer.run())
    await informer.synced.wait()
    try:
        yield informer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(informer: Informer[Seen], reached: Any) -> None:
    """Return when the condition holds, looked at after every change."""
    changed = asyncio.Event()
    informer.add_handler(lambda old, new: changed.set())
    async with asyncio.timeout(20):
        while not reached():
            changed.clear()
            await changed.wait()


@on_both
async def test_an_object_lives_through_every_verb(client: Client) -> None:
    made = await client.create(CLASSES, a_class("gold", "first"))
    with pytest.raises(AlreadyExists):
        await client.create(CLASSES, a_class("gold"))
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    patched = await client.patch(
        CLASSES, "", "gold", merge_patch(uid, version, {"description": "second"})
    )
    assert patched["description"] == "second"
    with pytest.raises(Conflict):
        await client.patch(CLASSES, "", "gold", merge_patch(uid, version, {"description": "x"}))
    with pytest.raises(Conflict):
        await client.patch(CLASSES, "", "gold", merge_patch("other", "", {"description": "x"}))
    with pytest.raises(Conflict):
        await client.replace(CLASSES, made)
    replaced = await client.replace(CLASSES, {**patched, "description": "third"})
    assert (await client.get(CLASSES, "", "gold"))["description"] == "third"
    assert replaced["metadata"]["uid"] == uid
    with pytest.raises(Conflict):
        await client.delete(CLASSES, "", "gold", uid="other")
    await client.delete(CLASSES, "", "gold", uid=uid)
    with pytest.raises(NotFound):
        await client.get(CLASSES, "", "gold")


@on_both
async def test_an_informer_lists_pages_and_follows_changes(client: Client) -> None:
    for number in range(7):
        await client.create(CLASSES, a_class(f"c{number}"))
    async with following(client, page_size=3) as informer:
        assert {f"c{number}" for number in range(7)} <= {one.name for one in informer.values()}
        await client.patch(CLASSES, "", "c1", {"description": "changed"})
        await client.delete(CLASSES, "", "c2")
        await client.create(CLASSES, a_class("c9"))
        await until(informer, lambda: informer.get("", "c9"))
        changed = informer.get("", "c1")
        assert changed is not None
        assert changed.description == "changed"
        assert informer.get("", "c2") is None


@on_both
async def test_a_kind_not_served_yet_is_followed_once_its_definition_exists(client: Client) -> None:
    toys = ResourceType("test.kube-queue.io", "v1", "toys", "Toy")
    informer = Informer(client, toys, project, rng=random.Random(1))
    task = asyncio.create_task(informer.run())
    await asyncio.sleep(0)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    await client.create(
        CRDS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{toys.plural}.{toys.group}"},
            "spec": {
                "group": toys.group,
                "scope": "Namespaced",
                "names": {"plural": toys.plural, "singular": "toy", "kind": "Toy"},
                "versions": [version],
            },
        },
    )
    async with asyncio.timeout(30):
        await informer.synced.wait()
    toy = {"apiVersion": toys.api_version, "kind": "Toy", "metadata": {"name": "ball"}}
    await client.create(toys, {**toy, "description": "red"}, "default")
    await until(informer, lambda: len(informer))
    assert [one.description for one in informer.values()] == ["red"]
    task.cancel()


@on_both
async def test_writes_and_events_reach_the_server(client: Client) -> None:
    writes = WriteScheduler(client, rng=random.Random(1))
    running = asyncio.create_task(writes.run())
    recorder = EventRecorder(writes, "tester", lambda: 1_800_000_000.0, random.Random(1))
    for number in range(100):
        writes.submit(Lane.CREATE, number, lambda c, n=number: c.create(CLASSES, a_class(f"w{n}")))
    ref = ObjectRef("v1", "Namespace", "", "default", "u")
    for _ in range(3):
        recorder.record(ref, "Normal", "Tested", "it works")
        await writes.drain()
    running.cancel()
    assert writes.counts == {(Lane.CREATE, "sent"): 100, (Lane.EVENT, "sent"): 3}
    names = {one["metadata"]["name"] for one in await client.list(CLASSES)}
    assert {f"w{number}" for number in range(100)} <= names
    body = await client.raw("GET", "/api/v1/namespaces/default/events")
    assert b'"count":3' in body.body


@on_both
async def test_one_of_two_leads_until_it_stops(client: Client) -> None:
    await client.create(NAMESPACES, a_namespace("kube-queue"))
    leading = asyncio.Event()

    async def lead() -> None:
        leading.set()
        await asyncio.get_running_loop().create_future()

    def candidate(identity: str) -> asyncio.Task[None]:
        elector = LeaderElector(
            client, "kube-queue", "kube-queue", identity, lambda: 1_800_000_000.0, retry=0.05
        )
        return asyncio.create_task(elector.run(lead))

    async with asyncio.timeout(20):
        one = candidate("one")
        await leading.wait()
        leading.clear()
        two = candidate("two")
        await asyncio.sleep(0.2)
        assert not leading.is_set()
        one.cancel()
        await leading.wait()
        lease = await client.get(LEASES, "kube-queue", "kube-queue")
        assert lease["spec"]["holderIdentity"] == "two"
        assert lease["spec"]["leaseTransitions"] == 1
        two.cancel()
        await asyncio.gather(one, two, return_exceptions=True)


def test_an_informer_cut_off_long_enough_lists_again_and_tells_the_difference() -> None:
    async def main() -> None:
        # The server remembers so little that a version falls out of its window at once.
        async with in_process(window=4) as client:
            await client.create(CLASSES, a_class("old"))
            async with following(client) as informer:
                told: list[tuple[str | None, str | None]] = []
                informer.add_handler(
                    lambda old, new: told.append((old and old.name, new and new.name))
                )
                told.clear()
                # No turn of the loop in between: the watch cannot have kept up.
                informer._version = "1"
                await client.delete(CLASSES, "", "old")
                for number in range(20):
                    await client.create(CLASSES, a_class(f"n{number}"))
                await until(informer, lambda: informer.get("", "n19"))
                assert (None, "n19") in told
                assert ("old", None) in told

    run_virtual(main())


def test_a_watch_from_a_forgotten_version_is_refused_as_expired() -> None:
    async def main() -> None:
        async with in_process(window=4) as client:
            for number in range(20):
                await client.create(CLASSES, a_class(f"n{number}"))
            with pytest.raises(Expired):
                async with client.watch(CLASSES, "1", seconds=10, read_timeout=20) as lines:
                    # A server may also say so as the first event.
                    assert b'"code":410' in await anext(lines)
                    raise Expired(410, "Expired", "said in the stream")

    run_virtual(main())


def test_an_hour_of_watching_in_virtual_time_costs_no_list() -> None:
    async def main() -> None:
        async with in_process() as client, following(client) as informer:
            for number in range(60):
                await asyncio.sleep(60)
                await client.create(CLASSES, a_class(f"n{number}"))
            await until(informer, lambda: informer.get("", "n59"))
            assert informer.relists == 0
            assert client.requests["list"] == 1
            assert 6 <= client.requests["watch"] <= 14

    run_virtual(main())


def test_the_same_seed_gives_the_same_bytes() -> None:
    def once() -> bytes:
        async def main() -> bytes:
            async with in_process() as client:
                writes = WriteScheduler(client, rng=random.Random(5))
                running = asyncio.create_task(writes.run())
                for number in range(50):
                    writes.submit(
                        Lane.CREATE, number, lambda c, n=number: c.create(CLASSES, a_class(f"w{n}"))
                    )
                    await asyncio.sleep(0.01 * (number % 3))
                await writes.drain()
                running.cancel()
                return (await client.raw("GET", CLASSES.path())).body

        return run_virtual(main())

    assert once() == once()


async def test_a_wrong_token_is_refused() -> None:
    async with over_http() as client:
        url = client.transport._server
        stranger = Client(HttpTransport(Credentials(url)))
        with pytest.raises(Unauthorized):
            await stranger.list(PODS)
        await stranger.close()
