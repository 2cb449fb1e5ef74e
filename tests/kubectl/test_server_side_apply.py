"""kubectl apply --server-side: what it prints, who owns what, and how it follows kubectl apply."""

import json
from typing import Any

from tests.kubectl.conftest import Kubectl
from tests.kubectl.objects import a_config_map, a_widget

SERVER_SIDE = ("--server-side",)
FORCED = (*SERVER_SIDE, "--force-conflicts")


def _managers(kubectl: Kubectl, *what: str) -> set[tuple[str, str]]:
    told = kubectl("get", *what, "-o", "json", "--show-managed-fields").out
    return {(e["manager"], e["operation"]) for e in json.loads(told)["metadata"]["managedFields"]}


def _data(kubectl: Kubectl) -> Any:
    return kubectl.json("configmap", "c")["data"]


def test_it_creates_changes_and_removes_its_own_fields(kubectl: Kubectl) -> None:
    told = kubectl.apply(a_config_map(a="1", b="2"), more=SERVER_SIDE)
    assert told.lines == ["configmap/c serverside-applied"]
    kubectl.apply(a_config_map(b="3"), more=SERVER_SIDE)
    assert _data(kubectl) == {"b": "3"}
    assert _managers(kubectl, "configmap", "c") == {("kubectl", "Apply")}
    assert "managedFields" not in kubectl.json("configmap", "c")["metadata"]


def test_a_conflict_is_explained_and_force_ends_it(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"), more=(*SERVER_SIDE, "--field-manager=team"))
    refused = kubectl.apply(a_config_map(a="2"), more=SERVER_SIDE, fails=True)
    first = 'error: Apply failed with 1 conflict: conflict with "team": .data.a'
    assert refused.err.splitlines()[0] == first
    assert "--force-conflicts" in refused.err
    assert _data(kubectl) == {"a": "1"}
    told = kubectl.apply(a_config_map(a="2"), more=FORCED)
    assert told.lines == ["configmap/c serverside-applied"]
    assert _data(kubectl) == {"a": "2"}
    assert _managers(kubectl, "configmap", "c") == {("kubectl", "Apply")}


def test_two_managers_own_a_value_together(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"), more=(*SERVER_SIDE, "--field-manager=team"))
    kubectl.apply(a_config_map(a="1"), more=SERVER_SIDE)
    kubectl.apply(a_config_map(b="2"), more=(*SERVER_SIDE, "--field-manager=team"))
    assert _data(kubectl) == {"a": "1", "b": "2"}


def test_it_takes_over_from_a_plain_apply(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1", b="2"))
    told = kubectl.apply(a_config_map(a="3"), more=SERVER_SIDE)
    assert told.lines == ["configmap/c serverside-applied"]
    # What the plain apply owned is now owned by the applier, so that leaving it out removes it.
    kubectl.apply(a_config_map(a="3"), more=SERVER_SIDE)
    assert _data(kubectl) == {"a": "3"}
    assert kubectl.apply(a_config_map(a="4")).lines == ["configmap/c configured"]


def test_it_merges_custom_objects(kubectl: Kubectl) -> None:
    kubectl.apply(a_widget(colour="red"), more=SERVER_SIDE)
    kubectl.apply(a_widget(parts=["a"]), more=SERVER_SIDE)
    assert kubectl.json("widget", "w")["spec"] == {"size": 3, "colour": "grey", "parts": ["a"]}
    unknown = kubectl.apply(a_widget(sice=1), more=SERVER_SIDE, fails=True)
    assert ".spec.sice: field not declared in schema" in unknown.err


def test_diff_and_dry_run_show_what_it_would_do(kubectl: Kubectl) -> None:
    kubectl.apply(a_config_map(a="1"), more=SERVER_SIDE)
    wanted = json.dumps(a_config_map(a="2"))
    told = kubectl("diff", "--server-side", "-f", "-", text=wanted, fails=True)
    assert told.code == 1
    assert [line for line in told.lines if line[:3] in ("-  ", "+  ")][:2] == [
        '-  a: "1"',
        '+  a: "2"',
    ]
    told = kubectl.apply(a_config_map(a="2"), more=(*SERVER_SIDE, "--dry-run=server"))
    assert told.lines == ["configmap/c serverside-applied (server dry run)"]
    assert _data(kubectl) == {"a": "1"}
