"""Deletes: preconditions, grace, finalizers, owners, collections, namespaces."""

from typing import Any

import pytest

from tests.apiserver.client import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    UNITS,
    Api,
    a_config_map,
    a_job,
    a_pod,
    a_unit,
)


def owned(name: str, *owners: dict[str, Any], block: bool = False) -> dict[str, Any]:
    """A config map that those objects own."""
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references}}


async def test_a_delete_says_what_was_deleted(api: Api) -> None:
    made = await api.made(CONFIG_MAPS, a_config_map())
    answer = await api.delete(f"{CONFIG_MAPS}/a")
    assert (answer.status, answer.body["status"]) == (200, "Success")
    assert answer.body["details"] == {
        "name": "a",
        "kind": "configmaps",
        "uid": made["metadata"]["uid"],
    }
    assert (await api.delete(f"{CONFIG_MAPS}/a")).status == 404


@pytest.mark.parametrize(("field", "value"), [("uid", "another"), ("resourceVersion", "1")])
async def test_a_delete_may_state_what_it_deletes(api: Api, field: str, value: str) -> None:
    made = await api.made(CONFIG_MAPS, a_config_map())
    answer = await api.delete(f"{CONFIG_MAPS}/a", {"preconditions": {field: value}})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert "in the precondition" in answer.message
    right = {field: made["metadata"][field]}
    assert (await api.delete(f"{CONFIG_MAPS}/a", {"preconditions": right})).status == 200


async def test_finalizers_keep_a_deleted_object_until_they_are_gone(api: Api) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    await api.made(CONFIG_MAPS, held)
    stream = await api.watch(CONFIG_MAPS)
    marked = await api.delete(f"{CONFIG_MAPS}/a")
    assert marked.body["metadata"]["deletionTimestamp"] == "2027-01-15T08:00:00Z"
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/late"]}}
    refused = await api.patch(f"{CONFIG_MAPS}/a", more)
    assert refused.status == 422
    assert "no new finalizers can be added" in refused.message
    assert (await api.patch(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": None}})).status == 200
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404
    assert await stream.names(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_an_unscheduled_pod_goes_at_once(api: Api) -> None:
    await api.made(PODS, a_pod())
    assert (await api.delete(f"{PODS}/p")).body["kind"] == "Pod"
    assert (await api.get(f"{PODS}/p")).status == 404


async def test_a_running_pod_waits_for_its_kubelet(api: Api) -> None:
    made = await api.made(PODS, a_pod(nodeName="n1", terminationGracePeriodSeconds=20))
    marked = (await api.delete(f"{PODS}/p")).body["metadata"]
    assert marked["deletionTimestamp"] == "2027-01-15T08:00:20Z"
    assert marked["deletionGracePeriodSeconds"] == 20
    sooner = (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 5})).body["metadata"]
    assert sooner["deletionTimestamp"] == "2027-01-15T08:00:05Z"
    later = (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 60})).body["metadata"]
    assert later == sooner
    told = {"status": {"phase": "Succeeded"}}
    assert (await api.patch(f"{PODS}/p/status", told)).status == 200
    assert (await api.get(f"{PODS}/p")).status == 200
    kubelet = {"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}}
    assert (await api.delete(f"{PODS}/p", kubelet)).status == 200
    assert (await api.get(f"{PODS}/p")).status == 404


async def test_a_finished_pod_goes_at_once(local: Api) -> None:
    await local.made(PODS, a_pod(nodeName="n1"))
    await local.patch(f"{PODS}/p/status", {"status": {"phase": "Succeeded"}})
    await local.delete(f"{PODS}/p")
    assert (await local.get(f"{PODS}/p")).status == 404


async def test_dependents_go_after_their_owner(local_units: Api) -> None:
    owner = await local_units.made(UNITS, a_unit())
    child = await local_units.made(CONFIG_MAPS, owned("child", owner))
    await local_units.made(CONFIG_MAPS, owned("grandchild", child))
    await local_units.made(CONFIG_MAPS, a_config_map("other"))
    await local_units.delete(f"{UNITS}/u", {"propagationPolicy": "Background"})
    await local_units.settle()
    assert await local_units.names(CONFIG_MAPS) == ["other"]


async def test_a_dependent_with_another_owner_stays_with_it(local_units: Api) -> None:
    first = await local_units.made(UNITS, a_unit("first"))
    second = await local_units.made(UNITS, a_unit("second"))
    await local_units.made(CONFIG_MAPS, owned("child", first, second))
    await local_units.delete(f"{UNITS}/first")
    await local_units.settle()
    child = (await local_units.get(f"{CONFIG_MAPS}/child")).body
    assert [r["name"] for r in child["metadata"]["ownerReferences"]] == ["second"]
    await local_units.delete(f"{UNITS}/second")
    await local_units.settle()
    assert await local_units.names(CONFIG_MAPS) == []


async def test_orphans_stay_and_forget_their_owner(local_units: Api) -> None:
    owner = await local_units.made(UNITS, a_unit())
    await local_units.made(CONFIG_MAPS, owned("child", owner))
    await local_units.delete(f"{UNITS}/u", {"propagationPolicy": "Orphan"})
    await local_units.settle()
    assert (await local_units.get(f"{UNITS}/u")).status == 404
    child = (await local_units.get(f"{CONFIG_MAPS}/child")).body
    assert "ownerReferences" not in child["metadata"]


async def test_an_owner_deleted_in_the_foreground_goes_last(local_units: Api) -> None:
    owner = await local_units.made(UNITS, a_unit())
    child = owned("child", owner, block=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    await local_units.made(CONFIG_MAPS, child)
    answer = await local_units.delete(f"{UNITS}/u", {"propagationPolicy": "Foreground"})
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await local_units.settle()
    assert (await local_units.get(f"{UNITS}/u")).status == 200
    marked = (await local_units.get(f"{CONFIG_MAPS}/child")).body
    assert "deletionTimestamp" in marked["metadata"]
    await local_units.patch(f"{CONFIG_MAPS}/child", {"metadata": {"finalizers": None}})
    await local_units.settle()
    assert (await local_units.get(f"{UNITS}/u")).status == 404


async def test_an_object_whose_owner_is_already_gone_goes_too(local_units: Api) -> None:
    owner = await local_units.made(UNITS, a_unit())
    await local_units.delete(f"{UNITS}/u")
    await local_units.made(UNITS, a_unit())
    await local_units.made(CONFIG_MAPS, owned("late", owner))
    await local_units.settle()
    assert await local_units.names(CONFIG_MAPS) == []


async def test_an_owner_of_an_unknown_kind_is_left_in_doubt(local: Api) -> None:
    stranger = {"apiVersion": "x.io/v1", "kind": "X", "metadata": {"name": "x", "uid": "1"}}
    await local.made(CONFIG_MAPS, owned("child", stranger))
    await local.settle()
    assert await local.names(CONFIG_MAPS) == ["child"]


async def test_many_dependents_go_while_others_are_served(local_units: Api) -> None:
    owner = await local_units.made(UNITS, a_unit())
    for number in range(450):
        await local_units.made(CONFIG_MAPS, owned(f"c{number}", owner))
    await local_units.delete(f"{UNITS}/u")
    seen = len(await local_units.names(CONFIG_MAPS))
    assert seen > 0
    await local_units.settle()
    assert await local_units.names(CONFIG_MAPS) == []


async def test_a_job_keeps_its_pods_unless_asked_otherwise(local: Api) -> None:
    job = await local.made(JOBS, a_job())
    pod = a_pod()
    pod["metadata"] |= owned("p", job)["metadata"]
    await local.made(PODS, pod)
    answer = await local.delete(f"{JOBS}/j")
    assert "child pods are preserved by default" in answer.warnings[0]
    await local.settle()
    assert await local.names(PODS) == ["p"]
    job = await local.made(JOBS, a_job())
    await local.patch(f"{PODS}/p", owned("p", job))
    await local.delete(f"{JOBS}/j", {"propagationPolicy": "Background"})
    await local.settle()
    assert await local.names(PODS) == []


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, team in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.made(CONFIG_MAPS, a_config_map(name, team=team))
    answer = await api.delete(CONFIG_MAPS, labelSelector="team=x")
    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "c"]
    assert await api.names(CONFIG_MAPS) == ["b"]


@pytest.mark.parametrize(
    "options",
    [
        {"propagationPolicy": "Sideways"},
        {"propagationPolicy": "Orphan", "orphanDependents": True},
        {"gracePeriodSeconds": "soon"},
        {"preconditions": "none"},
        {"dryRun": ["Some"]},
    ],
)
async def test_delete_options_that_cannot_be_meant_are_refused(
    local: Api, options: dict[str, Any]
) -> None:
    await local.made(CONFIG_MAPS, a_config_map())
    answer = await local.delete(f"{CONFIG_MAPS}/a", options)
    assert answer.status in (400, 422)
    assert await local.names(CONFIG_MAPS) == ["a"]


async def test_the_first_namespaces_exist_and_the_lasting_ones_stay(api: Api) -> None:
    names = await api.names("/api/v1/namespaces")
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    answer = await api.delete("/api/v1/namespaces/default")
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


async def test_a_namespace_empties_before_it_goes(local: Api) -> None:
    await local.made("/api/v1/namespaces", {"metadata": {"name": "team"}})
    inside = "/api/v1/namespaces/team"
    await local.made(f"{inside}/configmaps", a_config_map())
    await local.made(f"{inside}/pods", a_pod(nodeName="n1"))
    leaving = (await local.delete("/api/v1/namespaces/team")).body
    assert leaving["status"]["phase"] == "Terminating"
    await local.settle()
    assert (await local.get(inside)).status == 200
    assert await local.names(f"{inside}/configmaps") == []
    late = await local.create(f"{inside}/configmaps", a_config_map("late"))
    assert (late.status, late.reason) == (403, "Forbidden")
    assert late.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await local.delete(f"{inside}/pods/p", {"gracePeriodSeconds": 0})
    await local.settle()
    assert (await local.get(inside)).status == 404
