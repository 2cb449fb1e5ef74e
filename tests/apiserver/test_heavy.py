"""Requests that are small to send and could be huge to answer stay small to answer."""

import json
import time
import tracemalloc
from typing import Any

import pytest

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.schema import DEFAULTS_LIMIT
from kube_queue.apiserver.status import MOST_CAUSES
from kube_queue.apiserver.store import WINDOW_BYTES
from kube_queue.apiserver.watch import BUFFER_BYTES
from kube_queue.apiserver.writing import OBJECT_LIMIT
from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    JSON_PATCH,
    PODS,
    STRATEGIC,
    UNITS,
    Api,
    a_config_map,
    a_definition,
    a_pod,
    a_unit,
)

MANY = 40_000
CPU_SECONDS = 10.0
"""Far above what these take, far below what they took when work grew with the square."""


async def within_reason(api: Api, *arguments: Any, **options: Any) -> Any:
    """The answer, which took little computing and is no larger than an object."""
    began = time.process_time()
    answer = await api.call(*arguments, **options)
    assert time.process_time() - began < CPU_SECONDS
    assert len(json.dumps(answer.body)) < OBJECT_LIMIT
    return answer


def containers(count: int) -> list[dict[str, str]]:
    return [{"name": f"c{number}", "image": "i"} for number in range(count)]


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"containers": containers(MANY)}},
        {"spec": {"containers": [{"$patch": "replace"}, *({"$patch": "replace"},) * MANY]}},
        {"metadata": {"finalizers": [f"a/b{number}" for number in range(MANY)]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": [str(n) for n in range(MANY)]}},
        {
            "spec": {
                "$setElementOrder/containers": [{"name": f"c{n}"} for n in range(MANY)],
                "containers": containers(MANY // 4),
            }
        },
    ],
)
async def test_the_work_of_a_strategic_patch_grows_with_its_length_only(
    local: Api, patch: dict[str, Any]
) -> None:
    pod = a_pod()
    pod["metadata"]["finalizers"] = [f"x/b{number}" for number in range(MANY)]
    await local.made(PODS, pod)
    answer = await within_reason(local, "PATCH", f"{PODS}/p", patch, media=STRATEGIC)
    assert answer.status in (200, 422)


async def test_of_many_causes_a_hundred_are_told(local: Api) -> None:
    labels = {f"k{number} ": "" for number in range(50_000)}
    answer = await within_reason(
        local, "POST", CONFIG_MAPS, {"metadata": {"name": "a", "labels": labels}}
    )
    assert answer.status == 422
    assert len(answer.body["details"]["causes"]) == MOST_CAUSES


async def test_of_a_large_object_the_first_wrong_field_is_told(local: Api) -> None:
    body = b'{"metadata":{"name":"a"},"spec":{"containers":[%b{}]}}' % (b"{}," * 90_000)
    answer = await within_reason(local, "POST", PODS, body)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.causes == {"spec.containers[0].name": "Required value"}


async def test_a_body_of_too_many_values_is_refused(local: Api) -> None:
    body = b'{"metadata":{"name":"a"},"x":[%b{}]}' % (b"{}," * 250_000)
    answer = await within_reason(local, "POST", CONFIG_MAPS, body)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "more than 200000 values" in answer.message


async def test_a_text_full_of_commas_is_one_value(local: Api) -> None:
    value = a_config_map()
    value["data"]["key"] = "," * 1_000_000
    assert (await local.create(CONFIG_MAPS, value)).status == 201


@pytest.mark.parametrize(
    "amount", ["9" * 301, "9" * 5000, "0." + "9" * 5000, "1e" + "9" * 3000, "9" * 200_000]
)
async def test_a_quantity_of_too_many_digits_is_none(local: Api, amount: str) -> None:
    answer = await within_reason(local, "POST", PODS, a_pod(overhead={"cpu": amount}))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "quantities must match" in answer.message


async def test_a_grace_period_beyond_the_calendar_ends_with_it(local: Api) -> None:
    await local.made(PODS, a_pod(nodeName="n", terminationGracePeriodSeconds=2**62))
    for options in (None, {"gracePeriodSeconds": 2**62}):
        answer = await local.delete(f"{PODS}/p", options)
        assert answer.status == 200
        assert answer.body["metadata"]["deletionTimestamp"] == "9999-12-31T23:59:59Z"


async def test_a_patch_cannot_copy_what_it_has_nested_too_deeply(local: Api) -> None:
    await local.made(CRDS, a_definition())
    await local.made(UNITS, a_unit())
    deep: Any = 1
    for _ in range(190):
        deep = {"x": deep}
    patch = [
        {"op": "add", "path": "/spec/free", "value": deep},
        {"op": "add", "path": "/spec/free" + "/x" * 189, "value": deep},
        {"op": "copy", "from": "/spec", "path": "/spec/y"},
    ]
    answer = await local.patch(f"{UNITS}/u", patch, media=JSON_PATCH)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "nested too deeply" in answer.message


def with_items(default: str) -> dict[str, Any]:
    item = {"type": "object", "properties": {"x": {"type": "string", "default": default}}}
    return a_definition(
        spec={"type": "object", "properties": {"l": {"type": "array", "items": item}}}
    )


async def test_defaults_do_not_make_gigabytes_of_kilobytes(local: Api) -> None:
    await local.made(CRDS, with_items("y" * 100_000))
    answer = await within_reason(local, "POST", UNITS, a_unit(l=[{}] * 20_000))
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")


async def test_neither_do_defaults_that_come_later(local: Api) -> None:
    await local.made(CRDS, with_items("y"))
    await local.made(UNITS, a_unit(l=[{}] * 20_000))
    definition = (await local.get(f"{CRDS}/units.test.kube-queue.io")).body
    item = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    item["properties"]["l"]["items"]["properties"]["z"] = {
        "type": "string",
        "default": "z" * 100_000,
    }
    assert (await local.replace(f"{CRDS}/units.test.kube-queue.io", definition)).status == 200
    answer = await local.get(f"{UNITS}/u")
    assert answer.status == 200
    assert len(json.dumps(answer.body)) < DEFAULTS_LIMIT + OBJECT_LIMIT


async def test_patches_do_not_make_an_object_larger_than_a_body_may_be(local_units: Api) -> None:
    await local_units.made(UNITS, a_unit())
    path = f"{UNITS}/u"
    statuses = [
        (await local_units.patch(f"{path}/status", {"status": {f"k{n}": "x" * 900_000}})).status
        for n in range(5)
    ]
    assert statuses == [200, 200, 200, 413, 413]
    assert (await local_units.delete(path)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        ".a" * 600,
        "[" + "9" * 400 + "]",
        "[1:" + "9" * 400 + "]",
        "[?(@.a==" + "9" * 400 + ")]",
        "[0" + ",0" * 200 + "]",
        "[?(@..a)]",
        "[?([?(@.a)])]",
    ],
)
async def test_a_column_whose_path_asks_too_much_is_refused(local: Api, path: str) -> None:
    definition = a_definition()
    columns = [{"name": "x", "type": "string", "jsonPath": path}]
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = columns
    answer = await local.create(CRDS, definition)
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_a_column_that_looks_everywhere_again_and_again_is_shown(local: Api) -> None:
    definition = a_definition()
    columns = [{"name": "x", "type": "string", "jsonPath": ".." * 300 + "x"}]
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = columns
    await local.made(CRDS, definition)
    deep: Any = "found"
    for _ in range(150):
        deep = {"x": deep}
    await local.made(UNITS, a_unit(free=deep))
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = await within_reason(local, "GET", UNITS, accept=table)
    assert answer.body["rows"][0]["cells"][1].startswith('{"x":')


async def test_a_definition_with_too_many_patterns_is_refused(local: Api) -> None:
    properties = {f"p{n}": {"type": "string", "pattern": "a"} for n in range(5001)}
    answer = await within_reason(
        local, "POST", CRDS, a_definition(spec={"type": "object", "properties": properties})
    )
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "at most 5000 patterns" in answer.message


async def test_a_definition_with_many_defaults_is_checked_in_time(local: Api) -> None:
    plain = {f"p{n}": {"type": "string", "default": "a"} for n in range(20_000)}
    spec = {"type": "object", "properties": plain}
    answer = await within_reason(local, "POST", CRDS, a_definition(spec=spec))
    assert answer.status == 201
    odd = {f"p{n}": {"type": "string", "minLength": 1, "default": "a"} for n in range(20_000)}
    spec = {"type": "object", "properties": odd}
    answer = await within_reason(local, "POST", CRDS, a_definition("others", "Other", spec=spec))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert "too many defaults to check" in answer.message


def rewritten(server: ApiServer, times: int, size: int) -> None:
    """One object is changed so often, straight in the store."""
    collection = server._world.store.collection("", "configmaps")
    obj = collection.records["default/a"].decode()
    for number in range(times):
        obj["data"]["key"] = f"{number}" + "x" * size
        server._world.store.put(collection, obj)


async def test_of_large_objects_fewer_events_are_kept(local: Api) -> None:
    await local.made(CONFIG_MAPS, a_config_map())
    rewritten(local.server, 200, 1 << 20)
    collection = local.server._world.store.collection("", "configmaps")
    assert sum(len(event.record.raw) for event in collection.events) <= WINDOW_BYTES
    assert len(collection.events) > 50
    stream = await local.watch(CONFIG_MAPS, resourceVersion="5")
    event = await stream.next()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_reader_of_large_objects_may_be_behind_by_bytes_as_well(local: Api) -> None:
    made = await local.made(CONFIG_MAPS, a_config_map())
    stream = await local.watch(CONFIG_MAPS, resourceVersion=made["metadata"]["resourceVersion"])
    rewritten(local.server, BUFFER_BYTES // (1 << 20) + 2, 1 << 20)
    assert await stream.ended()


async def test_a_head_of_a_watch_is_not_allowed(local: Api) -> None:
    answer = await local.call("HEAD", CONFIG_MAPS, query={"watch": "true"})
    assert answer.status == 405
    assert (await local.call("HEAD", CONFIG_MAPS)).status == 200


async def test_a_binding_with_metadata_of_the_wrong_type_is_refused(local: Api) -> None:
    path = "/api/v1/namespaces/default/bindings"
    for metadata in ("x", 1, [], None):
        answer = await local.create(path, {"metadata": metadata, "target": {"name": "n"}})
        assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_a_large_configuration_is_read_as_json_only(local: Api) -> None:
    value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    value["data"] = {f"k{number}": "v" * 20 for number in range(50_000)}  # type: ignore[assignment]
    apply = "application/apply-patch+yaml"
    query = {"fieldManager": "test"}
    lines = "".join(f"  k{number}: {'v' * 20}\n" for number in range(50_000))
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n{lines}".encode()
    path = f"{CONFIG_MAPS}/a"
    answer = await within_reason(local, "PATCH", path, text, query=query, media=apply)
    assert (answer.status, answer.reason) == (413, "RequestEntityTooLarge")
    answer = await within_reason(local, "PATCH", path, value, query=query, media=apply)
    # As JSON it is read, and found to be more than a ConfigMap may hold.
    assert (answer.status, answer.reason) in ((422, "Invalid"), (413, "RequestEntityTooLarge"))


async def test_a_small_object_takes_little_memory(local: Api) -> None:
    await local.made(CONFIG_MAPS, a_config_map("first"))
    tracemalloc.start()
    try:
        for number in range(300):
            await local.made(CONFIG_MAPS, a_config_map(f"c{number}"))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 300 < 3000


async def test_a_pod_of_too_many_containers_for_the_limit_ranges_is_refused(local: Api) -> None:
    amounts = {f"example.com/r{number}": "1" for number in range(3000)}
    limits = {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container"}]}}
    limits["spec"]["limits"][0]["default"] = amounts  # type: ignore[index]
    await local.made("/api/v1/namespaces/default/limitranges", limits)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": containers(3000)}}
    answer = await within_reason(local, "POST", PODS, pod)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert "3000 containers are too many for" in answer.message
    assert (await local.create(PODS, a_pod())).status == 201
