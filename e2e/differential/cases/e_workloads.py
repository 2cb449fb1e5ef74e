"""Pods, jobs, nodes and the kinds of apps/v1: defaults, what may change, subresources."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import (
    TABLE,
    Case,
    Step,
    case,
    delete,
    get,
    gone,
    merge,
    operations,
    post,
    put,
    strategic,
    subject,
    watch,
)
from e2e.differential.objects import container, job, node, pod, resources, workload

BIND = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "{ns}-n"}}
EVICT = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
GATED = pod(schedulingGates=[{"name": "x.y/a"}, {"name": "x.y/b"}])
CPU = resources({"cpu": "1", "memory": "64Mi"}, {"cpu": "2", "memory": "64Mi"})
INDEXED: dict[str, Any] = {"completionMode": "Indexed", "completions": 3, "parallelism": 2}


def _pod(name: str, *containers: Any, **spec: Any) -> Case:
    return case(name, post("pods", pod("a", *containers, **spec)))


def _job(name: str, **spec: Any) -> Case:
    return case(name, post("jobs", job(**{"suspend": True, **spec})))


def _changed(name: str, body: Any, **spec: Any) -> Case:
    return case(name, post("jobs", job(**{"suspend": True, **spec})),
                merge("jobs/a", {"spec": body}))  # fmt: skip


PODS = subject(
    "pods",
    _pod("defaults"),
    case("with a token", post("pods", {"metadata": {"name": "a"},
                                       "spec": {"containers": [container()]}})),
    _pod("requests and limits", container(**CPU)),
    _pod("limits only", container(**resources(None, {"cpu": "1500m", "memory": "0.5Gi"}))),
    _pod("requests over limits", container(**resources({"cpu": "2"}, {"cpu": "1"}))),
    _pod("negative requests", container(**resources({"cpu": "-1"}))),
    _pod("quantities in other forms", container(**resources(
        {"cpu": "0.1", "memory": "1024Mi", "ephemeral-storage": "1e9", "example.com/gpu": 1},
        {"example.com/gpu": 1}))),
    _pod("an extended resource in parts", container(**resources({"example.com/gpu": "500m"},
                                                               {"example.com/gpu": "500m"}))),
    _pod("an unqualified resource", container(**resources({"gpu": "1"}, {"gpu": "1"}))),
    _pod("guaranteed", container(**resources({"cpu": "1", "memory": "1Gi"},
                                             {"cpu": "1", "memory": "1Gi"}))),
    case("no containers", post("pods", {"metadata": {"name": "a"}, "spec": {}}),
         post("pods", {"metadata": {"name": "a"}})),
    _pod("two of one name", container(), container()),
    _pod("a bad container", {"name": "A_"}, {"image": "x"}),
    _pod("images", container("a", image="x"), container("b", image="x:latest"),
         container("c", image="r.example.com:5000/x"), container("d",
             image="x@sha256:" + "0" * 64)),
    _pod("probes and ports", container(
        ports=[{"containerPort": 80}], livenessProbe={"httpGet": {"path": "/", "port": 80}},
        readinessProbe={"exec": {"command": ["true"]}}, startupProbe={"tcpSocket": {"port": 80}})),
    _pod("environment", container(env=[
        {"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.name"}}}], envFrom=[{"configMapRef": {"name": "x"}}])),
    _pod("volumes", container(volumeMounts=[{"name": "a", "mountPath": "/a"}]), volumes=[
        {"name": "a"}, {"name": "b", "configMap": {"name": "x"}},
        {"name": "c", "secret": {"secretName": "x"}}, {"name": "d", "hostPath": {"path": "/d"}}]),
    _pod("a mount of nothing", container(volumeMounts=[{"name": "z", "mountPath": "/z"}])),
    _pod("init containers", initContainers=[container("init"), container(
        "side", restartPolicy="Always")]),
    _pod("a bad restart policy", restartPolicy="Sometimes"),
    _pod("tolerations", tolerations=[{"operator": "Exists"}]),
    _pod("a bad toleration", tolerations=[{"key": "a", "operator": "Like"}]),
    _pod("a node by name", nodeName="{ns}-n"),
    _pod("a missing priority class", priorityClassName="absent"),
    _pod("a system priority", priorityClassName="system-node-critical"),
    _pod("a priority of its own", priority=7),
    _pod("affinity and spread", affinity={"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}}},
         topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone",
                                     "whenUnsatisfiable": "DoNotSchedule"}]),
    _pod("a bad node selector", nodeSelector={"a b": "c"}),
    _pod("a deadline of nothing", activeDeadlineSeconds=0),
    case("gates", post("pods", GATED), merge("pods/a", {"spec": {"schedulingGates": [
        {"name": "x.y/b"}]}}), merge("pods/a", {"spec": {"schedulingGates": None}}), get("pods/a")),
    case("a gate that is new", post("pods", pod()),
         merge("pods/a", {"spec": {"schedulingGates": [{"name": "x.y/a"}]}})),
    case("a gated pod with a node", post("pods", pod(
        nodeName="n", schedulingGates=[{"name": "x.y/a"}]))),
    case("a gated pod's selector", post("pods", GATED),
         merge("pods/a", {"spec": {"nodeSelector": {"a": "b"}}})),
    case("an image that changes", post("pods", pod()),
         strategic("pods/a", {"spec": {"containers": [{"name": "main", "image": "b:2"}]}})),
    case("a command that changes", post("pods", pod()), strategic("pods/a", {"spec": {
        "containers": [{"name": "main", "command": ["true"]}]}})),
    case("a container that goes", post("pods", pod()), merge("pods/a", {"spec": {
        "containers": []}})),
    case("tolerations that go", post("pods", pod()),
         merge("pods/a", {"spec": {"tolerations": None}})),
    case("a deadline that shrinks", post("pods", pod(activeDeadlineSeconds=100)),
         merge("pods/a", {"spec": {"activeDeadlineSeconds": 50}}),
         merge("pods/a", {"spec": {"activeDeadlineSeconds": 70}})),
    case("its whole self again", post("pods", pod()), put("pods/a", pod())),
    case("a status of its own", post("pods", {**pod(), "status": {"phase": "Running"}})),
)  # fmt: skip

SUBRESOURCES = subject(
    "subresources",
    case("the status of a pod", post("pods", pod()),
         merge("pods/a/status", {"status": {"phase": "Running"}, "spec": {"nodeName": "x"}}),
         get("pods/a/status"), get("pods/a")),
    case("a pod's status through its object", post("pods", pod()),
         merge("pods/a", {"status": {"phase": "Running"}})),
    case("the status of a pod replaced", post("pods", pod()),
         put("pods/a/status", {**pod(meta={"labels": {"a": "b"}}), "status": {
             "phase": "Running", "startTime": "2026-01-01T00:00:00Z"}})),
    case("the status of a job", post("jobs", job(suspend=True)),
         merge("jobs/a/status", {"status": {"active": 2, "ready": 1}}), get("jobs/a")),
    case("a job's conditions", post("jobs", job(suspend=True)),
         operations("jobs/a/status", {"op": "add", "path": "/status/conditions", "value": [
             {"type": "Queued", "status": "True"}]})),
    case("a missing object's status", get("jobs/a/status"), merge("jobs/a/status", {})),
    case("a binding", post("pods", pod()), post("pods/a/binding", BIND), get("pods/a")),
    case("a binding twice", post("pods", pod()), post("pods/a/binding", BIND),
         post("pods/a/binding", BIND)),
    case("a binding by its collection", post("pods", pod()), post("bindings", BIND),
         get("pods/a", only="spec.nodeName")),
    case("a binding of a gated pod", post("pods", GATED), post("pods/a/binding", BIND)),
    case("a binding to nothing", post("pods", pod()), post("pods/a/binding", {
        "metadata": {"name": "a"}, "target": {}})),
    case("a binding without a target", post("pods", pod()),
         post("pods/a/binding", {"metadata": {"name": "a"}})),
    case("a binding of no pod", post("pods/a/binding", BIND)),
    case("a binding of another uid", post("pods", pod()), post("pods/a/binding", {
        **BIND, "metadata": {"name": "a", "uid": "00000000-0000-4000-8000-000000000000"}})),
    case("a binding with annotations", post("pods", pod()), post("pods/a/binding", {
        **BIND, "metadata": {"name": "a", "annotations": {"a": "b"}, "labels": {"c": "d"}}}),
         get("pods/a", only="metadata.annotations metadata.labels")),
    case("a dry binding", post("pods", pod()), post("pods/a/binding?dryRun=All", BIND),
         get("pods/a", only="spec.nodeName")),
    case("an eviction", post("pods", pod()), post("pods/a/eviction", EVICT), get("pods/a")),
    case("an eviction of a bound pod", post("pods", pod(nodeName="n")),
         post("pods/a/eviction", EVICT), get("pods/a")),
    case("a dry eviction", post("pods", pod()),
         post("pods/a/eviction", {**EVICT, "deleteOptions": {"dryRun": ["All"]}}),
         get("pods/a", only="metadata.deletionTimestamp")),
    case("an eviction of no pod", post("pods/a/eviction", EVICT)),
    case("an eviction of another name", post("pods", pod()),
         post("pods/a/eviction", {**EVICT, "metadata": {"name": "b"}})),
    case("an eviction of another uid", post("pods", pod()), post("pods/a/eviction", {
        **EVICT, "deleteOptions": {"preconditions": {
            "uid": "00000000-0000-4000-8000-000000000000"}}})),
    case("the log of no pod", get("pods/a/log")),
    case("the log of a pod without a node", post("pods", pod()), get("pods/a/log")),
    case("a scale of a job", post("jobs", job(suspend=True)), get("jobs/a/scale")),
    case("may I", post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}})),
    case("may I, of nothing", post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        "spec": {}})),
)  # fmt: skip

GRACE = subject(
    "grace",
    case("none for a pod without a node", post("pods", pod()), delete("pods/a"), get("pods/a")),
    case("for a pod with a node", post("pods", pod(nodeName="n")), delete("pods/a"),
         get("pods/a"), delete("pods/a?gracePeriodSeconds=5"), delete("pods/a"),
         delete("pods/a?gracePeriodSeconds=60"), delete("pods/a?gracePeriodSeconds=0"),
         get("pods/a")),
    case("of a pod's own", post("pods", pod(nodeName="n", terminationGracePeriodSeconds=7)),
         delete("pods/a")),
    case("none for a finished pod", post("pods", pod(nodeName="n")),
         merge("pods/a/status", {"status": {"phase": "Succeeded"}}), delete("pods/a"),
         get("pods/a")),
    case("with a finalizer", post("pods", pod(nodeName="n", meta={"finalizers": ["x.y/a"]})),
         delete("pods/a"), delete("pods/a?gracePeriodSeconds=0"),
         merge("pods/a", {"metadata": {"finalizers": None}}), get("pods/a")),
    case("as a watch shows it", post("pods", pod(nodeName="n")), delete("pods/a"),
         delete("pods/a?gracePeriodSeconds=0"),
         watch("pods?resourceVersion=<1.metadata.resourceVersion>", 2)),
    case("dry", post("pods", pod(nodeName="n")), delete("pods/a?dryRun=All"),
         get("pods/a", only="metadata")),
    case("of all pods", post("pods", pod("a", nodeName="n")), post("pods", pod("b")),
         delete("pods"), get("pods")),
)  # fmt: skip

JOBS = subject(
    "jobs",
    _job("defaults"),
    _job("indexed", **INDEXED),
    _job("indexed without completions", completionMode="Indexed"),
    _job("a bad mode", completionMode="Sideways"),
    _job("negative numbers", parallelism=-1, completions=-1, backoffLimit=-1),
    _job("a restart policy of always", template={"restartPolicy": "Always"}),
    _job("a selector", selector={"matchLabels": {"a": "b"}}),
    case("a manual selector", post("jobs", {"metadata": {"name": "a"}, "spec": {
        "suspend": True, "manualSelector": True, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
                     "spec": job()["spec"]["template"]["spec"]}}})),
    _job("a manual selector that misses", manualSelector=True,
         selector={"matchLabels": {"a": "b"}}),
    _job("a policy of failures", podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": {
        "operator": "In", "values": [1]}}]}),
    _job("another manager", managedBy="x.y/z"),
    case("without a template", post("jobs", {"metadata": {"name": "a"}, "spec": {}})),
    case("with a long name", post("jobs", job("a" * 64, suspend=True))),
    _changed("resumed", {"suspend": False}),
    _changed("parallelism", {"parallelism": 3}),
    _changed("completions", {"completions": 3}),
    _changed("completions, indexed", {"completions": 5, "parallelism": 5}, **INDEXED),
    _changed("another selector", {"selector": {"matchLabels": {"a": "b"}}}),
    _changed("an image", {"template": {"spec": {"containers": [container(image="b:2")]}}}),
    _changed("a node selector while suspended",
             {"template": {"spec": {"nodeSelector": {"a": "b"}}}}),
    _changed("a node selector while running", {"template": {"spec": {"nodeSelector": {"a": "b"}}}},
             suspend=False),
    _changed("resources while suspended", {"template": {"spec": {"containers": [
        container(**CPU)]}}}),
    _changed("labels of the template while suspended", {"template": {"metadata": {
        "labels": {"a": "b"}}}}),
    _changed("gates while suspended", {"template": {"spec": {"schedulingGates": [
        {"name": "x.y/a"}]}}}),
    _changed("a mode", {"completionMode": "Indexed", "completions": 1}),
    case("deleted", post("jobs", job(suspend=True)), delete("jobs/a"), gone("jobs/a")),
    case("deleted in the background", post("jobs", job(suspend=True)),
         delete("jobs/a?propagationPolicy=Background"), gone("jobs/a")),
    case("by kubectl's columns", post("jobs", job(suspend=True, **INDEXED)),
         get("jobs/a", accept=TABLE)),
    case("of a version that is gone", get("/apis/batch/v1beta1/jobs")),
)  # fmt: skip

NODES = subject(
    "nodes",
    case("with a status", post("nodes", node("{ns}", status={
        "capacity": {"cpu": "4", "memory": "8192Mi"}})), get("nodes/{ns}")),
    case("cordoned", post("nodes", node("{ns}")),
         strategic("nodes/{ns}", {"spec": {"unschedulable": True}})),
    case("tainted", post("nodes", node("{ns}")), strategic("nodes/{ns}", {"spec": {"taints": [
        {"key": "a", "effect": "NoSchedule"}]}})),
    case("a bad taint", post("nodes", node("{ns}", spec={"taints": [
        {"key": "a", "effect": "Sometimes"}]}))),
    case("by labels", post("nodes", node("{ns}", meta={"labels": {"n": "{ns}"}})),
         get("nodes?labelSelector=n={ns}"), get("nodes?labelSelector=n={ns}", accept=TABLE)),
    case("a status replaced", post("nodes", node("{ns}")),
         Step("PATCH", "nodes/{ns}/status", {"status": {"conditions": [
             {"type": "Ready", "status": "True"}]}}, "application/strategic-merge-patch+json"),
         delete("nodes/{ns}")),
)  # fmt: skip


def _apps(kind: str, plural: str, *, strategy: Any, replicas: Any) -> tuple[Case, ...]:
    return subject(
        plural,
        case("defaults", post(plural, workload(kind)), get(f"{plural}/a")),
        case("given values", post(plural, workload(kind, spec={"replicas": 3, **strategy}))),
        case("without a selector", post(plural, {"metadata": {"name": "a"}, "spec": {}})),
        case("labels that miss", post(plural, workload(kind, spec={
            "selector": {"matchLabels": {"x": "y"}}}))),
        case("negative replicas", post(plural, workload(kind, spec={"replicas": -1}))),
        case("a selector that changes", post(plural, workload(kind)), merge(f"{plural}/a", {
            "spec": {"selector": {"matchLabels": {"x": "y"}}}})),
        case("scale", post(plural, workload(kind)), get(f"{plural}/a/scale"),
             merge(f"{plural}/a/scale", {"spec": {"replicas": 5}}), get(f"{plural}/a"),
             put(f"{plural}/a/scale", {"metadata": {"name": "a", "namespace": "{ns}"},
                                       "spec": {"replicas": 2}}),
             merge(f"{plural}/a/scale", {"spec": {"replicas": -2}})),
        case("status", post(plural, workload(kind)), merge(f"{plural}/a/status", {
            "status": {"replicas": 2}, "spec": {"replicas": 9}})),
        case("generation", post(plural, workload(kind)), merge(f"{plural}/a", replicas),
             merge(f"{plural}/a", {"metadata": {"labels": {"x": "y"}}})),
        case("table", post(plural, workload(kind)), get(plural, accept=TABLE)),
        case("a bad restart policy", post(plural, workload(kind, pod={"restartPolicy": "Never"}))),
        case("deleted", post(plural, workload(kind)), delete(f"{plural}/a")),
    )  # fmt: skip


APPS = (
    *_apps("Deployment", "deployments", replicas={"spec": {"replicas": 4}}, strategy={
        "strategy": {"type": "Recreate"}, "minReadySeconds": 5}),
    *_apps("ReplicaSet", "replicasets", replicas={"spec": {"replicas": 4}}, strategy={
        "minReadySeconds": 5}),
    *_apps("StatefulSet", "statefulsets", replicas={"spec": {"replicas": 4}}, strategy={
        "serviceName": "a", "podManagementPolicy": "Parallel"}),
)  # fmt: skip

CASES = PODS + SUBRESOURCES + GRACE + JOBS + NODES + APPS
