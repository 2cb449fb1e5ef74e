"""Lists: order, pages, versions, selectors and tables."""

from typing import Any

import pytest

from tests.apiserver.client import (
    CONFIG_MAPS,
    PODS,
    UNITS,
    Api,
    Clock,
    InProcess,
    a_config_map,
    a_pod,
    a_server,
    a_unit,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def fill(api: Api, *names: str) -> None:
    for name in names:
        await api.made(CONFIG_MAPS, a_config_map(name, n=name))


async def test_a_list_is_in_the_order_of_names_and_of_one_namespace(api: Api) -> None:
    await fill(api, "b", "c", "a")
    await api.made("/api/v1/namespaces/kube-system/configmaps", a_config_map("0"))
    listed = (await api.get(CONFIG_MAPS)).body
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b", "c"]
    assert await api.names("/api/v1/configmaps") == ["a", "b", "c", "0"]


async def test_pages_show_the_world_as_it_was_at_the_first(api: Api) -> None:
    await fill(api, "a", "b", "c", "d", "e")
    first = (await api.get(CONFIG_MAPS, limit="2")).body
    assert first["metadata"]["remainingItemCount"] == 3
    await api.delete(f"{CONFIG_MAPS}/d")
    await fill(api, "bb")
    await api.patch(f"{CONFIG_MAPS}/c", {"data": {"key": "new"}})
    token = first["metadata"]["continue"]
    second = (await api.get(CONFIG_MAPS, **{"limit": "2", "continue": token})).body
    assert [(i["metadata"]["name"], i["data"]["key"]) for i in second["items"]] == [
        ("c", "value"),
        ("d", "value"),
    ]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    token = second["metadata"]["continue"]
    third = (await api.get(CONFIG_MAPS, **{"limit": "2", "continue": token})).body
    assert [i["metadata"]["name"] for i in third["items"]] == ["e"]
    assert "continue" not in third["metadata"]


async def test_a_page_whose_past_is_forgotten_has_expired() -> None:
    clock = Clock()
    server = a_server(window=3, clock=clock)
    api = Api(InProcess(server), server, clock)
    await fill(api, "a", "b", "c")
    tokens = []
    for number in range(10):
        tokens.append((await api.get(CONFIG_MAPS, limit="1")).body["metadata"]["continue"])
        await fill(api, f"x{number}")
    answer = await api.get(CONFIG_MAPS, **{"limit": "1", "continue": tokens[0]})
    assert (answer.status, answer.reason) == (410, "Expired")
    fresh = await api.get(CONFIG_MAPS, **{"limit": "1", "continue": tokens[-1]})
    assert fresh.status == 200


@pytest.mark.parametrize("token", ["x", "e30", "eyJydiI6IngifQ", "!!!", "W10"])
async def test_a_foreign_page_token_is_a_bad_request(local: Api, token: str) -> None:
    assert (await local.get(CONFIG_MAPS, **{"continue": token})).status == 400


async def test_an_exact_version_shows_that_moment(api: Api) -> None:
    await fill(api, "a")
    then = (await api.get(CONFIG_MAPS)).body["metadata"]["resourceVersion"]
    await fill(api, "b")
    await api.delete(f"{CONFIG_MAPS}/a")
    exact = {"resourceVersion": then, "resourceVersionMatch": "Exact"}
    assert await api.names(CONFIG_MAPS, **exact) == ["a"]
    newer = {"resourceVersion": then, "resourceVersionMatch": "NotOlderThan"}
    assert await api.names(CONFIG_MAPS, **newer) == ["b"]
    assert await api.names(CONFIG_MAPS, resourceVersion="0") == ["b"]


async def test_a_version_of_the_future_is_a_timeout_that_says_so(local: Api) -> None:
    answer = await local.get(CONFIG_MAPS, resourceVersion="999")
    assert (answer.status, answer.reason) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "Never", "resourceVersion": "1"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"sendInitialEvents": "true"},
        {"watch": "true", "sendInitialEvents": "true"},
        {"watch": "true", "resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_contradicting_options_are_refused(local: Api, query: dict[str, str]) -> None:
    assert (await local.get(CONFIG_MAPS, **query)).status == 422


@pytest.mark.parametrize(
    "query",
    [{"limit": "-1"}, {"limit": "x"}, {"resourceVersion": "x"}, {"timeoutSeconds": "1.5"}],
)
async def test_options_that_are_no_numbers_are_refused(local: Api, query: dict[str, str]) -> None:
    assert (await local.get(CONFIG_MAPS, **query)).status == 400


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", ["a", "b", "c"]),
        ("tier=web", ["a"]),
        ("tier==web", ["a"]),
        ("tier!=web", ["b", "c"]),
        ("tier in (web, db)", ["a", "b"]),
        ("tier notin (web)", ["b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("size>2", ["b"]),
        ("size<2", ["a"]),
        ("tier,size=1", ["a"]),
        ("empty=", ["c"]),
        ("tier in (web,db),tier notin (db)", ["a"]),
    ],
)
async def test_label_selectors(local: Api, selector: str, names: list[str]) -> None:
    await local.made(CONFIG_MAPS, a_config_map("a", tier="web", size="1"))
    await local.made(CONFIG_MAPS, a_config_map("b", tier="db", size="3"))
    await local.made(CONFIG_MAPS, a_config_map("c", empty=""))
    assert await local.names(CONFIG_MAPS, labelSelector=selector) == names


@pytest.mark.parametrize(
    "selector", ["a in", "a in (b", "a=b=c", "=", "a>x", ",", "a,,b", "(", "a b"]
)
async def test_a_label_selector_that_cannot_be_read_is_a_bad_request(
    local: Api, selector: str
) -> None:
    answer = await local.get(CONFIG_MAPS, labelSelector=selector)
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name!=a", ["b"]),
        ("spec.nodeName=n1", ["a"]),
        ("spec.nodeName=", ["b"]),
        ("spec.nodeName!=,status.phase=Pending", ["a"]),
        ("metadata.namespace=default,status.phase!=Running", ["a", "b"]),
    ],
)
async def test_field_selectors_of_pods(local: Api, selector: str, names: list[str]) -> None:
    await local.made(PODS, a_pod("a", nodeName="n1"))
    await local.made(PODS, a_pod("b"))
    assert await local.names(PODS, fieldSelector=selector) == names


async def test_events_are_found_by_what_they_are_about(local: Api) -> None:
    path = "/api/v1/namespaces/default/events"
    for name, about in (("x", "j1"), ("y", "j2")):
        involved = {"kind": "Job", "name": about, "namespace": "default", "uid": f"uid-{about}"}
        event = {"metadata": {"name": name}, "involvedObject": involved, "reason": "Admitted"}
        await local.made(path, event)
    chosen = "involvedObject.kind=Job,involvedObject.name=j2,involvedObject.uid=uid-j2"
    assert await local.names(path, fieldSelector=chosen) == ["y"]
    newer = await local.get("/apis/events.k8s.io/v1/namespaces/default/events/y")
    assert newer.body["regarding"]["name"] == "j2"
    assert newer.body["apiVersion"] == "events.k8s.io/v1"


@pytest.mark.parametrize("selector", ["spec.size=1", "spec.nodeName", "status.phase=x"])
async def test_a_field_that_cannot_be_selected_is_a_bad_request(units: Api, selector: str) -> None:
    answer = await units.get(UNITS, fieldSelector=selector)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_selectors_and_pages_go_together(local: Api) -> None:
    for number in range(9):
        await local.made(CONFIG_MAPS, a_config_map(f"c{number}", odd=str(number % 2)))
    found: list[str] = []
    query = {"labelSelector": "odd=1", "limit": "3"}
    while True:
        page = (await local.get(CONFIG_MAPS, **query)).body
        found += [item["metadata"]["name"] for item in page["items"]]
        if "continue" not in page["metadata"]:
            break
        query["continue"] = page["metadata"]["continue"]
    assert found == ["c1", "c3", "c5", "c7"]


async def test_a_table_has_a_row_for_each_object(units: Api) -> None:
    await units.made(UNITS, a_unit("a", size=3))
    table = (await units.get(UNITS, accept=TABLE)).body
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert table["rows"][0]["cells"] == ["a", 3]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    one = (await units.get(f"{UNITS}/a", accept=TABLE, includeObject="Object")).body
    assert one["rows"][0]["object"]["kind"] == "Unit"


async def test_metadata_alone_can_be_listed(local: Api) -> None:
    await fill(local, "a")
    listed: dict[str, Any] = (await local.get(CONFIG_MAPS, accept=METADATA)).body
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}
