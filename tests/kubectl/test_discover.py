"""What kubectl learns about the server."""

import json
import re

from tests.kubectl.conftest import Kubectl


def test_version_tells_the_servers_version(kubectl: Kubectl) -> None:
    told = json.loads(kubectl("version", "-o", "json").out)["serverVersion"]
    assert (told["major"], told["minor"]) == ("1", "36")
    assert "v1.36." in kubectl("version").out


def test_api_resources_list_built_in_and_custom_kinds(kubectl: Kubectl) -> None:
    rows = {row["NAME"]: row for row in kubectl("api-resources").table()}
    assert rows["pods"] == {
        "NAME": "pods",
        "SHORTNAMES": "po",
        "APIVERSION": "v1",
        "NAMESPACED": "true",
        "KIND": "Pod",
    }
    assert rows["widgets"] == {
        "NAME": "widgets",
        "SHORTNAMES": "wd",
        "APIVERSION": "example.com/v1",
        "NAMESPACED": "true",
        "KIND": "Widget",
    }
    assert rows["nodes"]["NAMESPACED"] == "false"
    assert (
        "widgets.example.com"
        in kubectl("api-resources", "--api-group=example.com", "-o", "name").lines
    )


def test_api_versions_list_every_group_version(kubectl: Kubectl) -> None:
    listed = kubectl("api-versions").lines
    assert {"v1", "batch/v1", "coordination.k8s.io/v1", "example.com/v1"} <= set(listed)


def test_short_names_and_singular_names_are_understood(kubectl: Kubectl) -> None:
    for name in ("po", "pod", "pods", "ns", "no", "quota", "cm", "svc", "wd", "widget", "crd"):
        kubectl("get", name)


def test_explain_tells_the_fields_of_a_custom_kind(kubectl: Kubectl) -> None:
    told = kubectl("explain", "widget.spec").out
    assert "GROUP:      example.com" in told
    assert "What the widget should be." in told
    assert "size\t<integer> -required-" in told
    assert "How big it should be." in told


def test_explain_tells_the_fields_of_a_built_in_kind(kubectl: Kubectl) -> None:
    told = kubectl("explain", "job.spec").out
    assert "suspend\t<boolean>" in told
    assert "template\t<PodTemplateSpec> -required-" in told
    assert "containers\t<[]Container>" in kubectl("explain", "pod.spec", "--recursive").out


def test_auth_can_i_answers(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods").lines == ["yes"]


def test_cluster_info_tells_where_the_server_is(kubectl: Kubectl) -> None:
    kubectl.environment["TERM"] = "dumb"
    told = re.sub("\x1b\\[[0-9;]*m", "", kubectl("cluster-info").out)
    assert told.splitlines() == [
        f"Kubernetes control plane is running at {kubectl.server.tls_url}",
        "",
        "To further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.",
    ]


def test_raw_paths_answer(kubectl: Kubectl) -> None:
    assert kubectl("get", "--raw", "/readyz").out == "ok"
    told = kubectl("get", "--raw", "/livez?verbose")
    assert told.lines == ["[+]ping ok", "livez check passed"]
    assert json.loads(kubectl("get", "--raw", "/api").out)["versions"] == ["v1"]
