"""PodDisruptionBudgets: how many pods may be evicted, and what an eviction is told."""

from typing import Any

import pytest

from tests.apiserver.client import CRDS, PODS, UNITS, Answer, Api, Object, a_definition, a_unit
from tests.apiserver.test_apps import APPS, a_workload

BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def a_running_pod(
    api: Api, name: str, owner: Object | None = None, ready: bool = True
) -> None:
    """A pod of the application `web` on a node."""
    metadata: Object = {"name": name, "labels": {"app": "web"}}
    if owner is not None:
        reference = {key: owner[key] for key in ("apiVersion", "kind")}
        reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "x:1"}]}
    await api.made(PODS, {"metadata": metadata, "spec": spec})
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": "Running", "conditions": [condition]}
    await api.patch(f"{PODS}/{name}/status", {"status": status})


async def a_budget(api: Api, **spec: Any) -> None:
    selector = {"matchLabels": {"app": "web"}}
    await api.made(BUDGETS, {"metadata": {"name": "b"}, "spec": {"selector": selector, **spec}})


async def status_of(api: Api) -> Object:
    await api.settle()
    status: Object = (await api.get(f"{BUDGETS}/b")).body["status"]
    return status


async def allowed(api: Api) -> int:
    return int((await status_of(api))["disruptionsAllowed"])


async def evict(api: Api, name: str, **query: str) -> Answer:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return await api.create(f"{PODS}/{name}/eviction", body, **query)


async def test_status_says_how_many_pods_may_go(api: Api) -> None:
    await a_running_pod(api, "a")
    await a_running_pod(api, "b")
    await a_running_pod(api, "c", ready=False)
    await a_budget(api, minAvailable=1)
    status = await status_of(api)
    (condition,) = status.pop("conditions")
    assert status == {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 3,
    }
    assert (condition["status"], condition["reason"]) == ("True", "SufficientPods")
    await api.patch(f"{BUDGETS}/b", {"spec": {"minAvailable": 2}})
    status = await status_of(api)
    assert (status["disruptionsAllowed"], status["observedGeneration"]) == (0, 2)
    assert status["conditions"][0]["reason"] == "InsufficientPods"


async def test_an_eviction_too_many_is_refused_in_kubernetes_words(api: Api) -> None:
    for name in "abc":
        await a_running_pod(api, name)
    await a_budget(api, minAvailable=2)
    first = await evict(api, "a")
    assert (first.status, first.body["status"]) == (201, "Success")
    refused = await evict(api, "b")
    assert (refused.status, refused.reason) == (429, "TooManyRequests")
    assert refused.message == ("Cannot evict pod as it would violate the pod's disruption budget.")
    assert refused.body["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget b needs 2 healthy pods and has 2 currently",
        }
    ]
    leaving = (await api.get(f"{PODS}/a")).body
    assert "deletionTimestamp" in leaving["metadata"]
    condition = leaving["status"]["conditions"][-1]
    assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "EvictionByEvictionAPI")
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/b")).body["metadata"]


async def test_a_plain_delete_asks_no_budget(local: Api) -> None:
    await a_running_pod(local, "a")
    await a_budget(local, minAvailable=1)
    assert (await local.delete(f"{PODS}/a")).status == 200


async def test_a_dry_run_evicts_nobody(local: Api) -> None:
    await a_running_pod(local, "a")
    await a_budget(local, minAvailable=0)
    assert (await evict(local, "a", dryRun="All")).status == 201
    assert "deletionTimestamp" not in (await local.get(f"{PODS}/a")).body["metadata"]


async def test_pods_that_do_not_run_are_protected_by_no_budget(local: Api) -> None:
    await a_budget(local, minAvailable=5)
    for phase in ("Pending", "Succeeded", "Failed"):
        await a_running_pod(local, phase.lower())
        await local.patch(f"{PODS}/{phase.lower()}/status", {"status": {"phase": phase}})
        assert (await evict(local, phase.lower())).status == 201


@pytest.mark.parametrize(
    ("policy", "status"), [(None, 429), ("IfHealthyBudget", 429), ("AlwaysAllow", 201)]
)
async def test_an_unready_pod_goes_when_the_policy_says_so(
    local: Api, policy: str | None, status: int
) -> None:
    await a_running_pod(local, "a", ready=False)
    more = {} if policy is None else {"unhealthyPodEvictionPolicy": policy}
    await a_budget(local, minAvailable=1, **more)
    assert (await evict(local, "a")).status == status


async def test_an_unready_pod_goes_while_enough_others_are_healthy(local: Api) -> None:
    await a_running_pod(local, "a")
    await a_running_pod(local, "b", ready=False)
    await a_budget(local, minAvailable=1)
    assert (await evict(local, "b")).status == 201
    assert (await evict(local, "a")).status == 429


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"maxUnavailable": 1}, 1),
        ({"maxUnavailable": "30%"}, 2),
        ({"minAvailable": "50%"}, 2),
        ({"maxUnavailable": 0}, 0),
    ],
)
async def test_shares_are_of_what_the_deployment_wants(
    local: Api, bound: Object, expected: int
) -> None:
    deployment = await local.made(f"{APPS}/deployments", a_workload("Deployment", replicas=4))
    replica_set = a_workload("ReplicaSet", replicas=3)
    replica_set["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": deployment["metadata"]["uid"],
            "controller": True,
        }
    ]
    owner = await local.made(f"{APPS}/replicasets", replica_set)
    for number in range(4):
        await a_running_pod(local, f"p{number}", owner)
    await a_budget(local, **bound)
    assert await allowed(local) == expected
    await local.patch(f"{APPS}/deployments/web/scale", {"spec": {"replicas": 8}})
    assert (await status_of(local))["expectedPods"] == 4
    # The budget looks again when what owns its pods changes.
    await local.patch(f"{APPS}/replicasets/web", {"spec": {"replicas": 8}})
    assert (await status_of(local))["expectedPods"] == 8


async def test_a_custom_kind_with_scale_counts_and_one_without_does_not(local: Api) -> None:
    definition = a_definition()
    await local.made(CRDS, definition)
    owner = await local.made(UNITS, a_unit())
    await a_running_pod(local, "a", owner)
    await a_budget(local, maxUnavailable=1)
    status = await status_of(local)
    assert status["conditions"][0]["message"] == (
        "units.test.kube-queue.io does not implement the scale subresource"
    )
    refused = await evict(local, "a")
    assert "because it failed sync: units" in refused.body["details"]["causes"][0]["message"]


async def test_two_budgets_for_one_pod_are_an_error(local: Api) -> None:
    await a_running_pod(local, "a")
    await a_budget(local, minAvailable=0)
    other = {"metadata": {"name": "other"}, "spec": {"selector": {}, "minAvailable": 0}}
    await local.made(BUDGETS, other)
    refused = await evict(local, "a")
    assert (refused.status, "more than one PodDisruptionBudget" in refused.message) == (500, True)


async def test_a_budget_that_is_gone_protects_nobody(local: Api) -> None:
    await a_running_pod(local, "a")
    await a_budget(local, minAvailable=1)
    assert (await evict(local, "a")).status == 429
    await local.delete(f"{BUDGETS}/b")
    assert (await evict(local, "a")).status == 201


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "spec"),
        ({"minAvailable": -1}, "spec.minAvailable"),
        ({"maxUnavailable": "many"}, "spec.maxUnavailable"),
        ({"maxUnavailable": "101%"}, "spec.maxUnavailable"),
        ({"unhealthyPodEvictionPolicy": "Never"}, "spec.unhealthyPodEvictionPolicy"),
    ],
)
async def test_a_budget_that_makes_no_sense_is_refused(
    local: Api, spec: Object, field: str
) -> None:
    refused = await local.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})
    assert refused.status == 422
    assert field in refused.causes
