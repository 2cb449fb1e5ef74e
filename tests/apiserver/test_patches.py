"""The three patches: laws, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.apiserver.patches import (
    PatchMalformed,
    PatchRefused,
    json_patch,
    merge_patch,
    same,
)
from kube_queue.apiserver.strategic import Merging, strategic_patch
from tests.apiserver.client import JOBS, PODS, STRATEGIC, Api, a_job, a_pod

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~", max_size=3)
keys = st.text("ab/~0", max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
solid = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(keys, solid, max_size=4)


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def difference(old: Any, new: Any) -> Any:
    """The merge patch that leads from one object to another."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif not same(old[key], value):
            patch[key] = difference(old[key], value)
    return patch


@given(objects, objects)
def test_a_merge_patch_leads_from_any_object_to_any_other(old: Any, new: Any) -> None:
    assert same(merge_patch(copied(old), difference(old, new)), new)


@given(values, values)
def test_a_merge_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = merge_patch(copied(target), copied(patch))
    assert same(merge_patch(copied(once), copied(patch)), once)


@given(values)
def test_an_empty_merge_patch_changes_no_object(target: Any) -> None:
    if isinstance(target, dict):
        assert same(merge_patch(copied(target), {}), target)


def pointers(value: Any, path: str = "") -> list[str]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += pointers(item, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += pointers(item, f"{path}/{index}")
    return found


@given(values, st.data())
def test_a_json_patch_undone_leaves_what_was(target: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(pointers(target)))
    copy = [{"op": "copy", "from": path, "path": "/fresh"}, {"op": "remove", "path": "/fresh"}]
    if isinstance(target, dict) and "fresh" not in target:
        assert same(json_patch(copied(target), copy), target)
    test = [{"op": "test", "path": path, "value": value_at(target, path)}]
    assert same(json_patch(copied(target), test), target)


def value_at(value: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        plain = part.replace("~1", "/").replace("~0", "~")
        value = value[int(plain)] if isinstance(value, list) else value[plain]
    return value


@given(values, values, st.data())
def test_what_a_json_patch_replaces_is_what_it_says(
    target: Any, value: Any, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(pointers(target)))
    replaced = json_patch(copied(target), [{"op": "replace", "path": path, "value": value}])
    assert same(value_at(replaced, path), value)


operation = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "nonsense"])},
    optional={
        "path": st.text("/ab0-~", max_size=5),
        "from": st.text("/ab0~", max_size=4),
        "value": values,
    },
)


@given(values, st.lists(operation | values, max_size=5))
def test_any_json_patch_applies_or_is_refused(target: Any, patch: Any) -> None:
    try:
        json_patch(copied(target), patch)
    except (PatchMalformed, PatchRefused):
        return


@given(values, values)
def test_any_strategic_patch_applies_or_is_refused(target: Any, patch: Any) -> None:
    try:
        strategic_patch(copied(target), patch, Merging({}, {}))
    except (PatchMalformed, PatchRefused):
        return


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_cases_of_rfc_7386(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch(document, patch) == result


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a/b": 1}, [{"op": "remove", "path": "/a~1b"}], {}),
        ({"a~b": 1}, [{"op": "move", "from": "/a~0b", "path": "/c"}], {"c": 1}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], PatchRefused),
        ({"a": 1}, [{"op": "remove", "path": "/b"}], PatchRefused),
        ({"a": [1]}, [{"op": "replace", "path": "/a/01", "value": 2}], PatchRefused),
        ({"a": [1]}, [{"op": "add", "path": "/a/3", "value": 2}], PatchRefused),
        ({"a": {}}, [{"op": "move", "from": "/a", "path": "/a/b"}], PatchRefused),
        ({"a": 1}, [{"op": "add", "path": "a", "value": 2}], PatchRefused),
        ({"a": 1}, [{"op": "paint", "path": "/a"}], PatchRefused),
        ({"a": 1}, {"a": 2}, PatchMalformed),
    ],
)
def test_cases_of_rfc_6902(document: Any, patch: Any, result: Any) -> None:
    if isinstance(result, type):
        with pytest.raises(result):
            json_patch(document, patch)
    else:
        assert json_patch(document, patch) == result


def test_copies_cannot_grow_without_bound() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/{number}"} for number in range(40)]
    with pytest.raises(PatchRefused, match="copy operations may add"):
        json_patch({"seed": "x" * 1000}, doubling)


CONTAINERS = Merging(
    {
        "properties": {
            "containers": {
                "x-kubernetes-patch-merge-key": "name",
                "x-kubernetes-patch-strategy": "merge",
                "items": {"properties": {"args": {"type": "array"}}},
            },
            "finalizers": {"x-kubernetes-patch-strategy": "merge", "items": {"type": "string"}},
            "strategy": {"x-kubernetes-patch-strategy": "retainKeys"},
        }
    },
    {},
)


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        (
            {"containers": [{"name": "b", "image": "2"}]},
            [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}],
        ),
        (
            {"containers": [{"name": "c", "image": "3"}]},
            [{"name": "c", "image": "3"}, {"name": "a", "image": "1"}, {"name": "b"}],
        ),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, [{"name": "b"}]),
        ({"containers": [{"$patch": "replace"}, {"name": "z"}]}, [{"name": "z"}]),
        ({"containers": None}, None),
        (
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
            [{"name": "b"}, {"name": "a", "image": "1"}],
        ),
    ],
)
def test_lists_with_merge_keys_are_maps(patch: Any, result: Any) -> None:
    target = {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}
    assert strategic_patch(target, patch, CONTAINERS).get("containers") == result


def test_lists_of_values_are_sets_when_merged() -> None:
    target = {"finalizers": ["a", "b"]}
    assert strategic_patch(target, {"finalizers": ["b", "c"]}, CONTAINERS) == {
        "finalizers": ["a", "b", "c"]
    }
    less = {"$deleteFromPrimitiveList/finalizers": ["a"]}
    assert strategic_patch(target, less, CONTAINERS)["finalizers"] == ["b", "c"]


def test_retained_keys_drop_the_others() -> None:
    target = {"strategy": {"type": "Rolling", "rolling": {"max": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic_patch(target, patch, CONTAINERS) == {"strategy": {"type": "Recreate"}}


def test_a_list_item_without_its_key_is_refused() -> None:
    with pytest.raises(PatchRefused, match="merge key: name"):
        strategic_patch({}, {"containers": [{"image": "x"}]}, CONTAINERS)


async def test_built_in_kinds_merge_by_the_keys_of_their_schema(api: Api) -> None:
    await api.made(PODS, a_pod())
    change = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
    answer = await api.patch(f"{PODS}/p", change, media=STRATEGIC)
    assert [c["image"] for c in answer.body["spec"]["containers"]] == ["busybox:2"]
    conditions = [{"type": "Ready", "status": "True"}]
    await api.patch(f"{PODS}/p/status", {"status": {"conditions": conditions}}, media=STRATEGIC)
    conditions = [{"type": "Initialized", "status": "True"}]
    answer = await api.patch(
        f"{PODS}/p/status", {"status": {"conditions": conditions}}, media=STRATEGIC
    )
    types = [c["type"] for c in answer.body["status"]["conditions"]]
    assert types == ["Initialized", "Ready"]


async def test_a_job_is_suspended_by_a_strategic_patch(api: Api) -> None:
    await api.made(JOBS, a_job())
    answer = await api.patch(f"{JOBS}/j", {"spec": {"suspend": True}}, media=STRATEGIC)
    assert answer.body["spec"]["suspend"] is True
    assert answer.body["metadata"]["generation"] == 2
