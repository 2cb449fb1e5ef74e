"""kubectl patch, label, annotate, edit's way of writing, and delete."""

import json
from typing import Any

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_job, a_pod, a_widget

ATTEMPTS = 100


def test_a_merge_patch_sets_and_removes(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget(colour="red", parts=["a"]))
    patch = json.dumps({"spec": {"size": 8, "parts": None}})
    assert kubectl("patch", "wd", "w", "--type=merge", "-p", patch).lines == [
        "widget.example.com/w patched"
    ]
    assert kubectl.json("wd", "w")["spec"] == {"size": 8, "colour": "red"}
    again = kubectl("patch", "wd", "w", "--type=merge", "-p", patch)
    assert again.lines == ["widget.example.com/w patched (no change)"]


def test_a_json_patch_tests_and_changes(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget(parts=["a"]))
    patch: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/size", "value": 3},
        {"op": "add", "path": "/spec/parts/-", "value": "b"},
        {"op": "remove", "path": "/spec/colour"},
    ]
    kubectl("patch", "wd", "w", "--type=json", "-p", json.dumps(patch))
    assert kubectl.json("wd", "w")["spec"]["parts"] == ["a", "b"]
    patch[0]["value"] = 99
    refused = kubectl("patch", "wd", "w", "--type=json", "-p", json.dumps(patch), fails=True)
    assert "test" in refused.err.lower()
    assert kubectl.json("wd", "w")["spec"]["parts"] == ["a", "b"]


def test_a_strategic_patch_finds_a_container_by_its_name(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    change = {"spec": {"containers": [{"name": "main", "image": "other"}]}}
    kubectl("patch", "pod", "p", "-p", json.dumps(change))
    (container,) = kubectl.json("pod", "p")["spec"]["containers"]
    assert (container["image"], container["command"]) == ("other", ["sleep", "3s"])


def test_a_job_is_resumed_by_a_patch(kubectl: Kubectl) -> None:
    kubectl.apply(a_job())
    kubectl("patch", "job", "pi", "-p", '{"spec":{"suspend":false}}')
    assert kubectl.json("job", "pi")["spec"]["suspend"] is False


def test_the_status_subresource_is_patched_apart(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    patch = '{"spec":{"size":99},"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    kubectl("patch", "wd", "w", "--subresource=status", "--type=merge", "-p", patch)
    found = kubectl.json("wd", "w")
    assert found["spec"]["size"] == 3
    assert found["status"]["conditions"][0]["type"] == "Ready"


def test_labels_and_annotations_are_set_changed_and_removed(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    assert kubectl("label", "wd", "w", "a=1", "b=2").lines == ["widget.example.com/w labeled"]
    refused = kubectl("label", "wd", "w", "a=9", fails=True)
    assert "--overwrite is false" in refused.err
    kubectl("label", "wd", "w", "a=9", "--overwrite")
    kubectl("label", "wd", "w", "b-")
    told = kubectl("annotate", "wd", "w", "note=hello world")
    assert told.lines == ["widget.example.com/w annotated"]
    assert kubectl("annotate", "wd", "--all", "kept=1").lines == ["widget.example.com/w annotated"]
    assert {"kept=1", "note=hello world"} <= set(kubectl("annotate", "wd", "w", "--list").lines)
    assert kubectl("label", "wd", "w", "--list").lines == ["a=9"]
    assert kubectl("label", "wd", "w", "a-").lines == ["widget.example.com/w unlabeled"]
    kubectl("label", "wd", "w", "a=9")
    metadata = kubectl.json("wd", "w")["metadata"]
    assert metadata["labels"] == {"a": "9"}
    assert metadata["annotations"]["note"] == "hello world"
    kubectl("annotate", "wd", "w", "note-")
    assert "note" not in kubectl.json("wd", "w")["metadata"]["annotations"]


def test_labels_are_set_on_everything_a_selector_names(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod("one", app="a"), a_pod("two", app="a"), a_pod("three"))
    kubectl("label", "pods", "-l", "app=a", "picked=yes")
    assert len(kubectl("get", "pods", "-l", "picked", "-o", "name").lines) == 2


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    deleted = kubectl("delete", "wd", "w", "--wait")
    assert deleted.out.startswith('widget.example.com "w" deleted')
    assert "NotFound" in kubectl("get", "wd", "w", fails=True).err


def test_delete_waits_for_a_finalizer_to_be_taken_off(kubectl: Kubectl) -> None:
    held = a_widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    kubectl.apply(held)
    with kubectl.following("delete", "wd", "w") as line:
        assert line().startswith('widget.example.com "w" deleted')
        assert any(
            "deletionTimestamp" in kubectl.json("wd", "w")["metadata"] for _ in range(ATTEMPTS)
        )
        kubectl("patch", "wd", "w", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert "NotFound" in kubectl("get", "wd", "w", fails=True).err


def test_delete_takes_files_selectors_and_all(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map("one"), a_config_map("two"), a_widget("three"), a_widget("four"))
    kubectl("label", "configmap", "one", "drop=yes")
    kubectl("delete", "configmap", "-l", "drop=yes")
    assert kubectl("get", "configmap", "-o", "name").lines == ["configmap/two"]
    kubectl("delete", "widgets", "--all")
    assert kubectl("get", "widgets").out == ""
    kubectl("delete", "-f", "-", text="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n")
    assert "NotFound" in kubectl("delete", "configmap", "two", fails=True).err
    assert kubectl("delete", "configmap", "two", "--ignore-not-found").out == ""


def test_deleting_an_owner_in_the_background_deletes_what_it_owns(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("owner"))
    uid = kubectl.json("wd", "owner")["metadata"]["uid"]
    owned = a_config_map("owned")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": uid}
    ]
    kubectl.apply(owned)
    deleted = kubectl("delete", "wd", "owner", "--cascade=background")
    assert deleted.out.startswith('widget.example.com "owner" deleted')
    kubectl("wait", "--for=delete", "configmap/owned")
    assert "NotFound" in kubectl("get", "configmap", "owned", fails=True).err


def test_deleting_an_owner_deletes_what_it_owns(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("owner"))
    uid = kubectl.json("wd", "owner")["metadata"]["uid"]
    owned = a_config_map("owned")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": uid}
    ]
    kubectl.apply(owned)
    kubectl("delete", "wd", "owner", "--cascade=foreground")
    assert kubectl("get", "configmap", "owned", "--ignore-not-found").out == ""


def test_deleting_an_owner_may_leave_orphans(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("owner"))
    uid = kubectl.json("wd", "owner")["metadata"]["uid"]
    owned = a_config_map("owned")
    owned["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": uid}
    ]
    kubectl.apply(owned)
    kubectl("delete", "wd", "owner", "--cascade=orphan")
    assert "ownerReferences" not in kubectl.json("configmap", "owned")["metadata"]


def test_a_deleted_namespace_takes_everything_with_it(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-gone"
    kubectl("create", "ns", name)
    kubectl("apply", f"--namespace={name}", "-f", "-", text=json.dumps(a_widget()))
    assert kubectl("delete", "ns", name).out.startswith(f'namespace "{name}" deleted')
    kubectl("create", "ns", name)
    assert kubectl("get", "wd", f"--namespace={name}").out == ""


def test_a_pod_deleted_with_no_grace_is_gone_at_once(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    kubectl("delete", "pod", "p", "--grace-period=0", "--force")
    assert "NotFound" in kubectl("get", "pod", "p", fails=True).err


def test_a_dry_run_on_the_server_changes_nothing(kubectl: Kubectl) -> None:
    applied = kubectl.apply(a_widget(), more=("--dry-run=server",))
    assert applied.lines == ["widget.example.com/w created (server dry run)"]
    assert "NotFound" in kubectl("get", "wd", "w", fails=True).err


def test_a_cordoned_node_says_so(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-node"
    kubectl.server.ask("POST", "/api/v1/nodes", {"metadata": {"name": name}})
    assert kubectl("cordon", name).lines == [f"node/{name} cordoned"]
    assert kubectl("get", "node", name).table()[0]["STATUS"] == "Unknown,SchedulingDisabled"
    kubectl("uncordon", name)
    assert kubectl("get", "node", name).table()[0]["STATUS"] == "Unknown"
