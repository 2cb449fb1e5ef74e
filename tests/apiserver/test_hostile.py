"""What hostile callers send gets a 4xx, never a crash."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.apiserver.core import ApiServer, Request, Response
from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    JOBS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    UNITS,
    Api,
    a_definition,
    a_job,
    a_pod,
    a_server,
    a_unit,
)
from tests.examples import examples

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def spoiled(obj: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the object with another value at that place."""
    out = json.loads(json.dumps(obj))
    inner = out
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return out


RICH_POD = a_pod(
    initContainers=[{"name": "i", "image": "i", "env": [{"name": "A", "valueFrom": {}}]}],
    volumes=[{"name": "v"}, {"name": "w", "configMap": {"name": "c"}}],
    tolerations=[{"key": "k", "effect": "NoExecute"}],
    priorityClassName="system-node-critical",
    overhead={"cpu": "1"},
)
RICH_POD["metadata"] |= {
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}],
    "finalizers": ["a/b"],
}
RICH_POD["spec"]["containers"][0] |= {
    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
    "ports": [{"containerPort": 1}],
    "livenessProbe": {"exec": {"command": ["x"]}},
}
RICH_JOB = a_job(
    selector={"matchLabels": {"a": "b"}},
    podFailurePolicy={"rules": []},
    completionMode="Indexed",
    completions=1,
    parallelism=1,
)
RICH_JOB["spec"]["template"]["metadata"] = {"labels": {"a": "b"}}
CASES = [
    (PODS, RICH_POD),
    (JOBS, RICH_JOB),
    (CRDS, a_definition()),
    (UNITS, a_unit(parts=[{"name": "a"}], free={"x": 1})),
    ("/api/v1/namespaces", {"metadata": {"name": "n"}}),
    ("/api/v1/nodes", {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "1"}}}),
    (
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"metadata": {"name": "n"}, "value": 1, "globalDefault": True},
    ),
    (
        "/api/v1/namespaces/default/limitranges",
        {"metadata": {"name": "n"}, "spec": {"limits": [{"default": {"cpu": "1"}}]}},
    ),
    (
        "/api/v1/namespaces/default/resourcequotas",
        {"metadata": {"name": "n"}, "spec": {"hard": {"cpu": "1"}}},
    ),
    (
        "/apis/events.k8s.io/v1/namespaces/default/events",
        {"metadata": {"name": "n"}, "regarding": {"name": "x"}, "note": "x"},
    ),
    (f"{PODS}/there/binding", {"metadata": {"name": "there"}, "target": {"name": "n"}}),
    (f"{PODS}/there/eviction", {"metadata": {"name": "there"}, "deleteOptions": {"dryRun": []}}),
]


async def world() -> ApiServer:
    server = a_server()
    for path, obj in ((CRDS, a_definition()), (PODS, a_pod("there")), (UNITS, a_unit("there"))):
        response = await ask(server, "POST", path, obj)
        assert response.status == 201
    return server


async def ask(
    server: ApiServer, method: str, path: str, body: Any, media: str = "application/json"
) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await server.handle(Request(method, path, (), {"content-type": media}, raw))
    assert isinstance(response.body, bytes)
    if response.status >= 400:
        assert json.loads(response.body)["kind"] == "Status"
    return response


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_any_value_in_any_field_is_accepted_or_refused(data: st.DataObject) -> None:
    async def run() -> None:
        server = await world()
        for _ in range(4):
            path, obj = data.draw(st.sampled_from(CASES))
            place = data.draw(st.sampled_from(places(obj)))
            response = await ask(server, "POST", path, spoiled(obj, place, data.draw(junk)))
            assert response.status < 500
            listed = await server.handle(Request("GET", path.partition("/there")[0]))
            assert listed.status == 200
        await asyncio.sleep(0)
        await server.close()

    asyncio.run(run())


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))
def test_any_bytes_are_accepted_or_refused(raw: bytes, method: str) -> None:
    async def run() -> None:
        server = await world()
        for media in ("application/json", MERGE, JSON_PATCH, "application/vnd.kubernetes.protobuf"):
            for body in (raw, b"k8s\x00" + raw):
                path = PODS if method == "POST" else f"{PODS}/there"
                assert (await ask(server, method, path, body, media)).status < 500
        await server.close()

    asyncio.run(run())


@settings(max_examples=examples(100), deadline=None)
@given(junk, st.sampled_from([MERGE, JSON_PATCH, STRATEGIC]), st.data())
def test_any_patch_is_accepted_or_refused(patch: Any, media: str, data: st.DataObject) -> None:
    async def run() -> None:
        server = await world()
        place = data.draw(st.sampled_from(places(RICH_POD)))
        for path in (f"{PODS}/there", f"{PODS}/there/status", f"{UNITS}/there"):
            for body in (patch, spoiled(RICH_POD, place, patch)):
                assert (await ask(server, "PATCH", path, body, media)).status < 500
        await server.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b'{"metadata":{"name":"\xff\xfe"}}', 400),
        (b'{"metadata":{"name":"\\ud800"}}', 400),
        (b'{"a":' * 100_000, 400),
        (b"[" * 500_000, 400),
        (b'{"metadata":{"name":"a"},"data":' + b'{"x":' * 300 + b"1" + b"}" * 301, 400),
        (b" " * (3 * 1024 * 1024 + 1), 413),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(api: Api, body: bytes, status: int) -> None:
    if not body:
        body = b" "
    answer = await api.call("POST", CONFIG_MAPS, body)
    assert answer.status == status
    assert answer.body["kind"] == "Status"


async def test_a_deep_patch_is_refused(local: Api) -> None:
    await local.made(CRDS, a_definition())
    await local.made(UNITS, a_unit())
    deep: Any = 1
    for _ in range(190):
        deep = {"x": deep}
    answer = await local.patch(f"{UNITS}/u", {"spec": {"free": deep}})
    assert answer.status == 200
    further = [{"op": "add", "path": "/spec/free" + "/x" * 189, "value": deep}]
    answer = await local.patch(f"{UNITS}/u", further, media=JSON_PATCH)
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/api//v1/pods",
        "/api/v1/namespaces//pods",
        "/apis/a/b/c/d/e/f/g/h",
        "/api/v1/%2e%2e",
        "/.",
    ],
)
async def test_odd_paths_are_not_found(local: Api, path: str) -> None:
    assert (await local.get(path)).status == 404


async def test_a_body_in_another_form_is_unsupported(local: Api) -> None:
    answer = await local.call("POST", CONFIG_MAPS, b"a: b", media="application/yaml")
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")
