"""Tables, as kubectl prints them."""

from typing import Any

import pytest

from kube_queue.apiserver import table
from kube_queue.apiserver.kinds import Column, Kind, KindRegistry
from kube_queue.apiserver.printers.durations import parse_time
from tests.apiserver_face.conftest import custom_kind

NOW = parse_time("2024-05-06T07:08:09Z") or 0.0


def an_object(
    name: str = "w", created: str = "2024-05-06T07:08:02Z", **rest: Any
) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created, "uid": "u"}, **rest}


def render(kind: Kind, *objects: dict[str, Any], **options: Any) -> dict[str, Any]:
    return table.render(kind, list(objects), list_meta={}, now=NOW, **options)


def row(kind: Kind, obj: dict[str, Any]) -> dict[str, Any]:
    """Column name -> cell."""
    rendered = render(kind, obj)
    names = [column["name"] for column in rendered["columnDefinitions"]]
    cells = rendered["rows"][0]["cells"]
    assert len(names) == len(cells)
    return dict(zip(names, cells, strict=True))


def cell(type_: str, value: Any) -> Any:
    kind = custom_kind(Column("X", type_, ".x"))
    return row(kind, an_object(x=value))["X"]


# ---------------------------------------------------------------------------- the envelope


def test_a_custom_kind_without_columns_shows_name_and_age() -> None:
    assert row(custom_kind(), an_object()) == {"Name": "w", "Age": "7s"}


def test_the_name_always_comes_first_and_a_wide_column_keeps_its_priority() -> None:
    kind = custom_kind(
        Column("State", "string", ".status.conditions[-1:].type"),
        Column("Wide", "string", ".spec.wide", priority=1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    )
    rendered = render(
        kind, an_object(status={"conditions": [{"type": "Created"}, {"type": "Queuing"}]})
    )
    columns = rendered["columnDefinitions"]
    assert [(column["name"], column["priority"]) for column in columns] == [
        ("Name", 0),
        ("State", 0),
        ("Wide", 1),
        ("Age", 0),
    ]
    assert columns[0]["format"] == "name"
    assert rendered["rows"][0]["cells"] == ["w", "Queuing", None, "7s"]


def test_a_row_carries_as_much_of_its_object_as_was_asked_for() -> None:
    obj = an_object(spec={"a": 1})
    carried = [
        render(custom_kind(), obj, include=include)["rows"][0]["object"]
        for include in ("None", "Metadata", "Object")
    ]
    assert carried[0] is None
    assert carried[1] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
    assert carried[2] == obj


def test_the_table_carries_where_a_list_goes_on() -> None:
    meta = {"resourceVersion": "7", "continue": "more", "remainingItemCount": 3, "other": "x"}
    rendered = table.render(custom_kind(), [], list_meta=meta, now=NOW)
    assert rendered["metadata"] == {
        "resourceVersion": "7",
        "continue": "more",
        "remainingItemCount": 3,
    }
    assert rendered["rows"] == []


def test_a_later_event_of_a_watch_has_no_column_definitions() -> None:
    assert render(custom_kind(), an_object(), headers=False)["columnDefinitions"] is None


@pytest.mark.parametrize(
    ("type_", "value", "shown"),
    [
        ("string", "text", "text"),
        ("string", 3, "3"),
        ("string", 1.5, "1.5"),
        ("string", 2.0, "2"),
        ("string", True, "true"),
        ("string", {"b": 1, "a": [2]}, '{"a":[2],"b":1}'),
        ("integer", 3, 3),
        ("integer", 3.9, 3),
        ("integer", True, None),
        ("integer", "3", None),
        ("number", 3, 3.0),
        ("number", "x", None),
        ("boolean", False, False),
        ("boolean", "false", None),
        ("date", "2024-05-06T07:07:09Z", "60s"),
        ("date", "soon", "<invalid>"),
        ("date", 5, None),
        ("integer", None, None),
    ],
)
def test_a_cell_is_of_its_columns_type_or_empty(type_: str, value: Any, shown: Any) -> None:
    result = cell(type_, value)
    assert result == shown
    assert type(result) is type(shown)


def test_a_column_whose_path_cannot_be_read_is_empty_and_can_be_told_beforehand() -> None:
    bad = Column("Bad", "string", ".spec[")
    assert row(custom_kind(bad), an_object())["Bad"] is None
    assert "column 'Bad'" in table.check_columns([bad])
    assert table.check_columns([Column("Good", "string", ".spec.x")]) == ""


def test_a_built_in_kind_without_a_printer_shows_when_it_was_created(
    registry: KindRegistry,
) -> None:
    crd = registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert crd is not None
    assert row(crd, an_object("c")) == {"Name": "c", "Created At": "2024-05-06T07:08:02Z"}


# ---------------------------------------------------------------------------- built-in kinds


@pytest.mark.parametrize(
    ("plural", "columns"),
    [
        (("", "pods"), "NAME READY STATUS RESTARTS AGE"),
        (("", "nodes"), "NAME STATUS ROLES AGE VERSION"),
        (("", "namespaces"), "NAME STATUS AGE"),
        (("", "events"), "LAST SEEN TYPE REASON OBJECT MESSAGE"),
        (("", "configmaps"), "NAME DATA AGE"),
        (("", "secrets"), "NAME TYPE DATA AGE"),
        (("", "serviceaccounts"), "NAME AGE"),
        (("", "services"), "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE"),
        (("", "resourcequotas"), "NAME REQUEST LIMIT AGE"),
        (("", "limitranges"), "NAME CREATED AT"),
        (("batch", "jobs"), "NAME STATUS COMPLETIONS DURATION AGE"),
        (("coordination.k8s.io", "leases"), "NAME HOLDER AGE"),
        (
            ("scheduling.k8s.io", "priorityclasses"),
            "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
        ),
        (("apiextensions.k8s.io", "customresourcedefinitions"), "NAME CREATED AT"),
    ],
)
def test_a_built_in_kind_shows_the_columns_of_kubernetes(
    registry: KindRegistry, plural: tuple[str, str], columns: str
) -> None:
    kind = registry.find(plural[0], "v1", plural[1])
    assert kind is not None
    rendered = render(kind, {"metadata": {"name": "bare"}})
    shown = [column["name"] for column in rendered["columnDefinitions"] if not column["priority"]]
    assert " ".join(shown).upper() == columns
    assert len(rendered["rows"][0]["cells"]) == len(rendered["columnDefinitions"])


@pytest.fixture
def show(registry: KindRegistry) -> Any:
    """Renders one object of a built-in kind: column name -> cell."""

    def shown(kind_name: str, obj: dict[str, Any]) -> dict[str, Any]:
        return row(next(kind for kind in registry if kind.kind == kind_name), obj)

    return shown


def test_a_namespace_shows_its_phase(show: Any) -> None:
    shown = show("Namespace", an_object("n", status={"phase": "Active"}))
    assert shown == {"Name": "n", "Status": "Active", "Age": "7s"}


def test_a_node_shows_readiness_roles_and_whether_it_may_be_scheduled_on(show: Any) -> None:
    node = an_object(
        "n1",
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "kubeletVersion": "v1.36.3",
                "kernelVersion": "6",
                "architecture": "arm64",
            },
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    )
    node["metadata"]["labels"] = {
        "node-role.kubernetes.io/worker": "",
        "kubernetes.io/role": "gpu",
    }
    shown = show("Node", node)
    assert shown["Status"] == "Ready,SchedulingDisabled"
    assert shown["Roles"] == "gpu,worker"
    assert shown["Version"] == "v1.36.3"
    assert (shown["Internal-IP"], shown["External-IP"]) == ("10.0.0.1", "<none>")
    assert (shown["OS-Image"], shown["Kernel-Version"]) == ("<unknown>", "6 (arm64)")
    assert show("Node", an_object())["Status"] == "Unknown"
    silent = an_object(status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    assert show("Node", silent)["Status"] == "NotReady"


def test_a_quota_shows_used_of_hard_with_limits_apart(show: Any) -> None:
    quota = an_object(
        "default",
        status={
            "hard": {"memory": "4Gi", "cpu": "4", "limits.cpu": "8"},
            "used": {"memory": "0", "cpu": "3"},
        },
    )
    shown = show("ResourceQuota", quota)
    assert shown["Request"] == "cpu: 3/4, memory: 0/4Gi"
    assert shown["Limit"] == "limits.cpu: 0/8"


@pytest.mark.parametrize(
    ("status", "spec", "state", "completions", "duration"),
    [
        ({}, {"completions": 3}, "Running", "0/3", ""),
        ({"succeeded": 1}, {}, "Running", "1/1", ""),
        ({}, {"parallelism": 4}, "Running", "0/1 of 4", ""),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, {}, "Suspended", "0/1", ""),
        ({"conditions": [{"type": "Suspended", "status": "False"}]}, {}, "Running", "0/1", ""),
        ({"startTime": "2024-05-06T07:08:04Z"}, {}, "Running", "0/1", "5s"),
        (
            {
                "conditions": [
                    {"type": "SuccessCriteriaMet", "status": "True"},
                    {"type": "Complete", "status": "True"},
                ],
                "succeeded": 1,
                "startTime": "2024-05-06T07:08:04Z",
                "completionTime": "2024-05-06T07:08:07Z",
            },
            {"completions": 1},
            "Complete",
            "1/1",
            "3s",
        ),
        ({"conditions": [{"type": "Failed", "status": "True"}]}, {}, "Failed", "0/1", ""),
    ],
)
def test_a_job_shows_its_state_completions_and_duration(
    show: Any, status: Any, spec: Any, state: str, completions: str, duration: str
) -> None:
    shown = show("Job", an_object(status=status, spec=spec))
    assert (shown["Status"], shown["Completions"], shown["Duration"]) == (
        state,
        completions,
        duration,
    )


def test_a_job_shows_its_containers_and_selector_when_wide(show: Any) -> None:
    containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]
    selector = {
        "matchLabels": {"job": "1"},
        "matchExpressions": [{"key": "zone", "operator": "In", "values": ["b", "a"]}],
    }
    shown = show(
        "Job",
        an_object(spec={"template": {"spec": {"containers": containers}}, "selector": selector}),
    )
    assert (shown["Containers"], shown["Images"]) == ("a,b", "x,y")
    assert shown["Selector"] == "job=1,zone in (a,b)"


def test_an_event_shows_what_it_is_about_and_how_often_it_was_seen(show: Any) -> None:
    event = an_object(
        "e.1",
        involvedObject={"kind": "TFJob", "name": "job1"},
        reason="Queuing",
        type="Normal",
        message="waits for cpu\n",
        count=4,
        firstTimestamp="2024-05-06T07:07:09Z",
        lastTimestamp="2024-05-06T07:08:04Z",
        source={"component": "kube-queue", "host": "h"},
    )
    shown = show("Event", event)
    assert shown["Object"] == "tfjob/job1"
    assert (shown["Last Seen"], shown["First Seen"], shown["Count"]) == ("5s", "60s", 4)
    assert shown["Message"] == "waits for cpu"
    assert shown["Source"] == "kube-queue, h"


def test_an_event_of_the_newer_form_shows_the_same(show: Any) -> None:
    event = an_object(
        "e.1",
        involvedObject={"kind": "Pod", "name": "p"},
        eventTime="2024-05-06T07:08:04.000000Z",
        reportingComponent="kube-queue",
        reportingInstance="kube-queue-0",
    )
    shown = show("Event", event)
    assert (shown["Last Seen"], shown["First Seen"], shown["Count"]) == ("5s", "5s", 1)
    assert shown["Source"] == "kube-queue, kube-queue-0"


def test_a_service_shows_its_addresses_and_ports(show: Any) -> None:
    spec = {
        "type": "NodePort",
        "clusterIPs": ["10.1.1.1"],
        "ports": [
            {"port": 80, "protocol": "TCP", "nodePort": 30080},
            {"port": 53, "protocol": "UDP"},
        ],
        "selector": {"b": "2", "a": "1"},
    }
    shown = show("Service", an_object(spec=spec))
    assert (shown["Cluster-IP"], shown["External-IP"]) == ("10.1.1.1", "<none>")
    assert shown["Port(s)"] == "80:30080/TCP,53/UDP"
    assert shown["Selector"] == "a=1,b=2"


def test_the_small_kinds_show_their_counts_and_values(show: Any) -> None:
    assert show("ConfigMap", an_object(data={"a": "1"}, binaryData={"b": ""}))["Data"] == 2
    assert show("Secret", an_object(type="Opaque", data={"a": "1"}))["Type"] == "Opaque"
    assert show("Lease", an_object(spec={"holderIdentity": "me"}))["Holder"] == "me"
    shown = show("PriorityClass", an_object(value=-5, preemptionPolicy="Never"))
    assert (shown["Value"], shown["Global-Default"]) == (-5, False)
    assert shown["PreemptionPolicy"] == "Never"
