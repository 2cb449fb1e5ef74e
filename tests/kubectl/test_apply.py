"""kubectl apply, create, diffless updates: what is written is what was meant."""

import json
from pathlib import Path
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
    made = kubectl("create", "configmap", "c", "--from-literal=a=1")
    assert made.lines == ["configmap/c created"]
    assert kubectl.json("configmap", "c")["data"] == {"a": "1"}
    made = kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
    assert made.lines == ["secret/s created"]
    assert kubectl.json("secret", "s")["data"] == {"a": "MQ=="}
    registry = ("--docker-server=r", "--docker-username=u", "--docker-password=p")
    kubectl("create", "secret", "docker-registry", "r", *registry)
    assert kubectl("get", "secret", "r").table()[0]["TYPE"] == "kubernetes.io/dockerconfigjson"
    assert kubectl("create", "serviceaccount", "sa").lines == ["serviceaccount/sa created"]
    made = kubectl("create", "quota", "q", "--hard=cpu=4,memory=4Gi")
    assert made.lines == ["resourcequota/q created"]
    assert kubectl.json("quota", "q")["spec"]["hard"] == {"cpu": "4", "memory": "4Gi"}
    made = kubectl("create", "job", "j", "--image=busybox", "--", "sleep", "1")
    assert made.lines == ["job.batch/j created"]
    assert kubectl.json("job", "j")["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "sleep",
        "1",
    ]


def test_create_priorityclass_keeps_value_and_policy(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-low"
    made = kubectl("create", "priorityclass", name, "--value=-5", "--preemption-policy=Never")
    assert made.lines == [f"priorityclass.scheduling.k8s.io/{name} created"]
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


def test_a_kustomization_is_applied_compared_and_deleted(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(json.dumps(a_config_map("one", a="1")))
    (tmp_path / "kustomization.yaml").write_text(
        "namePrefix: k-\nresources: [one.yaml]\n"
        "configMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    here = str(tmp_path)
    applied = kubectl("apply", "-k", here).lines
    assert [line.rsplit("-", 1)[0] for line in applied] == ["configmap/k-made", "configmap/k"]
    assert kubectl("diff", "-k", here).out == ""
    assert len(kubectl("delete", "-k", here).lines) == 2
    assert kubectl("get", "configmap").out == ""


def test_an_apply_set_prunes_what_has_left_it(kubectl: Kubectl) -> None:
    kubectl.environment["KUBECTL_APPLYSET"] = "true"
    more = ("--prune", "--applyset=secret/set")
    kubectl.apply(a_config_map("one"), a_config_map("two"), more=more)
    kept, pruned = kubectl.apply(a_config_map("one"), more=more).lines
    assert kept.startswith("configmap/one ")
    assert pruned == "configmap/two pruned"
    assert kubectl("get", "configmap", "-o", "name").lines == ["configmap/one"]
    noted = kubectl.json("secret", "set")["metadata"]["annotations"]
    assert noted["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"


def test_what_was_applied_last_is_shown_and_set(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"))
    told = kubectl("apply", "view-last-applied", "configmap", "c", "-o", "json")
    assert json.loads(told.out)["data"] == {"a": "1"}
    text = json.dumps(a_config_map(a="2"))
    assert kubectl("apply", "set-last-applied", "-f", "-", text=text).lines == [
        "configmap/c configured"
    ]
    assert kubectl.json("configmap", "c")["data"] == {"a": "1"}


def test_an_object_that_was_replaced_is_applied_with_a_warning(kubectl: Kubectl) -> None:
    kubectl.create(a_config_map(a="1"))
    told = kubectl.apply(a_config_map(a="2"))
    assert told.lines == ["configmap/c configured"]
    assert "missing the kubectl.kubernetes.io/last-applied-configuration annotation" in told.err


def test_a_job_is_made_from_a_cron_job(kubectl: Kubectl) -> None:
    kubectl("create", "cronjob", "nightly", "--image=busybox", "--schedule=0 0 * * *")
    made = kubectl("create", "job", "now", "--from=cronjob/nightly")
    assert made.lines == ["job.batch/now created"]
    (owner,) = kubectl.json("job", "now")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CronJob", "nightly")
