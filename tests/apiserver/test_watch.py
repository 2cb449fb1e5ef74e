"""Watches: what is told, in which order, and when they end."""

import asyncio

import pytest

from kube_queue.apiserver.core import ApiServer, Request
from kube_queue.apiserver.watch import BUFFER, WatchStream
from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    PODS,
    UNITS,
    Api,
    Clock,
    InProcess,
    Stream,
    a_config_map,
    a_definition,
    a_pod,
    a_server,
    a_unit,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def now(api: Api) -> str:
    version: str = (await api.get(CONFIG_MAPS)).body["metadata"]["resourceVersion"]
    return version


async def test_a_watch_tells_every_change_in_order(api: Api) -> None:
    stream = await api.watch(CONFIG_MAPS, resourceVersion=await now(api))
    await api.made(CONFIG_MAPS, a_config_map("a"))
    await api.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "2"}})
    await api.made("/api/v1/namespaces/kube-system/configmaps", a_config_map("elsewhere"))
    await api.delete(f"{CONFIG_MAPS}/a")
    events = [await stream.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert events[2]["object"]["data"] == {"key": "2"}


async def test_a_watch_resumes_where_another_ended(api: Api) -> None:
    made = await api.made(CONFIG_MAPS, a_config_map("a"))
    await api.made(CONFIG_MAPS, a_config_map("b"))
    await api.delete(f"{CONFIG_MAPS}/a")
    stream = await api.watch(CONFIG_MAPS, resourceVersion=made["metadata"]["resourceVersion"])
    assert await stream.names(2) == [("ADDED", "b"), ("DELETED", "a")]


@pytest.mark.parametrize("version", ["", "0"])
async def test_a_watch_without_a_version_begins_with_what_exists(api: Api, version: str) -> None:
    await api.made(CONFIG_MAPS, a_config_map("a"))
    await api.made(CONFIG_MAPS, a_config_map("b"))
    stream = await api.watch(CONFIG_MAPS, resourceVersion=version)
    await api.made(CONFIG_MAPS, a_config_map("c"))
    assert await stream.names(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_initial_events_end_with_an_annotated_bookmark(api: Api) -> None:
    await api.made(CONFIG_MAPS, a_config_map("a"))
    stream = await api.watch(
        CONFIG_MAPS,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
    )
    assert await stream.names(1) == [("ADDED", "a")]
    mark = await stream.next()
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["kind"] == "ConfigMap"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert mark["object"]["metadata"]["resourceVersion"] == await now(api)
    await api.made(CONFIG_MAPS, a_config_map("b"))
    assert await stream.names(1) == [("ADDED", "b")]


async def test_a_watch_from_a_forgotten_version_ends_with_expired() -> None:
    server = a_server(window=3)
    api = Api(InProcess(server), server, Clock())
    old = await now(api)
    for number in range(5):
        await api.made(CONFIG_MAPS, a_config_map(f"c{number}"))
    stream = await api.watch(CONFIG_MAPS, resourceVersion=old)
    event = await stream.next()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert await stream.ended()


async def test_a_watch_from_another_life_of_the_server_has_expired(local: Api) -> None:
    stream = await local.watch(CONFIG_MAPS, resourceVersion="99999")
    assert (await stream.next())["object"]["code"] == 410


async def test_a_watch_ends_after_its_timeout(api: Api) -> None:
    stream = await api.watch(CONFIG_MAPS, timeoutSeconds="1")
    assert await stream.ended()


async def test_objects_enter_and_leave_a_selection(api: Api) -> None:
    stream = await api.watch(CONFIG_MAPS, labelSelector="team=a", resourceVersion=await now(api))
    made = await api.made(CONFIG_MAPS, a_config_map("x", team="b"))
    await api.patch(f"{CONFIG_MAPS}/x", {"metadata": {"labels": {"team": "a"}}})
    await api.patch(f"{CONFIG_MAPS}/x", {"data": {"key": "2"}})
    left = await api.patch(f"{CONFIG_MAPS}/x", {"metadata": {"labels": {"team": "b"}}})
    await api.delete(f"{CONFIG_MAPS}/x")
    await api.made(CONFIG_MAPS, a_config_map("y", team="a"))
    events = [await stream.next() for _ in range(4)]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [
        ("ADDED", "x"),
        ("MODIFIED", "x"),
        ("DELETED", "x"),
        ("ADDED", "y"),
    ]
    gone = events[2]["object"]
    assert gone["metadata"]["labels"] == {"team": "a"}
    assert gone["metadata"]["resourceVersion"] == left.body["metadata"]["resourceVersion"]
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_kubelet_sees_the_pods_of_its_node(local: Api) -> None:
    stream = await local.watch(PODS, fieldSelector="spec.nodeName=n1")
    await local.made(PODS, a_pod("other", nodeName="n2"))
    await local.made(PODS, a_pod("mine"))
    binding = {"metadata": {"name": "mine"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await local.create(f"{PODS}/mine/binding", binding)).status == 201
    assert await stream.names(1) == [("ADDED", "mine")]


async def test_one_object_can_be_watched_by_its_path(local: Api) -> None:
    stream = await local.watch(f"{CONFIG_MAPS}/b")
    await local.made(CONFIG_MAPS, a_config_map("a"))
    await local.made(CONFIG_MAPS, a_config_map("b"))
    assert await stream.names(1) == [("ADDED", "b")]


async def test_every_watch_event_can_be_a_table(units: Api) -> None:
    stream = await units.watch(UNITS, accept=TABLE)
    await units.made(UNITS, a_unit("a", size=2))
    event = await stream.next()
    assert event["type"] == "ADDED"
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"] == ["a", 2]


async def test_watches_end_with_their_kind(units: Api) -> None:
    stream = await units.watch(UNITS)
    await units.made(UNITS, a_unit())
    await units.delete(f"{CRDS}/units.test.kube-queue.io")
    assert await stream.names(2) == [("ADDED", "u"), ("DELETED", "u")]
    assert await stream.ended()


async def test_watchers_share_the_encoded_bytes_of_an_event(local: Api) -> None:
    streams = [await raw_stream(local.server) for _ in range(3)]
    await local.made(CONFIG_MAPS, a_config_map())
    lines = [await anext(stream) for stream in streams]
    assert lines[0] is lines[1]
    assert lines[1] is lines[2]


async def raw_stream(server: ApiServer) -> WatchStream:
    query = (("watch", "1"), ("allowWatchBookmarks", "1"))
    response = await server.handle(Request("GET", CONFIG_MAPS, query))
    assert isinstance(response.body, WatchStream)
    return response.body


async def test_a_reader_that_stays_behind_is_cut_off_and_others_are_not(local: Api) -> None:
    slow, quick = await raw_stream(local.server), await raw_stream(local.server)
    cut: list[bool] = []
    slow.on_overflow(lambda: cut.append(True))
    await local.made(CONFIG_MAPS, a_config_map())
    read = 0
    for number in range(BUFFER + 5):
        await local.patch(f"{CONFIG_MAPS}/a", {"data": {"key": str(number)}})
        if number % 100 == 0:
            read += (await quick.batch()).count(b"\n")
    assert cut == [True]
    assert await slow.batch() == b""
    assert read > 0
    assert not quick.ended


async def test_bookmarks_come_by_and_by(local: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_queue.apiserver.watch.BOOKMARK_SECONDS", 0.01)
    stream = Stream(await raw_stream(local.server))
    await local.made("/api/v1/namespaces", {"metadata": {"name": "moves-the-version"}})
    version = (await local.get(CONFIG_MAPS)).body["metadata"]["resourceVersion"]
    async with asyncio.timeout(30):
        while (event := await stream.next())["object"]["metadata"]["resourceVersion"] != version:
            assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "ConfigMap"


async def test_a_closed_watch_is_forgotten(local: Api) -> None:
    stream = await raw_stream(local.server)
    await stream.aclose()
    assert not stream._collection.subscribers


async def test_a_new_definition_serves_watches_at_once(api: Api) -> None:
    await api.made(CRDS, a_definition())
    stream = await api.watch(UNITS)
    await api.made(UNITS, a_unit())
    assert await stream.names(1) == [("ADDED", "u")]
