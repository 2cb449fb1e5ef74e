"""What kubectl is told by quotas, limit ranges, priority classes and disruption budgets."""

import json
from typing import Any

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_pod


def _runs(kubectl: Kubectl, name: str, node: str = "") -> None:
    """The pod runs and is ready, on that node, as a kubelet would say."""
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{name}"
    if node:
        target = {"kind": "Node", "name": node}
        kubectl.server.ask("POST", f"{path}/binding", {"target": target})
    pod = kubectl.server.ask("GET", path)
    ready = {"type": "Ready", "status": "True"}
    pod["status"] |= {"phase": "Running", "conditions": [ready]}
    kubectl.server.ask("PUT", f"{path}/status", pod)


def test_a_quota_is_created_counted_and_kept(kubectl: Kubectl) -> None:
    told = kubectl("create", "quota", "q", "--hard=pods=1,cpu=1,count/configmaps=1")
    assert told.lines == ["resourcequota/q created"]
    kubectl.apply(a_pod("one"))
    refused = kubectl.apply(a_pod("two"), fails=True)
    assert refused.err == (
        'Error from server (Forbidden): error when creating "STDIN": pods "two" is forbidden: '
        "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1\n"
    )
    (row,) = kubectl("get", "quota").table()
    assert row["REQUEST"] == "count/configmaps: 0/1, cpu: 100m/1, pods: 1/1"
    lines = kubectl("describe", "quota", "q").squeezed.splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ["count/configmaps", "0", "1"],
        ["cpu", "100m", "1"],
        ["pods", "1", "1"],
    ]
    refused = kubectl("run", "bare", "--image=x", fails=True)
    assert "failed quota: q: must specify cpu for: bare" in refused.err
    kubectl("delete", "pod", "one", "--now")
    assert kubectl.apply(a_pod("two")).lines == ["pod/two created"]


def test_a_limit_range_fills_in_and_bounds(kubectl: Kubectl) -> None:
    limits = [{"type": "Container", "default": {"cpu": "200m"}, "max": {"cpu": "1"}}]
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "r"},
            "spec": {"limits": limits},
        }
    )
    kubectl("run", "p", "--image=x")
    (container,) = kubectl.json("pod", "p")["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "200m"}}
    big = a_pod("big")
    big["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    refused = kubectl.apply(big, fails=True)
    assert "maximum cpu usage per Container is 1, but limit is 2" in refused.err


def test_a_pod_has_the_priority_of_its_class(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-high"
    kubectl("create", "priorityclass", name, "--value=1000")
    pod = a_pod()
    pod["spec"]["priorityClassName"] = name
    kubectl.apply(pod)
    assert kubectl.json("pod", "p")["spec"]["priority"] == 1000
    pod = a_pod("q")
    pod["spec"]["priorityClassName"] = "unknown"
    refused = kubectl.apply(pod, fails=True)
    assert 'pods "q" is forbidden: no PriorityClass with name unknown was found' in refused.err


def _a_node(kubectl: Kubectl, **pod_status: Any) -> str:
    name = f"{kubectl.namespace}-node"
    kubectl.server.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}, **pod_status})
    return name


def test_taints_are_set_and_taken_off(kubectl: Kubectl) -> None:
    node = _a_node(kubectl)
    assert kubectl("taint", "node", node, "k=v:NoSchedule").lines == [f"node/{node} tainted"]
    assert kubectl.json("node", node)["spec"]["taints"] == [
        {"key": "k", "value": "v", "effect": "NoSchedule"}
    ]
    assert kubectl("taint", "node", node, "k-").lines == [f"node/{node} untainted"]
    assert "taints" not in kubectl.json("node", node)["spec"]


def test_a_drain_evicts_what_the_budget_lets_go(kubectl: Kubectl) -> None:
    node = _a_node(kubectl)
    told = kubectl("create", "pdb", "b", "--selector=app=a", "--min-available=1")
    assert told.lines == ["poddisruptionbudget.policy/b created"]
    kubectl.apply(a_pod("one", app="a"), a_pod("two", app="a"))
    _runs(kubectl, "one", node)
    _runs(kubectl, "two")
    (row,) = kubectl("get", "pdb").table()
    assert (row["MIN AVAILABLE"], row["ALLOWED DISRUPTIONS"]) == ("1", "1")
    with kubectl.following("drain", node, "--force", "--grace-period=1") as line:
        told = [line() for _ in range(3)]
        assert told[0] == f"node/{node} cordoned"
        assert told[2] == f"evicting pod {kubectl.namespace}/one"
        path = f"/api/v1/namespaces/{kubectl.namespace}/pods/one"
        # The kubelet ends what it was told to end.
        kubectl("wait", "--for=jsonpath={.metadata.deletionGracePeriodSeconds}=1", "pod/one")
        kubectl.server.ask("DELETE", path, {"gracePeriodSeconds": 0})
        assert line() == "pod/one evicted"
        assert line() == f"node/{node} drained"


def test_a_drain_is_told_why_a_pod_may_not_go(kubectl: Kubectl) -> None:
    node = _a_node(kubectl)
    kubectl("create", "pdb", "b", "--selector=app=a", "--max-unavailable=0")
    kubectl.apply(a_pod("one", app="a"))
    _runs(kubectl, "one", node)
    refused = kubectl("drain", node, "--force", "--timeout=2s", fails=True)
    assert (
        f'error when evicting pods/"one" -n "{kubectl.namespace}" (will retry after 5s): Cannot '
        "evict pod as it would violate the pod's disruption budget." in refused.err
    )
    assert "Allowed disruptions: 0" in kubectl("describe", "pdb", "b").squeezed
    assert json.loads(kubectl("get", "pod", "one", "-o", "json").out)["status"]["phase"] == (
        "Running"
    )
