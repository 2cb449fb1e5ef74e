"""The rest of a day with kubectl: diff, edit, prune, replace, logs, wait, events, who am I."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_job, a_pod, a_widget


def _text(*objects: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def test_diff_shows_what_an_apply_would_change_and_changes_nothing(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"), a_widget())
    same = kubectl("diff", "-f", "-", text=_text(a_config_map(a="1"), a_widget()))
    assert same.out == ""
    told = kubectl("diff", "-f", "-", text=_text(a_config_map(a="2"), a_widget(size=5)), fails=True)
    assert told.code == 1
    for line in ('-  a: "1"', '+  a: "2"', "-  size: 3", "+  size: 5"):
        assert line in told.lines
    assert kubectl.json("configmap", "c")["data"] == {"a": "1"}


def test_prune_deletes_what_is_no_longer_written(kubectl: Kubectl) -> None:
    one, two = a_config_map("one", a="1"), a_config_map("two", a="1")
    for each in (one, two):
        each["metadata"]["labels"] = {"set": kubectl.namespace}
    kubectl.apply(one, two)
    told = kubectl.apply(one, more=("--prune", "-l", f"set={kubectl.namespace}"))
    assert told.lines == ["configmap/one unchanged", "configmap/two pruned"]
    assert kubectl("get", "configmap", "-o", "name").lines == ["configmap/one"]


def _an_editor(folder: Path, script: str) -> str:
    editor = folder / "editor"
    editor.write_text(f'#!/bin/sh\n{script} "$1"\n')
    editor.chmod(0o755)
    return str(editor)


def test_edit_writes_what_the_editor_left(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(a_config_map(a="1"), a_widget())
    kubectl.environment["KUBE_EDITOR"] = _an_editor(tmp_path, 'sed -i \'s/a: "1"/a: "2"/\'')
    assert kubectl("edit", "configmap", "c").lines == ["configmap/c edited"]
    assert kubectl.json("configmap", "c")["data"] == {"a": "2"}
    kubectl.environment["KUBE_EDITOR"] = _an_editor(tmp_path, "sed -i 's/size: 3/size: 7/'")
    assert kubectl("edit", "widget", "w").lines == ["widget.example.com/w edited"]
    assert kubectl.json("widget", "w")["spec"]["size"] == 7
    kubectl.environment["KUBE_EDITOR"] = "true"
    assert (
        "no changes made"
        in kubectl("edit", "configmap", "c").err + kubectl("edit", "configmap", "c").out
    )


def test_replace_force_makes_a_new_object(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    before = kubectl.json("pod", "p")["metadata"]["uid"]
    told = kubectl("replace", "--force", "-f", "-", text=json.dumps(a_pod(image="other")))
    assert told.lines[-1] == "pod/p replaced"
    found = kubectl.json("pod", "p")
    assert found["metadata"]["uid"] != before
    assert found["spec"]["containers"][0]["image"] == "other"


def _container(kubectl: Kubectl, phase: str, state: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/p"
    pod = kubectl.server.ask("GET", path)
    status = {"name": "main", "image": "", "imageID": "", "ready": True, "restartCount": 0}
    pod["status"] |= {"phase": phase, "containerStatuses": [{**status, "state": state}]}
    kubectl.server.ask("PUT", f"{path}/status", pod)


def test_logs_are_read_and_followed(kubectl: Kubectl) -> None:
    pod = a_pod()
    pod["spec"]["nodeName"] = "node-a"
    kubectl.apply(pod)
    refused = kubectl("logs", "p", fails=True)
    assert 'container "main" in pod "p" is waiting to start: ContainerCreating' in refused.err
    began = "2027-01-15T08:00:00Z"
    _container(kubectl, "Running", {"running": {"startedAt": began}})
    first, last = "(simulated) started: sleep 3s", "(simulated) ended with exit code 0"
    assert kubectl("logs", "p").lines == [first]
    assert kubectl("logs", "p", "--timestamps").lines == [f"{began} {first}"]
    with kubectl.following("logs", "-f", "p") as line:
        assert line() == first
        ended = {"exitCode": 0, "startedAt": began, "finishedAt": "2027-01-15T08:00:03Z"}
        _container(kubectl, "Succeeded", {"terminated": ended})
        assert line() == last
    assert kubectl("logs", "p", "--tail=1").lines == [last]
    assert kubectl("logs", "-l", "!none", "--prefix").lines == [
        f"[pod/p/main] {first}",
        f"[pod/p/main] {last}",
    ]


@pytest.mark.parametrize("command", [("exec", "p", "--", "true"), ("attach", "p")])
def test_what_needs_a_program_is_refused_by_name(
    kubectl: Kubectl, command: tuple[str, ...]
) -> None:
    kubectl.apply(a_pod())
    _container(kubectl, "Running", {"running": {}})
    refused = kubectl(*command, fails=True)
    assert f"pods/{command[0]} is not served" in refused.err


def test_wait_sees_conditions_fields_and_ends(kubectl: Kubectl) -> None:
    kubectl.apply(a_job())
    path = f"/apis/batch/v1/namespaces/{kubectl.namespace}/jobs/pi/status"
    with kubectl.following("wait", "--for=condition=Suspended", "job/pi") as line:
        job = kubectl.json("job", "pi")
        job["status"]["conditions"] = [{"type": "Suspended", "status": "True"}]
        kubectl.server.ask("PUT", path, job)
        assert line() == "job.batch/pi condition met"
    assert kubectl("wait", "--for=create", "job/pi").lines == ["job.batch/pi condition met"]
    told = kubectl("wait", "--for=jsonpath={.spec.suspend}=true", "job/pi")
    assert told.lines == ["job.batch/pi condition met"]
    refused = kubectl("wait", "--for=delete", "job/pi", "--timeout=1s", fails=True)
    assert "timed out waiting for the condition on jobs/pi" in refused.err
    kubectl("delete", "job", "pi", "--wait=false")
    kubectl("wait", "--for=delete", "job/pi")
    assert "NotFound" in kubectl("get", "job", "pi", fails=True).err


def test_events_are_shown_for_an_object_and_sorted(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    uid = kubectl.json("pod", "p")["metadata"]["uid"]
    for number, reason in enumerate(("Scheduled", "Started")):
        moment = f"2027-01-15T08:00:0{number}Z"
        kubectl.server.ask(
            "POST",
            f"/api/v1/namespaces/{kubectl.namespace}/events",
            {
                "metadata": {"name": f"e{number}"},
                "involvedObject": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": "p",
                    "namespace": kubectl.namespace,
                    "uid": uid,
                },
                "reason": reason,
                "message": f"it was {reason}",
                "type": "Normal",
                "firstTimestamp": moment,
                "lastTimestamp": moment,
            },
        )
    rows = kubectl("events", "--for", "pod/p").table()
    assert [row["REASON"] for row in rows] == ["Scheduled", "Started"]
    assert rows[0]["OBJECT"] == "Pod/p"
    rows = kubectl("get", "events", "--sort-by=.lastTimestamp").table()
    assert [row["MESSAGE"] for row in rows] == ["it was Scheduled", "it was Started"]


def test_who_am_i_and_what_may_i_do(kubectl: Kubectl) -> None:
    rows = kubectl("auth", "whoami").table()
    assert rows[0] == {"ATTRIBUTE": "Username", "VALUE": "kube-queue:local"}
    told = kubectl("auth", "whoami", "--as=jane").table()
    assert told[0]["VALUE"] == "jane"
    assert kubectl("auth", "can-i", "delete", "nodes").lines == ["yes"]
    assert kubectl("auth", "can-i", "--list").lines[1].split()[0] == "*.*"


def test_a_watch_ends_with_the_object_it_was_of(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    with kubectl.following("get", "pod", "p", "-w", "--output-watch-events") as line:
        assert line().split() == ["EVENT", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert line().split()[:4] == ["ADDED", "p", "0/1", "Pending"]
        kubectl("delete", "pod", "p", "--now")
        assert line().split()[:2] == ["DELETED", "p"]


def test_delete_waits_for_the_grace_it_was_given(kubectl: Kubectl) -> None:
    pod = a_pod()
    pod["spec"]["nodeName"] = "node-a"
    kubectl.apply(pod)
    _container(kubectl, "Running", {"running": {}})
    kubectl("delete", "pod", "p", "--grace-period=7", "--wait=false")
    assert kubectl.json("pod", "p")["metadata"]["deletionGracePeriodSeconds"] == 7
    assert kubectl("get", "pod", "p").table()[0]["STATUS"] == "Terminating"
    kubectl("delete", "pod", "p", "--force", "--grace-period=0")
    assert "NotFound" in kubectl("get", "pod", "p", fails=True).err


def test_everything_can_be_dumped(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(a_pod())
    kubectl("cluster-info", "dump", f"--output-directory={tmp_path}", "-o", "json")
    dumped = json.loads((tmp_path / kubectl.namespace / "pods.json").read_text())
    assert [pod["metadata"]["name"] for pod in dumped["items"]] == ["p"]
