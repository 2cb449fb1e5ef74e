"""What kubectl prints when the server says no."""

import json

import pytest

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_pod, a_widget


def test_an_unknown_kind_is_named(kubectl: Kubectl) -> None:
    refused = kubectl("get", "gizmos", fails=True)
    assert refused.err == 'error: the server doesn\'t have a resource type "gizmos"\n'
    thing = {"apiVersion": "nowhere.io/v1", "kind": "Gizmo", "metadata": {"name": "g"}}
    assert (
        'no matches for kind "Gizmo" in version "nowhere.io/v1"'
        in kubectl.apply(thing, fails=True).err
    )


def test_an_unknown_field_is_refused_with_its_path(kubectl: Kubectl) -> None:
    pod = a_pod()
    pod["spec"]["containers"][0]["imagee"] = "x"
    assert 'unknown field "spec.containers[0].imagee"' in kubectl.create(pod, fails=True).err
    widget = a_widget(sice=4)
    assert 'unknown field "spec.sice"' in kubectl.create(widget, fails=True).err
    assert 'unknown field "spec.sice"' in kubectl.apply(widget, fails=True).err


def test_an_unknown_field_is_only_warned_about_when_asked(kubectl: Kubectl) -> None:
    created = kubectl.create(a_widget(sice=4), more=("--validate=warn",))
    assert created.lines == ["widget.example.com/w created"]
    assert 'Warning: unknown field "spec.sice"' in created.err
    assert "sice" not in kubectl.json("wd", "w")["spec"]


def test_a_field_of_the_wrong_type_is_refused_with_its_path(kubectl: Kubectl) -> None:
    refused = kubectl.create(a_widget(colour=5), fails=True)
    assert "spec.colour" in refused.err
    pod = a_pod()
    pod["spec"]["containers"][0]["command"] = "sleep"
    assert "command" in kubectl.create(pod, fails=True).err


def test_a_value_out_of_bounds_is_refused_with_its_path(kubectl: Kubectl) -> None:
    refused = kubectl.create(a_widget(size=0), fails=True)
    assert 'The Widget "w" is invalid: spec.size: Invalid value: 0' in refused.err
    missing = a_widget()
    del missing["spec"]["size"]
    assert "spec.size: Required value" in kubectl.create(missing, fails=True).err


def test_a_name_that_is_none_is_refused(kubectl: Kubectl) -> None:
    refused = kubectl.create(a_config_map("Not_A_Name"), fails=True)
    assert "metadata.name: Invalid value" in refused.err


def test_an_old_resource_version_is_a_conflict(kubectl: Kubectl) -> None:
    kubectl.create(a_widget())
    old = kubectl.json("wd", "w")
    kubectl("label", "wd", "w", "a=1")
    refused = kubectl("replace", "-f", "-", text=json.dumps(old), fails=True)
    assert "the object has been modified" in refused.err


def test_a_namespace_that_is_not_there_is_named(kubectl: Kubectl) -> None:
    refused = kubectl("create", "configmap", "c", "--namespace=nowhere", fails=True)
    assert 'namespaces "nowhere" not found' in refused.err


def test_an_object_that_is_not_there_is_named(kubectl: Kubectl) -> None:
    refused = kubectl("get", "wd", "none", fails=True)
    assert refused.err == 'Error from server (NotFound): widgets.example.com "none" not found\n'


def test_exec_is_not_served_and_refused(kubectl: Kubectl) -> None:
    kubectl.apply(a_pod())
    assert kubectl("exec", "p", "--", "true", fails=True).err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("create", "role", "r", "--verb=get", "--resource=pods"), "rbac.authorization.k8s.io/v1"),
        (("create", "rolebinding", "r", "--role=r", "--user=u"), "rbac.authorization.k8s.io/v1"),
        (("create", "token", "default"), "serviceaccounts/token is not served"),
        (("get", "--raw", "/metrics"), "nothing is served at /metrics"),
        (("get", "hpa"), 'the server doesn\'t have a resource type "hpa"'),
        (("top", "pods"), "Metrics API not available"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_what_is_not_served_is_named(kubectl: Kubectl, command: tuple[str, ...], told: str) -> None:
    assert told in kubectl(*command, fails=True).err


@pytest.mark.parametrize(
    ("command", "subresource"),
    [
        (("port-forward", "p", ":80"), "pods/portforward"),
        (("cp", "/etc/hostname", "p:/tmp/x"), "pods/exec"),
        (("debug", "p", "--image=busybox", "--target=main"), "pods/ephemeralcontainers"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_needs_a_running_program_is_named(
    kubectl: Kubectl, command: tuple[str, ...], subresource: str
) -> None:
    kubectl.apply(a_pod())
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/p"
    pod = kubectl.server.ask("GET", path)
    pod["status"]["phase"] = "Running"
    kubectl.server.ask("PUT", f"{path}/status", pod)
    refused = kubectl(*command, fails=True)
    assert f"{subresource} is not served: the pods of this server run no programs" in refused.err


def test_a_wrong_token_is_refused(kubectl: Kubectl) -> None:
    refused = kubectl("get", "pods", "--token=wrong", fails=True)
    assert "You must be logged in to the server" in refused.err
