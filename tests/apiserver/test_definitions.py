"""Custom resource definitions: what they demand, and what their objects must be."""

import copy
from typing import Any

import pytest

from tests.apiserver.client import (
    CRDS,
    JSON_PATCH,
    UNITS,
    Api,
    a_definition,
    a_unit,
)

NAME = f"{CRDS}/units.test.kube-queue.io"


def conditions(definition: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in definition["status"]["conditions"]}


async def test_a_definition_is_established_and_its_kind_served_at_once(api: Api) -> None:
    made = await api.made(CRDS, a_definition())
    assert conditions(made) == {"NamesAccepted": "True", "Established": "True"}
    assert made["spec"]["names"]["singular"] == "unit"
    assert made["spec"]["names"]["listKind"] == "UnitList"
    assert made["status"]["storedVersions"] == ["v1"]
    assert (await api.get(UNITS)).body["kind"] == "UnitList"
    groups = (await api.get("/apis")).body["groups"]
    assert "test.kube-queue.io" in [group["name"] for group in groups]


async def test_a_taken_name_is_not_accepted_until_it_is_free(local: Api) -> None:
    await local.made(CRDS, a_definition(short_names=["un"]))
    rival = await local.made(CRDS, a_definition("uniforms", "Uniform", short_names=["un"]))
    assert conditions(rival) == {"NamesAccepted": "False", "Established": "False"}
    reason = rival["status"]["conditions"][0]
    assert (reason["reason"], reason["message"]) == (
        "ShortNamesConflict",
        '"un" is already in use',
    )
    assert (await local.get("/apis/test.kube-queue.io/v1/uniforms")).status == 404
    await local.delete(NAME)
    await local.settle()
    assert (await local.get("/apis/test.kube-queue.io/v1/uniforms")).status == 200


async def test_a_kind_goes_with_its_definition_after_its_objects(local_units: Api) -> None:
    held = a_unit("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await local_units.made(UNITS, held)
    await local_units.made(UNITS, a_unit("free"))
    await local_units.delete(NAME)
    await local_units.settle()
    assert await local_units.names(UNITS) == ["held"]
    assert (await local_units.create(UNITS, a_unit("late"))).status == 405
    await local_units.patch(f"{UNITS}/held", {"metadata": {"finalizers": None}})
    await local_units.settle()
    assert (await local_units.get(UNITS)).status == 404
    assert (await local_units.get(NAME)).status == 404
    assert (await local_units.create(CRDS, a_definition())).status == 201
    assert await local_units.names(UNITS) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"type": "string", "properties": 1}}, None),
        ({"size": {"minimum": 1}}, "type"),
        ({"size": {"type": "number", "$ref": "#/x"}}, "$ref"),
        ({"size": {"type": "array"}}, "items"),
        ({"size": {"type": "array", "items": {}}}, "items.type"),
        ({"size": {"type": "whole"}}, "type"),
        (
            {
                "size": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}},
                    "additionalProperties": False,
                }
            },
            "additionalProperties",
        ),
        ({"size": {"type": "integer", "x-kubernetes-int-or-string": True}}, "type"),
        ({"size": {"type": "string", "default": 5}}, "default"),
        ({"size": {"type": "string", "pattern": "("}}, None),
        ({"size": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}},
         "uniqueItems"),
    ],
)  # fmt: skip
async def test_a_schema_that_is_not_structural_is_refused(
    local: Api, change: dict[str, Any], field: str | None
) -> None:
    definition = a_definition(spec={"type": "object", "properties": change})
    answer = await local.create(CRDS, definition)
    assert answer.status in (400, 422)
    if field is not None:
        base = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size]"
        assert f"{base}.{field}" in answer.causes


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("/metadata/name", "wrong.test.kube-queue.io", "metadata.name"),
        ("/spec/group", "nodots", "spec.group"),
        ("/spec/scope", "Everywhere", "spec.scope"),
        ("/spec/versions", [], "spec.versions"),
        ("/spec/versions/0/storage", False, "spec.versions"),
        ("/spec/versions/0/name", "V1", "spec.versions[0].name"),
        ("/spec/versions/0/schema", {}, "spec.versions[0].schema.openAPIV3Schema"),
        ("/spec/conversion", {"strategy": "Webhook"}, "spec.conversion.strategy"),
    ],
)
async def test_a_definition_must_be_consistent(
    local: Api, path: str, value: Any, field: str
) -> None:
    from kube_queue.apiserver.patches import json_patch

    definition = json_patch(a_definition(), [{"op": "add", "path": path, "value": value}])
    answer = await local.create(CRDS, definition)
    assert answer.status == 422
    assert field in answer.causes


async def test_rules_that_are_not_evaluated_are_warned_of(local: Api) -> None:
    definition = a_definition()
    version = definition["spec"]["versions"][0]
    spec = copy.deepcopy(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    spec["x-kubernetes-validations"] = [{"rule": "self.size > 1"}]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = spec
    answer = await local.create(CRDS, definition)
    assert answer.status == 201
    assert "does not evaluate x-kubernetes-validations" in answer.warnings[0]


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"size": "big"},
            {
                "spec.size": 'Invalid value: "string": spec.size in body must be of type integer: '
                '"string"'
            },
        ),
        (
            {"size": 0},
            {
                "spec.size": "Invalid value: 0: spec.size in body should be greater than or equal "
                "to 1"
            },
        ),
        (
            {"colour": "blue"},
            {"spec.colour": 'Unsupported value: "blue": supported values: "grey", "red"'},
        ),
        ({"note": "too long"}, {"spec.note": "Too long: may not be more than 5 bytes"}),
        ({"amount": True}, None),
        ({"parts": [{"count": 1}]}, {"spec.parts[0].name": "Required value"}),
        (
            {"parts": [{"name": "a"}, {"name": "a"}]},
            {"spec.parts[1]": 'Duplicate value: {"name":"a"}'},
        ),
    ],
)
async def test_an_object_that_breaks_its_schema_is_invalid(
    units: Api, spec: dict[str, Any], causes: dict[str, str] | None
) -> None:
    answer = await units.create(UNITS, a_unit(**spec))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message.startswith('Unit.test.kube-queue.io "u" is invalid: spec.')
    if causes is not None:
        assert answer.causes == causes


async def test_a_required_field_is_missed(local_units: Api) -> None:
    empty = {**a_unit(), "spec": {}}
    assert (await local_units.create(UNITS, empty)).causes == {"spec.size": "Required value"}


@pytest.mark.parametrize("amount", [5, "5Gi"])
async def test_a_number_or_a_text_may_stand_for_an_amount(local_units: Api, amount: Any) -> None:
    assert (await local_units.made(UNITS, a_unit(amount=amount)))["spec"]["amount"] == amount


async def test_nulls_stay_where_they_may_be_and_vanish_elsewhere(local_units: Api) -> None:
    made = await local_units.made(UNITS, a_unit(note=None, colour=None, amount=None))
    assert made["spec"] == {"size": 1, "note": None, "colour": "grey"}


async def test_defaults_reach_into_lists(local_units: Api) -> None:
    made = await local_units.made(UNITS, a_unit(parts=[{"name": "a"}, {"name": "b", "count": 3}]))
    assert made["spec"]["parts"] == [{"name": "a", "count": 2}, {"name": "b", "count": 3}]


async def test_unknown_fields_are_pruned_except_where_they_are_kept(local_units: Api) -> None:
    made = await local_units.made(UNITS, a_unit(strange=1, free={"x": {"y": [1]}}))
    assert made["spec"] == {"size": 1, "free": {"x": {"y": [1]}}, "colour": "grey"}


async def test_a_default_added_later_shows_on_read(local_units: Api) -> None:
    await local_units.made(UNITS, a_unit())
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/weight"
    field = {"type": "integer", "default": 7}
    answer = await local_units.patch(
        NAME, [{"op": "add", "path": path, "value": field}], media=JSON_PATCH
    )
    assert answer.status == 200, answer.body
    assert (await local_units.get(f"{UNITS}/u")).body["spec"]["weight"] == 7
    assert (await local_units.get(UNITS)).body["items"][0]["spec"]["weight"] == 7


async def test_a_stricter_schema_counts_from_the_next_write(local_units: Api) -> None:
    await local_units.made(UNITS, a_unit(size=50))
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum"
    await local_units.patch(NAME, [{"op": "add", "path": path, "value": 9}], media=JSON_PATCH)
    assert (await local_units.create(UNITS, a_unit("v", size=10))).status == 422
    assert (await local_units.get(f"{UNITS}/u")).status == 200


async def test_an_object_is_served_in_each_version(local: Api) -> None:
    definition = a_definition()
    older = copy.deepcopy(definition["spec"]["versions"][0])
    older |= {"name": "v1beta1", "storage": False}
    definition["spec"]["versions"].append(older)
    await local.made(CRDS, definition)
    await local.made(UNITS, a_unit())
    beta = UNITS.replace("/v1/", "/v1beta1/")
    stream = await local.watch(beta)
    assert (await local.get(f"{beta}/u")).body["apiVersion"] == "test.kube-queue.io/v1beta1"
    assert (await stream.next())["object"]["apiVersion"] == "test.kube-queue.io/v1beta1"
    changed = await local.patch(f"{beta}/u", {"spec": {"size": 3}})
    assert changed.body["apiVersion"] == "test.kube-queue.io/v1beta1"
    stored = (await local.get(f"{UNITS}/u")).body
    assert (stored["apiVersion"], stored["spec"]["size"]) == ("test.kube-queue.io/v1", 3)
    assert (await stream.next())["object"]["spec"]["size"] == 3


async def test_a_definition_cannot_change_what_it_defines(local: Api) -> None:
    await local.made(CRDS, a_definition())
    for path, value in (
        ("scope", "Cluster"),
        ("names", {"plural": "units", "kind": "Other", "listKind": "OtherList"}),
    ):
        answer = await local.patch(NAME, {"spec": {path: value}})
        assert answer.status == 422
        assert "field is immutable" in answer.message


async def test_a_cluster_kind_has_no_namespace(local: Api) -> None:
    await local.made(CRDS, a_definition(scope="Cluster"))
    path = "/apis/test.kube-queue.io/v1/units"
    made = await local.made(path, a_unit())
    assert "namespace" not in made["metadata"]
    assert (await local.get(f"{path}/u")).status == 200
    assert (await local.get(UNITS)).status == 404


async def test_without_a_status_subresource_status_is_a_field_like_others(local: Api) -> None:
    await local.made(CRDS, a_definition(status=False))
    made = await local.made(UNITS, {**a_unit(), "status": {"phase": "Mine"}})
    assert made["status"] == {"phase": "Mine"}
    assert (await local.patch(f"{UNITS}/u/status", {"status": {}})).status == 404
    changed = await local.patch(f"{UNITS}/u", {"status": {"phase": "Yours"}})
    assert changed.body["metadata"]["generation"] == 2


async def test_replicas_are_read_and_written_through_scale(local: Api) -> None:
    definition = a_definition()
    definition["spec"]["versions"][0]["subresources"]["scale"] = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.running",
    }
    await local.made(CRDS, definition)
    made = await local.made(UNITS, a_unit())
    await local.patch(f"{UNITS}/u/status", {"status": {"running": 1}})
    scale = (await local.get(f"{UNITS}/u/scale")).body
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 1}, {"replicas": 1})
    scaled = await local.patch(f"{UNITS}/u/scale", {"spec": {"replicas": 4}})
    assert scaled.body["spec"] == {"replicas": 4}
    assert (await local.get(f"{UNITS}/u")).body["spec"]["size"] == 4
    stale = {**scale, "metadata": made["metadata"], "spec": {"replicas": 5}}
    assert (await local.replace(f"{UNITS}/u/scale", stale)).status == 409
    negative = await local.patch(f"{UNITS}/u/scale", {"spec": {"replicas": -1}})
    assert (negative.status, list(negative.causes)) == (422, ["spec.replicas"])
