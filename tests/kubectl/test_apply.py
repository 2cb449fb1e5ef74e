"""kubectl apply, create, diffless updates: what is written is what was meant."""

from typing import Any

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_job, a_pod, a_widget


def test_apply_creates_then_changes_then_leaves_alone(kubectl: Kubectl) -> None:
    assert kubectl.apply(a_config_map(a="1")).lines == ["configmap/c created"]
    assert kubectl.apply(a_config_map(a="2")).lines == ["configmap/c configured"]
    assert kubectl.apply(a_config_map(a="2")).lines == ["configmap/c unchanged"]
    assert kubectl.json("configmap", "c")["data"] == {"a": "2"}


def test_apply_removes_a_field_that_is_no_longer_written(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1", b="2"))
    kubectl.apply(a_config_map(b="2"))
    assert kubectl.json("configmap", "c")["data"] == {"b": "2"}


def test_apply_keeps_what_others_added(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"))
    kubectl("label", "configmap", "c", "mine=yes")
    kubectl.apply(a_config_map(a="2"))
    assert kubectl.json("configmap", "c")["metadata"]["labels"] == {"mine": "yes"}


def test_apply_merges_the_containers_of_a_pod_by_name(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod(image="busybox:1"))
    kubectl.apply(a_pod(image="busybox:2"))
    (container,) = kubectl.json("pod", "p")["spec"]["containers"]
    assert container["image"] == "busybox:2"
    assert container["command"] == ["sleep", "3s"]


def test_apply_of_a_custom_object_changes_and_removes_fields(kubectl: Kubectl) -> None:
    assert kubectl.apply(a_widget(parts=["a", "b"])).lines == ["widget.example.com/w created"]
    assert kubectl.apply(a_widget(size=4)).lines == ["widget.example.com/w configured"]
    assert kubectl.apply(a_widget(size=4)).lines == ["widget.example.com/w unchanged"]
    assert kubectl.json("widget", "w")["spec"] == {"size": 4, "colour": "grey"}


def test_apply_takes_several_documents_and_a_list(kubectl: Kubectl) -> None:
    together: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [a_config_map("one", a="1"), a_widget()],
    }
    applied = kubectl.apply(together, a_job()).lines
    assert applied == [
        "configmap/one created",
        "widget.example.com/w created",
        "job.batch/pi created",
    ]


def test_apply_of_a_definition_serves_its_kind_at_once(kubectl: Kubectl) -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.tools.example.com"},
        "spec": {
            "group": "tools.example.com",
            "scope": "Cluster",
            "names": {"kind": "Gadget", "plural": "gadgets"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    gadget = {
        "apiVersion": "tools.example.com/v1",
        "kind": "Gadget",
        "metadata": {"name": "g"},
        "anything": {"goes": [1, "two"]},
    }
    kubectl.apply(definition)
    waited = kubectl("wait", "--for=condition=Established", "crd/gadgets.tools.example.com")
    assert "condition met" in waited.out
    assert kubectl.apply(gadget).lines == ["gadget.tools.example.com/g created"]
    assert kubectl.json("gadget", "g")["anything"] == {"goes": [1, "two"]}
    assert kubectl("get", "gadgets").table()[0].keys() == {"NAME", "AGE"}
    kubectl("delete", "crd", "gadgets.tools.example.com")
    refused = kubectl("get", "gadgets", "--cache-dir", str(kubectl.home / "new"), fails=True)
    assert "the server doesn't have a resource type" in refused.err


def test_create_names_an_object_from_its_generate_name(kubectl: Kubectl) -> None:
    first = kubectl.create(a_job(generateName="pi-")).out
    second = kubectl.create(a_job(generateName="pi-")).out
    assert first.startswith("job.batch/pi-")
    assert first.endswith(" created\n")
    assert first != second
    assert len(kubectl("get", "jobs", "-o", "name").lines) == 2


def test_create_refuses_what_exists(kubectl: Kubectl) -> None:
    kubectl.create(a_config_map())
    refused = kubectl.create(a_config_map(), fails=True)
    assert 'configmaps "c" already exists' in refused.err


def test_create_namespace_and_other_generators_work(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-made"
    assert kubectl("create", "namespace", name).lines == [f"namespace/{name} created"]
    shown = kubectl("get", "ns", name).table()[0]
    assert (shown["NAME"], shown["STATUS"]) == (name, "Active")
    assert kubectl("create", "ns", f"{name}-2").lines == [f"namespace/{name}-2 created"]
    kubectl("create", "configmap", "c", "--from-literal=a=1")
    assert kubectl.json("configmap", "c")["data"] == {"a": "1"}
    kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
    assert kubectl.json("secret", "s")["data"] == {"a": "MQ=="}
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "quota", "q", "--hard=cpu=4,memory=4Gi")
    assert kubectl.json("quota", "q")["spec"]["hard"] == {"cpu": "4", "memory": "4Gi"}
    kubectl("create", "job", "j", "--image=busybox", "--", "sleep", "1")
    assert kubectl.json("job", "j")["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "sleep",
        "1",
    ]


def test_create_priorityclass_keeps_value_and_policy(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-low"
    kubectl("create", "priorityclass", name, "--value=-5", "--preemption-policy=Never")
    shown = kubectl("get", "priorityclass", name).table()[0]
    assert shown["VALUE"] == "-5"
    assert shown["PREEMPTIONPOLICY"] == "Never"
    kubectl("delete", "priorityclass", name)


def test_replace_swaps_the_whole_object(kubectl: Kubectl) -> None:
    kubectl.create(a_config_map(a="1", b="2"))
    replaced = kubectl("replace", "-f", "-", text=str(a_config_map(c="3")).replace("'", '"'))
    assert replaced.lines == ["configmap/c replaced"]
    assert kubectl.json("configmap", "c")["data"] == {"c": "3"}


def test_run_starts_a_pod(kubectl: Kubectl) -> None:
    assert kubectl("run", "nginx", "--image=nginx").lines == ["pod/nginx created"]
    assert kubectl.json("pod", "nginx")["spec"]["containers"][0]["image"] == "nginx"
