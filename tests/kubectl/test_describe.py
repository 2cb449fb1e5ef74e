"""kubectl describe and events."""

from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_job, a_pod, a_widget


def _say(kubectl: Kubectl, kind: str, name: str, reason: str, message: str) -> None:
    """An event about an object; one that is not there gets a uid all the same."""
    uid = kubectl("get", kind, name, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}").out
    group_version = {"Pod": "v1", "Job": "batch/v1", "Widget": "example.com/v1"}[kind]
    about = {
        "apiVersion": group_version,
        "kind": kind,
        "name": name,
        "namespace": kubectl.namespace,
        "uid": uid or "none",
    }
    event: dict[str, Any] = {
        "metadata": {"generateName": f"{name}."},
        "involvedObject": about,
        "reason": reason,
        "message": message,
        "type": "Normal",
        "count": 1,
        "firstTimestamp": "2024-01-01T00:00:00Z",
        "lastTimestamp": "2024-01-01T00:00:00Z",
        "source": {"component": "kube-queue"},
    }
    kubectl.server.ask("POST", f"/api/v1/namespaces/{kubectl.namespace}/events", event)


def test_describe_pod_tells_its_containers_and_events(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    _say(kubectl, "Pod", "p", "Scheduled", "assigned to n1")
    _say(kubectl, "Pod", "other", "Scheduled", "assigned to n2")
    told = kubectl("describe", "pod", "p").squeezed
    assert "Name: p" in told
    assert "Image: busybox" in told
    assert "assigned to n1" in told
    assert "assigned to n2" not in told


def test_describe_node_tells_its_room_and_its_pods(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-node"
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    node = {
        "metadata": {"name": name},
        "status": {"capacity": room, "allocatable": room, "conditions": []},
    }
    kubectl.server.ask("POST", "/api/v1/nodes", node)
    pod = a_pod()
    pod["spec"]["nodeName"] = name
    kubectl.apply(pod)
    told = kubectl("describe", "node", name).squeezed
    assert f"Name: {name}" in told
    assert "cpu: 4" in told
    assert f" {kubectl.namespace} p " in told
    assert "100m (2%)" in told


def test_describe_job_tells_its_numbers_and_events(kubectl: Kubectl) -> None:
    kubectl.apply(a_job())
    _say(kubectl, "Job", "pi", "Suspended", "Job suspended")
    told = kubectl("describe", "job", "pi").squeezed
    assert "Completions: 1" in told
    assert "Image: perl:5.34.0" in told
    assert "Job suspended" in told


def test_describe_namespace_tells_its_quota_and_limits(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "q", "--hard=cpu=4")
    limits = {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "l"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]},
    }
    kubectl.apply(limits)
    told = kubectl("describe", "namespace", kubectl.namespace).squeezed
    assert "Status: Active" in told
    assert "Resource Quotas" in told
    assert "Container" in told


def test_describe_custom_object_tells_every_field_and_its_events(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget(parts=["wheel"]))
    _say(kubectl, "Widget", "w", "Queuing", "waits for cpu")
    told = kubectl("describe", "widget", "w").squeezed
    assert "Kind: Widget" in told
    assert "Colour: grey" in told
    assert "waits for cpu" in told


def test_describe_of_the_other_kinds_works(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "service", "clusterip", "svc", "--tcp=80:80")
    assert "a:\n----\n1" in kubectl("describe", "configmap", "c").squeezed
    assert "a: 1 bytes" in kubectl("describe", "secret", "s").squeezed
    assert "Name: sa" in kubectl("describe", "serviceaccount", "sa").squeezed
    assert "Port: 80-80 80/TCP" in kubectl("describe", "service", "svc").squeezed
    assert "widgets" in kubectl("describe", "crd", "widgets.example.com").squeezed


def test_a_quota_tells_what_is_used_of_it(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "q", "--hard=limits.cpu=4,cpu=4,pods=9")
    kubectl.apply(a_pod())
    told = kubectl("describe", "quota", "q").squeezed.splitlines()
    assert ["cpu", "100m", "4"] in [line.split() for line in told]
    (row,) = kubectl("get", "resourcequota", "q", "-o", "wide").table()
    assert row["REQUEST"] == "cpu: 100m/4, pods: 1/9"
    assert row["LIMIT"] == "limits.cpu: 100m/4"


def test_events_are_listed_by_the_object_they_are_about(kubectl: Kubectl) -> None:
    _say(kubectl, "Pod", "p", "Pulled", "image pulled")
    _say(kubectl, "Widget", "w", "Queuing", "waits for cpu")
    (row,) = kubectl("get", "events", "--field-selector", "involvedObject.name=w").table()
    assert (row["TYPE"], row["REASON"], row["OBJECT"], row["MESSAGE"]) == (
        "Normal",
        "Queuing",
        "widget/w",
        "waits for cpu",
    )
    listed = kubectl("events").table()
    assert {row["OBJECT"] for row in listed} == {"Pod/p", "Widget/w"}
    assert [row["OBJECT"] for row in kubectl("events", "--for=widget/w").table()] == ["Widget/w"]


_POD: dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "x"}]}}
_TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"a": "b"}}, **_POD}
_JOB = {"template": {"spec": {"restartPolicy": "Never", **_POD["spec"]}}}
_OTHERS: list[tuple[str, str, dict[str, Any], str]] = [
    ("v1", "Endpoints", {"subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]}, "Addresses: 1.2.3.4"),
    (
        "v1",
        "ReplicationController",
        {"spec": {"selector": {"a": "b"}, "template": _TEMPLATE}},
        "Replicas: 0 current / 1 desired",
    ),
    (
        "v1",
        "PersistentVolume",
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/data"},
            }
        },
        "Reclaim Policy: Retain",
    ),
    ("apps/v1", "ControllerRevision", {"revision": 3, "data": {"a": 1}}, "Revision: 3"),
    (
        "batch/v1",
        "CronJob",
        {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
        "Schedule: * * * * *",
    ),
    (
        "networking.k8s.io/v1",
        "Ingress",
        {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
        "Default backend: s:80",
    ),
    ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "me"}}, "Holder Identity: me"),
    ("storage.k8s.io/v1", "StorageClass", {"provisioner": "p.io/d"}, "Provisioner: p.io/d"),
    ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": []}}, "Spec:"),
    (
        "v1",
        "LimitRange",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}},
        "Container cpu - 2",
    ),
    ("scheduling.k8s.io/v1", "PriorityClass", {"value": 7}, "Value: 7"),
    (
        "v1",
        "Event",
        {"involvedObject": {"kind": "Pod", "name": "p"}, "message": "it began"},
        "Message: it began",
    ),
]
_ELSEWHERE = {
    *("configmaps", "customresourcedefinitions", "daemonsets", "deployments", "jobs"),
    *("namespaces", "nodes", "persistentvolumeclaims", "poddisruptionbudgets", "pods"),
    *("replicasets", "resourcequotas", "secrets", "serviceaccounts", "services", "statefulsets"),
    "widgets",
}
"""Kinds that are described in another test of this folder."""


def test_no_kind_that_is_served_is_left_out_here(kubectl: Kubectl) -> None:
    served = kubectl("api-resources", "--verbs=list", "--no-headers", "-o", "name").lines
    kinds = {entry[1].lower() for entry in _OTHERS}
    plurals = _ELSEWHERE | {f"{kind}es" if kind.endswith("s") else f"{kind}s" for kind in kinds}
    # `endpoints` is the plural of itself; custom kinds of other tests come and go.
    plurals = plurals - {"endpointses"} | {"endpoints"}
    builtin = {
        name.partition(".")[0]
        for name in served
        if not name.endswith(".example.com") or name.startswith("widgets.")
    }
    assert builtin == plurals


@pytest.mark.parametrize(
    ("version", "kind", "rest", "told"), _OTHERS, ids=[entry[1] for entry in _OTHERS]
)
def test_describe_tells_of_every_other_kind(
    kubectl: Kubectl, version: str, kind: str, rest: dict[str, Any], told: str
) -> None:
    name = f"{kubectl.namespace}-x"
    kubectl.apply({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest})
    described = kubectl("describe", kind, name).squeezed
    assert f"Name: {name}" in described
    assert told in described
    assert kubectl("get", kind, name, "-o", "wide").table()[0]["NAME"].startswith(name)
