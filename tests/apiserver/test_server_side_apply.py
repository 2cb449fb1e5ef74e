"""Server-side apply: who owns which field, and who may change it."""

from typing import Any

import pytest

from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    JSON_PATCH,
    PODS,
    UNITS,
    Answer,
    Api,
    Object,
    a_config_map,
    a_definition,
    a_unit,
)
from tests.apiserver.test_apps import APPS, a_workload

APPLY = "application/apply-patch+yaml"


async def applied(api: Api, path: str, obj: Object, manager: str = "one", **query: str) -> Answer:
    """The answer to an apply."""
    return await api.patch(
        f"{path}/{obj['metadata']['name']}", obj, APPLY, fieldManager=manager, **query
    )


def data(**values: str) -> Object:
    """The ConfigMap `a` as someone wants it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": values}


def owners(obj: Object) -> dict[tuple[str, str], Any]:
    """Manager and operation -> what it owns."""
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", ())
    }


async def test_an_apply_creates_what_is_not_there(api: Api) -> None:
    made = await applied(api, CONFIG_MAPS, data(x="1"))
    assert made.status == 201
    assert made.body["data"] == {"x": "1"}
    (entry,) = made.body["metadata"]["managedFields"]
    assert entry == {
        "manager": "one",
        "operation": "Apply",
        "apiVersion": "v1",
        "time": made.body["metadata"]["creationTimestamp"],
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}},
    }


async def test_an_apply_of_the_same_changes_nothing(local: Api) -> None:
    first = await applied(local, CONFIG_MAPS, data(x="1"))
    local.clock.now += 60
    again = await applied(local, CONFIG_MAPS, data(x="1"))
    assert (again.status, again.body) == (200, first.body)


async def test_a_field_left_out_by_its_only_owner_is_removed(api: Api) -> None:
    await applied(api, CONFIG_MAPS, data(x="1", y="2"))
    left = await applied(api, CONFIG_MAPS, data(y="2"))
    assert left.body["data"] == {"y": "2"}
    gone = await applied(api, CONFIG_MAPS, {k: v for k, v in data().items() if k != "data"})
    assert "data" not in gone.body


async def test_metadata_that_is_left_out_goes_and_the_name_stays(local: Api) -> None:
    noted = data(x="1")
    noted["metadata"]["annotations"] = {"a": "b"}
    noted["metadata"]["labels"] = {"c": "d"}
    await applied(local, CONFIG_MAPS, noted)
    left = await applied(local, CONFIG_MAPS, data(x="1"))
    assert left.status == 200
    assert not {"annotations", "labels"} & set(left.body["metadata"])


async def test_a_field_with_two_owners_stays_until_both_leave_it_out(local: Api) -> None:
    await applied(local, CONFIG_MAPS, data(x="1", y="2"))
    shared = await applied(local, CONFIG_MAPS, data(x="1"), "two")
    assert owners(shared.body)["two", "Apply"] == {"f:data": {"f:x": {}}}
    left = await applied(local, CONFIG_MAPS, data(y="2"))
    assert left.body["data"] == {"x": "1", "y": "2"}
    left = await applied(local, CONFIG_MAPS, data(z="3"), "two")
    assert left.body["data"] == {"y": "2", "z": "3"}


async def test_a_change_of_anothers_field_is_a_conflict_that_names_it(api: Api) -> None:
    await applied(api, CONFIG_MAPS, data(x="1", y="1"))
    refused = await applied(api, CONFIG_MAPS, data(x="2"), "two")
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .data.x'
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.x"}
    ]
    both = await applied(api, CONFIG_MAPS, data(x="2", y="2"), "two")
    assert both.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .data.x\n- .data.y'
    )
    assert (await api.get(f"{CONFIG_MAPS}/a")).body["data"] == {"x": "1", "y": "1"}


async def test_force_takes_the_field_from_its_owner(api: Api) -> None:
    await applied(api, CONFIG_MAPS, data(x="1", y="1"))
    forced = await applied(api, CONFIG_MAPS, data(x="2"), "two", force="true")
    assert forced.body["data"] == {"x": "2", "y": "1"}
    assert owners(forced.body) == {
        ("one", "Apply"): {"f:data": {"f:y": {}}},
        ("two", "Apply"): {"f:data": {"f:x": {}}},
    }


async def test_an_update_takes_what_it_changes_and_no_more(local: Api) -> None:
    await applied(local, CONFIG_MAPS, data(x="1", y="1"))
    patch = {"data": {"x": "2", "y": "1", "z": "3"}}
    changed = await local.patch(f"{CONFIG_MAPS}/a", patch, fieldManager="hand")
    assert owners(changed.body) == {
        ("one", "Apply"): {"f:data": {"f:y": {}}},
        ("hand", "Update"): {"f:data": {"f:x": {}, "f:z": {}}},
    }
    refused = await applied(local, CONFIG_MAPS, data(x="1", y="1"))
    assert 'conflict with "hand" using v1: .data.x' in refused.message


async def test_what_was_there_before_the_first_apply_has_an_owner_too(api: Api) -> None:
    made = await api.made(CONFIG_MAPS, a_config_map())
    assert "managedFields" not in made["metadata"]
    refused = await applied(api, CONFIG_MAPS, data(key="other"))
    assert '"before-first-apply" using v1: .data.key' in refused.message
    shared = await applied(api, CONFIG_MAPS, data(key="value"))
    assert set(owners(shared.body)) == {("one", "Apply"), ("before-first-apply", "Update")}


async def test_a_removal_by_an_update_ends_every_ownership(local: Api) -> None:
    await applied(local, CONFIG_MAPS, data(x="1", y="1"))
    changed = await local.patch(f"{CONFIG_MAPS}/a", {"data": {"x": None}})
    assert owners(changed.body) == {("one", "Apply"): {"f:data": {"f:y": {}}}}


async def test_containers_are_merged_by_name_and_ports_by_number_and_protocol(local: Api) -> None:
    def wanted(**container: Any) -> Object:
        spec = a_workload("Deployment")
        spec["spec"]["template"]["spec"]["containers"] = [
            {"name": "c", "image": "nginx", **container}
        ]
        return spec

    path = f"{APPS}/deployments"
    await applied(local, path, wanted(ports=[{"containerPort": 80}]))
    other = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "c", "ports": [{"containerPort": 80, "protocol": "UDP"}]},
                        {"name": "side", "image": "envoy"},
                    ]
                }
            }
        },
    }
    both = await applied(local, path, other, "two")
    containers = both.body["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in containers] == [("c", "nginx"), ("side", "envoy")]
    assert [p["protocol"] for p in containers[0]["ports"]] == ["TCP", "UDP"]
    left = await applied(local, path, wanted())
    containers = left.body["spec"]["template"]["spec"]["containers"]
    assert [p["protocol"] for p in containers[0]["ports"]] == ["UDP"]
    assert len(containers) == 2


async def test_an_item_leaves_with_the_defaults_the_server_gave_it(local: Api) -> None:
    wanted = a_workload("Deployment")
    containers = wanted["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "side", "image": "envoy", "resources": {"limits": {"cpu": "1"}}})
    path = f"{APPS}/deployments"
    await applied(local, path, wanted)
    del containers[1]
    left = await applied(local, path, wanted)
    assert [c["name"] for c in left.body["spec"]["template"]["spec"]["containers"]] == ["c"]


async def test_scale_owns_the_replicas_it_sets(local: Api) -> None:
    path = f"{APPS}/deployments"
    await applied(local, path, a_workload("Deployment", replicas=2))
    await local.patch(f"{path}/web/scale", {"spec": {"replicas": 4}}, fieldManager="scaler")
    refused = await applied(local, path, a_workload("Deployment", replicas=2))
    who = '"scaler" with subresource "scale" using apps/v1'
    assert refused.message == f"Apply failed with 1 conflict: conflict with {who}: .spec.replicas"
    left = await applied(local, path, a_workload("Deployment"))
    assert left.body["spec"]["replicas"] == 4


async def test_a_custom_kind_merges_its_lists_as_its_schema_says(units: Api) -> None:
    first = a_unit(parts=[{"name": "x", "count": 5}, {"name": "y"}])
    made = await applied(units, UNITS, first)
    assert made.body["spec"]["parts"] == [{"name": "x", "count": 5}, {"name": "y", "count": 2}]
    # A default is nobody's, so that another may set the field.
    fields = owners(made.body)["one", "Apply"]["f:spec"]
    assert set(fields) == {"f:size", "f:parts"}
    assert fields["f:parts"]['k:{"name":"y"}'] == {".": {}, "f:name": {}}
    second = a_unit(parts=[{"name": "z"}])
    del second["spec"]["size"]
    both = await applied(units, UNITS, second, "two")
    assert [part["name"] for part in both.body["spec"]["parts"]] == ["x", "y", "z"]
    left = await applied(units, UNITS, a_unit(parts=[{"name": "y"}]))
    assert [part["name"] for part in left.body["spec"]["parts"]] == ["y", "z"]


async def test_sets_are_joined_and_atomic_lists_replaced(local: Api) -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    spec = {
        "type": "object",
        "properties": {"tags": {**texts, "x-kubernetes-list-type": "set"}, "args": texts},
    }
    await local.made(CRDS, a_definition(spec=spec))

    def unit(**spec: Any) -> Object:
        return {**a_unit(), "spec": spec}

    await applied(local, UNITS, unit(tags=["a"], args=["1"]))
    both = await applied(local, UNITS, unit(tags=["b"]), "two")
    assert both.body["spec"] == {"tags": ["a", "b"], "args": ["1"]}
    refused = await applied(local, UNITS, unit(args=["2"]), "two")
    assert refused.message.endswith('conflict with "one": .spec.args')
    left = await applied(local, UNITS, unit(args=["1", "2"]))
    assert left.body["spec"] == {"tags": ["b"], "args": ["1", "2"]}


async def test_status_and_spec_are_applied_apart(units: Api) -> None:
    whole = {**a_unit(), "status": {"phase": "Ready"}}
    made = await applied(units, UNITS, whole)
    assert "status" not in made.body
    assert owners(made.body)["one", "Apply"] == {"f:spec": {"f:size": {}}}
    answer = await units.patch(f"{UNITS}/u/status", whole, APPLY, fieldManager="one")
    assert answer.body["status"] == {"phase": "Ready"}
    entries = answer.body["metadata"]["managedFields"]
    assert [(e.get("subresource"), e["fieldsV1"]) for e in entries] == [
        (None, {"f:spec": {"f:size": {}}}),
        ("status", {"f:status": {"f:phase": {}}}),
    ]
    gone = await units.patch(
        f"{UNITS}/none/status", {**whole, "metadata": {}}, APPLY, fieldManager="one"
    )
    assert gone.status == 404


async def test_a_dry_run_applies_nothing(local: Api) -> None:
    made = await applied(local, CONFIG_MAPS, data(x="1"), dryRun="All")
    assert (made.status, made.body["data"]) == (201, {"x": "1"})
    assert (await local.get(f"{CONFIG_MAPS}/a")).status == 404


async def test_yaml_is_read_as_kubernetes_reads_it(local: Api) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  day: '2026-01-01'\n"
    made = await local.patch(f"{CONFIG_MAPS}/a", text, APPLY, fieldManager="one")
    assert (made.status, made.body["data"]) == (201, {"day": "2026-01-01"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a: [", "error decoding YAML"),
        (b"a: &x [1]\nb: *x\n", "aliases are not supported"),
        (b"a: &x [*x]\n", "aliases are not supported"),
        (b"{1: 2}", "error decoding YAML"),
        (b"- 1", "must be an object"),
        (b"\xff", "error decoding YAML"),
        (b"[" * 5000, "error decoding YAML"),
        (b"", "must be an object"),
    ],
)
async def test_yaml_that_is_no_object_is_refused(local: Api, text: bytes, why: str) -> None:
    refused = await local.patch(f"{CONFIG_MAPS}/a", text, APPLY, fieldManager="one")
    assert refused.status == 400
    assert why in refused.message


async def test_an_apply_says_what_is_wrong_with_it(local: Api) -> None:
    path = f"{CONFIG_MAPS}/a"
    refused = await local.patch(path, data(), APPLY)
    assert refused.message.endswith("fieldManager: Required value: is required for apply patch")
    refused = await local.patch(path, {}, force="true")
    assert "may not be specified for non-apply patch" in refused.message
    for wrong, why in (
        ({**data(), "apiVersion": "v2"}, "Incorrect version specified in apply patch"),
        ({**data(), "kind": "Secret"}, "the kind in the data (Secret)"),
        ({**data(), "metadata": {"name": "b"}}, "does not match the name on the URL"),
        ({**data(), "metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
        ({**data(), "colour": "red"}, ".colour: field not declared in schema"),
    ):
        refused = await local.patch(path, wrong, APPLY, fieldManager="one")
        assert refused.status == 400
        assert why in refused.message
    refused = await local.patch(path, {**data(), "metadata": {"uid": "u"}}, APPLY, fieldManager="o")
    assert (refused.status, "uid mismatch" in refused.message) == (409, True)


async def test_items_of_a_list_need_their_keys_once(local: Api) -> None:
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    nameless = {**pod, "spec": {"containers": [{"image": "x"}]}}
    refused = await applied(local, PODS, nameless)
    assert 'omits key field "name"' in refused.message
    twice = {**pod, "spec": {"containers": [{"name": "c", "image": "x"}] * 2}}
    refused = await applied(local, PODS, twice)
    assert "duplicate entries for key" in refused.message


async def test_what_kubectl_applied_itself_is_no_conflict_for_it(local: Api) -> None:
    key = "kubectl.kubernetes.io/last-applied-configuration"
    made = a_config_map()
    made["metadata"]["annotations"] = {key: '{"data":{"key":"value"}}'}
    await local.made(CONFIG_MAPS, made)
    refused = await applied(local, CONFIG_MAPS, data(key="new"), "another")
    assert refused.status == 409
    taken = await applied(local, CONFIG_MAPS, data(key="new"), "kubectl")
    assert taken.body["data"] == {"key": "new"}
    assert '"key":"new"' in taken.body["metadata"]["annotations"][key]


async def test_managed_fields_may_be_rewritten_and_dropped_but_not_broken(local: Api) -> None:
    await applied(local, CONFIG_MAPS, data(x="1"))
    rename = [{"op": "replace", "path": "/metadata/managedFields/0/manager", "value": "new"}]
    changed = await local.patch(f"{CONFIG_MAPS}/a", rename, JSON_PATCH)
    assert set(owners(changed.body)) == {("new", "Apply")}
    broken: Object
    for broken in ({"fieldsV1": 3}, {"fieldsV1": {"x": {}}}, {"manager": 1}, {"operation": "?"}):
        entry = {"manager": "m", "operation": "Update", "fieldsV1": {"f:data": {}}, **broken}
        await local.patch(f"{CONFIG_MAPS}/a", {"metadata": {"managedFields": [entry]}})
        found = await local.get(f"{CONFIG_MAPS}/a")
        assert set(owners(found.body)) == {("new", "Apply")}
    reset = {"metadata": {"managedFields": [{}]}}
    changed = await local.patch(f"{CONFIG_MAPS}/a", reset)
    assert "managedFields" not in changed.body["metadata"]


async def test_many_who_updated_are_remembered_as_ancient(local: Api) -> None:
    await applied(local, CONFIG_MAPS, data(x="1"))
    for number in range(14):
        local.clock.now += 1
        patch = {"data": {f"k{number}": "v"}}
        answer = await local.patch(f"{CONFIG_MAPS}/a", patch, fieldManager=f"m{number}")
    updates = [name for name, operation in owners(answer.body) if operation == "Update"]
    assert len(updates) == 10
    assert "ancient-changes" in updates
    refused = await applied(local, CONFIG_MAPS, data(x="1", k0="w"), "one")
    assert '"ancient-changes" using v1: .data.k0' in refused.message
