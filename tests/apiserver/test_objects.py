"""One object: created, read, replaced, patched."""

from typing import Any

import pytest

from tests.apiserver.client import (
    CONFIG_MAPS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    UNITS,
    Api,
    a_config_map,
    a_pod,
    a_unit,
)


async def test_a_created_object_has_identity_and_time(api: Api) -> None:
    made = await api.made(CONFIG_MAPS, a_config_map())
    meta = made["metadata"]
    assert made["apiVersion"] == "v1"
    assert made["kind"] == "ConfigMap"
    assert meta["namespace"] == "default"
    assert meta["creationTimestamp"] == "2027-01-15T08:00:00Z"
    assert len(meta["uid"]) == 36
    assert (await api.get(f"{CONFIG_MAPS}/a")).body == made


async def test_every_write_takes_a_higher_version(api: Api) -> None:
    first = await api.made(CONFIG_MAPS, a_config_map("a"))
    second = await api.made("/api/v1/namespaces", {"metadata": {"name": "n"}})
    third = (await api.patch(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})).body
    versions = [int(o["metadata"]["resourceVersion"]) for o in (first, second, third)]
    assert versions == sorted(set(versions))


async def test_a_taken_name_is_refused(api: Api) -> None:
    await api.made(CONFIG_MAPS, a_config_map())
    again = await api.create(CONFIG_MAPS, a_config_map())
    assert (again.status, again.reason) == (409, "AlreadyExists")
    assert again.message == 'configmaps "a" already exists'


async def test_generated_names_differ(api: Api) -> None:
    wanted = {"metadata": {"generateName": "job-"}}
    names = {(await api.made(CONFIG_MAPS, wanted))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


async def test_a_missing_namespace_is_named(api: Api) -> None:
    answer = await api.create("/api/v1/namespaces/nowhere/configmaps", a_config_map())
    assert answer.status == 404
    assert answer.message == 'namespaces "nowhere" not found'


async def test_a_missing_object_is_named(units: Api) -> None:
    answer = await units.get(f"{UNITS}/gone")
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert answer.message == 'units.test.kube-queue.io "gone" not found'
    assert answer.body["details"] == {
        "name": "gone",
        "group": "test.kube-queue.io",
        "kind": "units",
    }


@pytest.mark.parametrize("name", ["Upper", "a_b", "-a", "a/b", "x" * 254, "ä"])
async def test_a_name_that_is_no_dns_name_is_refused(local: Api, name: str) -> None:
    answer = await local.create(CONFIG_MAPS, a_config_map(name))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert list(answer.causes) == ["metadata.name"]


async def test_labels_must_be_labels(local: Api) -> None:
    wrong = {"metadata": {"name": "a", "labels": {"ok": "not ok!", "-bad": "x"}}}
    answer = await local.create(CONFIG_MAPS, wrong)
    assert answer.status == 422
    assert {cause["field"] for cause in answer.body["details"]["causes"]} == {"metadata.labels"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": 5},
        {"name": "a", "labels": {"a": 1}},
        {"name": "a", "labels": ["a"]},
        {"name": "a", "finalizers": [1]},
        {"name": "a", "ownerReferences": ["x"]},
        {"name": "a", "generation": "1"},
        [],
    ],
)
async def test_metadata_of_a_wrong_type_is_a_bad_request(local: Api, metadata: Any) -> None:
    answer = await local.create(CONFIG_MAPS, {"metadata": metadata})
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "metadata" in answer.message


async def test_the_namespace_in_the_body_must_be_the_one_in_the_path(local: Api) -> None:
    answer = await local.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "other"}})
    assert answer.status == 400
    assert "namespace of the provided object does not match" in answer.message


async def test_another_kind_in_the_body_is_refused(local_units: Api) -> None:
    other = {**a_unit(), "kind": "Other"}
    assert (await local_units.create(UNITS, other)).status == 400
    older = {**a_unit(), "apiVersion": "test.kube-queue.io/v2"}
    answer = await local_units.create(UNITS, older)
    assert "does not match the expected API version" in answer.message


async def test_a_replace_of_an_old_version_conflicts(units: Api) -> None:
    old = await units.made(UNITS, a_unit())
    await units.patch(f"{UNITS}/u", {"spec": {"size": 2}})
    answer = await units.replace(f"{UNITS}/u", old)
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.message.startswith(
        'Operation cannot be fulfilled on units.test.kube-queue.io "u": the object has been'
    )


async def test_a_custom_object_is_only_replaced_at_a_stated_version(local_units: Api) -> None:
    await local_units.made(UNITS, a_unit())
    answer = await local_units.replace(f"{UNITS}/u", a_unit(size=2))
    assert answer.status == 422
    assert answer.causes == {
        "metadata.resourceVersion": "Invalid value: 0: must be specified for an update"
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"uid": "another"}, 422),
        ({"uid": "another", "resourceVersion": "1"}, 409),
        ({"resourceVersion": "1"}, 409),
        ({"resourceVersion": "x"}, 422),
    ],
)
async def test_a_patch_may_state_what_it_changes(
    units: Api, change: dict[str, str], status: int
) -> None:
    made = await units.made(UNITS, a_unit())
    answer = await units.patch(f"{UNITS}/u", {"metadata": change, "spec": {"size": 9}})
    assert answer.status == status
    right = {key: made["metadata"][key] for key in ("uid", "resourceVersion")}
    answer = await units.patch(f"{UNITS}/u", {"metadata": right, "spec": {"size": 9}})
    assert answer.body["spec"]["size"] == 9


async def test_generation_counts_changes_of_spec_only(units: Api) -> None:
    made = await units.made(UNITS, a_unit())
    labelled = await units.patch(f"{UNITS}/u", {"metadata": {"labels": {"a": "b"}}})
    told = await units.patch(f"{UNITS}/u/status", {"status": {"phase": "Running"}})
    changed = await units.patch(f"{UNITS}/u", {"spec": {"size": 2}})
    generations = [
        o["metadata"]["generation"] for o in (made, labelled.body, told.body, changed.body)
    ]
    assert generations == [1, 1, 1, 2]


async def test_status_and_the_rest_are_written_apart(units: Api) -> None:
    made = await units.made(UNITS, {**a_unit(), "status": {"phase": "Mine"}})
    assert "status" not in made
    told = await units.patch(
        f"{UNITS}/u/status",
        {"metadata": {"labels": {"a": "b"}}, "spec": {"size": 7}, "status": {"phase": "Told"}},
    )
    assert told.body["status"] == {"phase": "Told"}
    assert told.body["spec"]["size"] == 1
    assert "labels" not in told.body["metadata"]
    changed = await units.patch(f"{UNITS}/u", {"status": {"phase": "Lie"}, "spec": {"size": 7}})
    assert changed.body["status"] == {"phase": "Told"}
    assert changed.body["spec"]["size"] == 7


async def test_what_the_server_sets_cannot_be_set(units: Api) -> None:
    forged = a_unit()
    forged["metadata"] |= {
        "uid": "forged",
        "generation": 9,
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    meta = (await units.made(UNITS, forged))["metadata"]
    assert meta["uid"] != "forged"
    assert meta["generation"] == 1
    assert meta["creationTimestamp"].startswith("2027")
    assert "deletionTimestamp" not in meta
    later = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "generation": 5}}
    patched = (await units.patch(f"{UNITS}/u", later)).body
    assert patched["metadata"] == meta


async def test_a_write_that_changes_nothing_is_no_change(units: Api) -> None:
    made = await units.made(UNITS, a_unit())
    assert (await units.patch(f"{UNITS}/u", {"spec": {"size": 1}})).body == made
    reordered = dict(reversed(made.items()))
    assert (await units.replace(f"{UNITS}/u", reordered)).body == made


async def test_a_boolean_in_place_of_a_number_is_a_change(units: Api) -> None:
    await units.made(UNITS, a_unit(free={"x": 1}))
    changed = await units.patch(f"{UNITS}/u", {"spec": {"free": {"x": True}}})
    assert changed.body["spec"]["free"] == {"x": True}
    assert changed.body["metadata"]["generation"] == 2


async def test_a_dry_run_answers_and_stores_nothing(units: Api) -> None:
    tried = await units.create(UNITS, a_unit(), dryRun="All")
    assert (tried.status, tried.body["spec"]["colour"]) == (201, "grey")
    assert (await units.get(f"{UNITS}/u")).status == 404
    made = await units.made(UNITS, a_unit())
    tried = await units.patch(f"{UNITS}/u", {"spec": {"size": 5}}, dryRun="All")
    assert tried.body["spec"]["size"] == 5
    assert (await units.delete(f"{UNITS}/u", dryRun="All")).status == 200
    assert (await units.get(f"{UNITS}/u")).body == made
    assert (await units.create(UNITS, a_unit("v"), dryRun="Some")).status == 422


async def test_unknown_fields_are_warned_of_refused_or_dropped(units: Api) -> None:
    wrong = a_unit(sise=1)
    warned = await units.create(UNITS, wrong, dryRun="All")
    assert list(warned.warnings) == ['unknown field "spec.sise"']
    strict = await units.create(UNITS, wrong, fieldValidation="Strict")
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert strict.message == (
        'Unit in version "v1" cannot be handled as a Unit: strict decoding error: '
        'unknown field "spec.sise"'
    )
    ignored = await units.create(UNITS, wrong, fieldValidation="Ignore")
    assert (ignored.status, list(ignored.warnings)) == (201, [])
    assert "sise" not in ignored.body["spec"]


async def test_unknown_fields_of_built_in_kinds_are_found_in_lists(local: Api) -> None:
    pod = a_pod()
    pod["spec"]["containers"][0]["imagee"] = "x"
    answer = await local.create(PODS, pod, fieldValidation="Strict")
    assert 'unknown field "spec.containers[0].imagee"' in answer.message


async def test_duplicate_fields_are_refused_when_strict(local: Api) -> None:
    raw = b'{"metadata":{"name":"a","name":"b"},"data":{"x":"1","x":"2"}}'
    strict = await local.call("POST", CONFIG_MAPS, raw, query={"fieldValidation": "Strict"})
    assert strict.status == 400
    assert 'duplicate field "metadata.name", duplicate field "data.x"' in strict.message
    warned = await local.call("POST", CONFIG_MAPS, raw)
    assert list(warned.warnings) == [
        'duplicate field "metadata.name"',
        'duplicate field "data.x"',
    ]
    assert warned.body["metadata"]["name"] == "b"


async def test_a_strict_patch_names_its_unknown_field(units: Api) -> None:
    await units.made(UNITS, a_unit())
    answer = await units.patch(f"{UNITS}/u", {"spec": {"sise": 2}}, fieldValidation="Strict")
    assert answer.status == 422
    assert 'strict decoding error: unknown field "spec.sise"' in answer.message


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("text/plain", 415),
        (STRATEGIC, 415),
        (MERGE, 200),
        (JSON_PATCH, 400),
    ],
)
async def test_only_known_patches_apply_to_custom_objects(
    local_units: Api, media: str, status: int
) -> None:
    await local_units.made(UNITS, a_unit())
    answer = await local_units.patch(f"{UNITS}/u", {"spec": {"size": 2}}, media=media)
    assert answer.status == status


async def test_a_json_patch_that_does_not_apply_changes_nothing(units: Api) -> None:
    made = await units.made(UNITS, a_unit())
    operations = [
        {"op": "replace", "path": "/spec/size", "value": 5},
        {"op": "test", "path": "/spec/colour", "value": "red"},
    ]
    answer = await units.patch(f"{UNITS}/u", operations, media=JSON_PATCH)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert (await units.get(f"{UNITS}/u")).body == made


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/apis/none.io/v1/things", 404),
        ("GET", f"{PODS}/p/exec", 501),
        ("GET", "/api/v1/watch/pods", 404),
        ("POST", "/api/v1/pods", 405),
        ("DELETE", "/api/v1/pods", 405),
        ("POST", f"{PODS}/p", 405),
        ("PUT", PODS, 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/bindings", 405),
        ("POST", "/version", 405),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/pods/p", 404),
    ],
)
async def test_what_is_not_served_is_refused_with_a_status(
    local: Api, method: str, path: str, status: int
) -> None:
    answer = await local.call(method, path)
    assert answer.status == status
    assert answer.body["kind"] == "Status"
    assert answer.body["code"] == status


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "/apis/rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1/roles"),
        ("GET", f"{CONFIG_MAPS}/a/status", "configmaps/a/status"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/a/token", "serviceaccounts/token"),
        ("GET", "/api/v1/nodes/n/proxy", "nodes/proxy"),
        ("GET", "/" + "long/" * 1000, "/long/long/long"),
    ],
)
async def test_what_is_not_served_is_named(local: Api, method: str, path: str, named: str) -> None:
    answer = await local.call(method, path)
    assert answer.status in (404, 501)
    assert named in answer.message
    assert len(answer.message) < 400


async def test_health_tells_its_checks_when_asked(local: Api) -> None:
    assert (await local.get("/readyz")).body == b"ok"
    told = await local.get("/readyz", verbose="")
    assert told.body == b"[+]ping ok\nreadyz check passed\n"


async def test_a_form_that_is_not_served_is_not_acceptable(local: Api) -> None:
    answer = await local.get(CONFIG_MAPS, accept="application/yaml")
    assert (answer.status, answer.reason) == (406, "NotAcceptable")
