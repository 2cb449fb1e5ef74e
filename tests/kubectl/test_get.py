"""kubectl get, in every form."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import yaml

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_job, a_pod, a_widget


def _condition(kubectl: Kubectl, name: str, *conditions: tuple[str, str]) -> None:
    path = f"/apis/example.com/v1/namespaces/{kubectl.namespace}/widgets/{name}"
    widget = kubectl.server.ask("GET", path)
    widget["status"] = {"conditions": [{"type": t, "status": s} for t, s in conditions]}
    kubectl.server.ask("PUT", f"{path}/status", widget)


def _run(kubectl: Kubectl, name: str, phase: str, node: str = "n1") -> None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{name}"
    target = {"kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    kubectl.server.ask("POST", f"{path}/binding", binding)
    pod = kubectl.server.ask("GET", path)
    running = phase == "Running"
    state = {"running": {}} if running else {"terminated": {"exitCode": 0, "reason": "Completed"}}
    status = {"name": "main", "ready": running, "restartCount": 0, "image": "", "imageID": ""}
    pod["status"] = {"phase": phase, "containerStatuses": [{**status, "state": state}]}
    kubectl.server.ask("PUT", f"{path}/status", pod)


def test_pods_are_shown_with_their_state(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod("one"), a_pod("two"), a_pod("three"))
    _run(kubectl, "one", "Running")
    _run(kubectl, "two", "Succeeded")
    rows = kubectl("get", "pods").table()
    shown = {row["NAME"]: (row["READY"], row["STATUS"], row["RESTARTS"]) for row in rows}
    assert shown == {
        "one": ("1/1", "Running", "0"),
        "two": ("0/1", "Completed", "0"),
        "three": ("0/1", "Pending", "0"),
    }
    assert all(row["AGE"].endswith("s") for row in rows)


def test_wide_adds_columns(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod("one"), a_job())
    _run(kubectl, "one", "Running", node="n7")
    (pod,) = kubectl("get", "pods", "-o", "wide").table()
    assert pod["NODE"] == "n7"
    assert pod["NOMINATED NODE"] == "<none>"
    (job,) = kubectl("get", "jobs", "-o", "wide").table()
    assert (job["CONTAINERS"], job["IMAGES"]) == ("pi", "perl:5.34.0")


def test_custom_columns_follow_the_last_condition(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("one"), a_widget("two", 5))
    _condition(kubectl, "one", ("Created", "True"), ("Queuing", "True"))
    rows = kubectl("get", "widgets").table()
    assert [(row["NAME"], row["STATE"], row["SIZE"]) for row in rows] == [
        ("one", "Queuing", "3"),
        ("two", "", "5"),
    ]
    _condition(kubectl, "one", ("Ready", "False"), ("Running", "True"))
    wide = kubectl("get", "wd", "-o", "wide").table()
    assert (wide[0]["STATE"], wide[0]["READY"]) == ("Running", "False")


def test_yaml_and_json_say_the_same(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    assert yaml.safe_load(kubectl("get", "wd", "w", "-o", "yaml").out) == kubectl.json("wd", "w")


def test_jsonpath_and_custom_columns_pick_fields(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("one"), a_widget("two", 5))
    picked = kubectl("get", "wd", "-o", "jsonpath={.items[*].spec.size}")
    assert picked.out == "3 5"
    columns = kubectl("get", "wd", "-o", "custom-columns=N:.metadata.name,S:.spec.size")
    assert columns.table() == [{"N": "one", "S": "3"}, {"N": "two", "S": "5"}]


def test_every_other_form_of_output_says_the_same(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl.apply(a_widget("one"), a_widget("two", 5))

    def printed(form: str) -> str:
        return kubectl("get", "wd", "-o", form).out

    def file(text: str) -> Path:
        path = tmp_path / "form"
        path.write_text(text)
        return path

    template = "{{range .items}}{{.metadata.name}} {{end}}"
    assert printed(f"go-template={template}") == "one two "
    assert printed(f"go-template-file={file(template)}") == "one two "
    assert printed(f"jsonpath-file={file('{.items[*].spec.size}')}") == "3 5"
    assert json.loads(printed("jsonpath-as-json={.items[*].spec.size}")) == [3, 5]
    columns = file("N    S\n.metadata.name .spec.size")
    assert kubectl("get", "wd", "-o", f"custom-columns-file={columns}").table() == [
        {"N": "one", "S": "3"},
        {"N": "two", "S": "5"},
    ]
    assert printed("name") == "widget.example.com/one\nwidget.example.com/two\n"
    assert kubectl("get", "wd", "one", "--no-headers").out.split()[:2] == ["one", "3"]
    assert kubectl("get", "wd", "one", "--show-labels").table()[0]["LABELS"] == "<none>"
    assert kubectl("get", "wd", "--show-kind").table()[0]["NAME"] == "widget.example.com/one"


def test_kyaml_is_printed_by_a_kubectl_that_knows_it(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    version = json.loads(kubectl("version", "--client", "-o", "json").out)["clientVersion"]
    if int(version["minor"].rstrip("+")) >= 35:
        assert 'kind: "Widget",' in kubectl("get", "wd", "w", "-o", "kyaml").squeezed
    else:
        told = kubectl("get", "wd", "w", "-o", "kyaml", fails=True)
        assert 'unable to match a printer suitable for the output format "kyaml"' in told.err


def test_a_scale_is_shown_as_a_row_of_its_own(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    (row,) = kubectl("get", "deploy", "web", "--subresource=scale").table()
    assert (row["NAME"], row["DESIRED"], row["AVAILABLE"]) == ("web", "2", "0")
    patch = '{"spec":{"replicas":4}}'
    told = kubectl("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", patch)
    assert told.lines == ["scale.autoscaling/web patched"]
    assert kubectl.json("deploy", "web")["spec"]["replicas"] == 4


def test_labels_choose_and_are_shown(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod("one", app="a", tier="x"), a_pod("two", app="b"), a_pod("three"))

    def chosen(selector: str) -> list[str]:
        return [
            line.removeprefix("pod/")
            for line in kubectl("get", "pods", "-l", selector, "-o", "name").lines
        ]

    assert chosen("app=a") == ["one"]
    assert chosen("app!=a") == ["three", "two"]
    assert chosen("app in (a,b)") == ["one", "two"]
    assert chosen("!app") == ["three"]
    assert chosen("app,tier") == ["one"]
    shown = {row["NAME"]: row["APP"] for row in kubectl("get", "pods", "-L", "app").table()}
    assert shown == {"one": "a", "two": "b", "three": ""}


def test_fields_choose(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod("one"), a_pod("two"))
    _run(kubectl, "one", "Running", node="n1")

    def chosen(selector: str) -> list[str]:
        return kubectl("get", "pods", "--field-selector", selector, "-o", "name").lines

    assert chosen("spec.nodeName=n1") == ["pod/one"]
    assert chosen("spec.nodeName=") == ["pod/two"]
    assert chosen("status.phase!=Running") == ["pod/two"]
    assert chosen("metadata.name=two") == ["pod/two"]
    refused = kubectl("get", "pods", "--field-selector", "spec.colour=red", fails=True)
    assert "spec.colour" in refused.err


def test_all_namespaces_are_shown_with_their_names(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    rows = kubectl("get", "widgets", "-A").table()
    assert {"NAMESPACE": kubectl.namespace, "NAME": "w"}.items() <= next(
        row for row in rows if row["NAMESPACE"] == kubectl.namespace
    ).items()


def test_a_long_list_comes_in_pieces_and_is_whole(kubectl: Kubectl) -> None:
    kubectl.apply(*(a_config_map(f"c{number}") for number in range(7)))
    listed = kubectl("get", "configmaps", "--chunk-size=3", "-o", "name").lines
    assert [f"configmap/c{number}" for number in range(7)] == [
        line for line in listed if line.startswith("configmap/c")
    ]


def test_get_all_shows_built_in_and_custom_kinds_of_the_category(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod(), a_job(), a_widget())
    shown = kubectl("get", "all", "-o", "name").lines
    assert {"pod/p", "job.batch/pi", "widget.example.com/w"} <= set(shown)


def test_sorting_and_several_kinds_in_one_command_work(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget("a", 9), a_widget("b", 1), a_config_map())
    ordered = kubectl("get", "wd", "--sort-by=.spec.size").table()
    assert [row["NAME"] for row in ordered] == ["b", "a"]
    assert kubectl("get", "wd/a", "configmap/c", "-o", "name").lines == [
        "widget.example.com/a",
        "configmap/c",
    ]


def test_nothing_to_show_says_so(kubectl: Kubectl) -> None:
    nothing = kubectl("get", "pods")
    assert nothing.out == ""
    assert nothing.err == f"No resources found in {kubectl.namespace} namespace.\n"


def test_a_watch_shows_each_change_as_it_happens(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    with kubectl.following("get", "widgets", "-w") as line:
        assert line().split() == ["NAME", "STATE", "SIZE", "AGE"]
        assert line().split()[:2] == ["w", "3"]
        _condition(kubectl, "w", ("Queuing", "True"))
        assert line().split()[:3] == ["w", "Queuing", "3"]
        kubectl.server.ask(
            "DELETE", f"/apis/example.com/v1/namespaces/{kubectl.namespace}/widgets/w"
        )
        assert line().split()[:3] == ["w", "Queuing", "3"]


@contextmanager
def pods_keep_coming(kubectl: Kubectl) -> Iterator[None]:
    """New pods are created one after another, for a client that shows no sign of having begun."""
    over = threading.Event()

    def create() -> None:
        for number in count():
            pod = a_pod(f"new-{number}")
            kubectl.server.ask("POST", f"/api/v1/namespaces/{kubectl.namespace}/pods", pod)
            if over.wait(0.1):
                return

    thread = threading.Thread(target=create)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_watch_of_pods_in_all_namespaces_shows_new_ones(kubectl: Kubectl) -> None:
    with kubectl.following("get", "pods", "-A", "--watch-only") as line, pods_keep_coming(kubectl):
        seen = line().split()
        assert seen == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        while (row := line().split())[0] != kubectl.namespace:
            pass
        assert row[1].startswith("new-")
        assert row[2:4] == ["0/1", "Pending"]


def test_wait_returns_when_a_condition_comes_true(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget())
    with kubectl.following("wait", "wd/w", "--for=condition=Ready", "--timeout=20s") as line:
        _condition(kubectl, "w", ("Ready", "True"))
        assert line() == "widget.example.com/w condition met"
