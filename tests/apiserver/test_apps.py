"""Deployments and their like: defaults, selectors, scale, and the kinds read by schedulers."""

from typing import Any

import pytest

from tests.apiserver.client import JSON_PATCH, Api, Object

APPS = "/apis/apps/v1/namespaces/default"


def a_workload(kind: str, name: str = "web", **spec: Any) -> Object:
    """The smallest object of an apps kind."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "nginx"}]},
            },
            **spec,
        },
    }


async def test_a_deployment_is_completed_as_kubernetes_does(api: Api) -> None:
    made = await api.made(f"{APPS}/deployments", a_workload("Deployment"))
    spec = made["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Always"
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {}


async def test_a_daemon_set_counts_the_generations_of_its_template(local: Api) -> None:
    made = await local.made(f"{APPS}/daemonsets", a_workload("DaemonSet"))
    key = "deprecated.daemonset.template.generation"
    assert made["metadata"]["annotations"] == {key: "1"}
    other = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
    changed = await local.patch(f"{APPS}/daemonsets/web", other)
    assert changed.body["metadata"]["annotations"] == {key: "2"}


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets"])
async def test_scale_reads_and_writes_the_replicas(api: Api, plural: str) -> None:
    kind = {"deployments": "Deployment", "replicasets": "ReplicaSet"}.get(plural, "StatefulSet")
    path = f"{APPS}/{plural}"
    await api.made(path, a_workload(kind))
    scale = await api.get(f"{path}/web/scale")
    assert scale.body["spec"] == {"replicas": 1}
    assert scale.body["status"] == {"replicas": 0, "selector": "app=web"}
    scale.body["spec"]["replicas"] = 3
    assert (await api.replace(f"{path}/web/scale", scale.body)).status == 200
    stale = await api.replace(f"{path}/web/scale", scale.body)
    assert (stale.status, stale.reason) == (409, "Conflict")
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 5}]
    await api.patch(f"{path}/web/scale", patch, JSON_PATCH)
    found = (await api.get(f"{path}/web")).body
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 3)


async def test_a_scale_is_shown_as_a_table(local: Api) -> None:
    await local.made(f"{APPS}/deployments", a_workload("Deployment"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = (await local.get(f"{APPS}/deployments/web/scale", accept=accept)).body
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["web", 1, 0]


async def test_a_selector_must_be_there_and_match_the_template(local: Api) -> None:
    without = a_workload("Deployment", selector=None)
    refused = await local.create(f"{APPS}/deployments", without)
    assert refused.causes["spec.selector"] == "Required value"
    other = a_workload("Deployment", selector={"matchLabels": {"app": "other"}})
    refused = await local.create(f"{APPS}/deployments", other)
    assert "does not match template" in refused.causes["spec.template.metadata.labels"]
    never = a_workload("ReplicaSet")
    never["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    refused = await local.create(f"{APPS}/replicasets", never)
    assert 'supported values: "Always"' in refused.causes["spec.template.spec.restartPolicy"]


async def test_a_selector_does_not_change(local: Api) -> None:
    await local.made(f"{APPS}/deployments", a_workload("Deployment"))
    labels = {"app": "web", "more": "yes"}
    patch = {
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}},
        }
    }
    refused = await local.patch(f"{APPS}/deployments/web", patch)
    assert refused.status == 422
    assert "field is immutable" in refused.causes["spec.selector"]


async def test_a_stateful_set_changes_in_few_ways(local: Api) -> None:
    await local.made(f"{APPS}/statefulsets", a_workload("StatefulSet"))
    path = f"{APPS}/statefulsets/web"
    assert (await local.patch(path, {"spec": {"replicas": 4}})).status == 200
    refused = await local.patch(path, {"spec": {"serviceName": "s"}})
    assert "are forbidden" in refused.causes["spec"]


@pytest.mark.parametrize(
    ("rolling", "field"),
    [({"maxSurge": "many"}, "maxSurge"), ({"maxSurge": 0, "maxUnavailable": 0}, "maxUnavailable")],
)
async def test_a_rolling_update_must_be_able_to_move(
    local: Api, rolling: Object, field: str
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    refused = await local.create(f"{APPS}/deployments", a_workload("Deployment", strategy=strategy))
    assert f"spec.strategy.rollingUpdate.{field}" in refused.causes


async def test_a_deployment_without_a_namespace_is_found_among_all(local: Api) -> None:
    await local.made(f"{APPS}/deployments", a_workload("Deployment"))
    listed = await local.get("/apis/apps/v1/deployments")
    assert [item["metadata"]["name"] for item in listed.body["items"]] == ["web"]


async def test_volumes_and_classes_are_kept_as_sent_with_their_defaults(local: Api) -> None:
    made = await local.made(
        "/apis/storage.k8s.io/v1/storageclasses",
        {"metadata": {"name": "fast"}, "provisioner": "example.com/disk"},
    )
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1024Mi"}},
        },
    }
    made = await local.made("/api/v1/namespaces/default/persistentvolumeclaims", claim)
    assert made["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    assert made["status"] == {"phase": "Pending"}
    node = {"metadata": {"name": "n"}, "spec": {"drivers": []}}
    assert (await local.made("/apis/storage.k8s.io/v1/csinodes", node))["spec"] == {"drivers": []}


async def test_the_caller_can_ask_who_it_is_and_what_it_may_do(api: Api) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await api.create(path, {})
    assert answer.body["status"]["userInfo"]["username"] == "kube-queue:local"
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = await api.create(path, {"spec": {"namespace": "default"}})
    assert answer.body["status"]["resourceRules"] == [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    ]
