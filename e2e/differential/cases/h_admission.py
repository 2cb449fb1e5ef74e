"""ResourceQuota, LimitRange and PriorityClass."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import TABLE, Case, case, delete, get, merge, post, put, subject
from e2e.differential.objects import (
    config_map,
    container,
    job,
    limit_range,
    pod,
    priority_class,
    quota,
    resources,
    secret,
    workload,
)


def sized(name: str, cpu: str = "", memory: str = "", limit: str = "", **spec: Any) -> Any:
    """A pod that asks for so much."""
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    return pod(name, container(**resources(requests, {"cpu": limit} if limit else None)), **spec)


def quoted(**hard: str) -> tuple[Any, ...]:
    """Two requests: the quota is there and counts; it allows 5 pods among others."""
    content = {name.replace("_", "."): amount for name, amount in hard.items()}
    return (
        post("resourcequotas", quota("q", hard=content)),
        get("resourcequotas/q", until="status.hard.pods=5"),
    )


QUOTAS = subject(
    "quota",
    case("counted", *quoted(pods="5", requests_cpu="2"), post("pods", sized("a", "500m")),
         get("resourcequotas/q", until="status.used.pods=1")),
    case("reached", *quoted(pods="5", requests_cpu="1"), post("pods", sized("a", "700m")),
         post("pods", sized("b", "700m")), post("pods", sized("c", "300m")),
         get("resourcequotas/q", until="status.used.pods=2")),
    case("without what it counts", *quoted(pods="5", requests_cpu="1"), post("pods", sized("a"))),
    case("without two things it counts", *quoted(pods="5", requests_cpu="1", limits_cpu="1"),
         post("pods", sized("a"))),
    case("of pods", post("resourcequotas", quota("q", hard={"pods": "1"})),
         get("resourcequotas/q", until="status.hard.pods=1"), post("pods", sized("a")),
         post("pods", sized("b"))),
    case("given back", *quoted(pods="5", requests_cpu="1"), post("pods", sized("a", "1")),
         post("pods", sized("b", "1")), delete("pods/a"),
         get("resourcequotas/q", until="status.used.pods=0"), post("pods", sized("b", "1"))),
    case("not for finished pods", *quoted(pods="5", requests_cpu="1"),
         post("pods", sized("a", "1")), merge("pods/a/status", {"status": {"phase": "Succeeded"}}),
         get("resourcequotas/q", until="status.used.pods=0"), post("pods", sized("b", "1"))),
    case("dry", *quoted(pods="5", requests_cpu="1"),
         post("pods?dryRun=All", sized("a", "700m")), post("pods?dryRun=All", sized("a", "2")),
         get("resourcequotas/q", only="status")),
    case("limits", *quoted(pods="5", limits_cpu="1"), post("pods", sized("a", "1", limit="2")),
         post("pods", sized("a", "1", limit="1")),
         get("resourcequotas/q", until="status.used.pods=1")),
    case("plain names of requests", *quoted(pods="5", cpu="1", memory="1Gi"),
         post("pods", sized("a", "600m", "512Mi")), post("pods", sized("b", "600m", "1Mi")),
         get("resourcequotas/q", until="status.used.pods=1")),
    case("extended resources", post("resourcequotas", quota("q", hard={
        "pods": "5", "requests.example.com/gpu": "1"})),
         get("resourcequotas/q", until="status.hard.pods=5"),
         post("pods", pod("a", container(**resources({"example.com/gpu": "1"},
                                                     {"example.com/gpu": "1"})))),
         post("pods", pod("b", container(**resources({"example.com/gpu": "1"},
                                                     {"example.com/gpu": "1"})))),
         get("resourcequotas/q", until="status.used.pods=1")),
    case("counts of objects", post("resourcequotas", quota("q", hard={
        "configmaps": "2", "count/secrets": "1", "count/jobs.batch": "1"})),
         get("resourcequotas/q", until="status.hard.configmaps=2", only="status.hard"),
         post("configmaps", config_map()), post("secrets", secret()), post("secrets", secret("b")),
         post("jobs", job(suspend=True)), post("jobs", job("b", suspend=True))),
    case("by a priority class", post("priorityclasses", priority_class("{ns}", 5)),
         post("resourcequotas", quota("q", hard={"pods": "1"}, scopeSelector={"matchExpressions": [
             {"scopeName": "PriorityClass", "operator": "In", "values": ["{ns}"]}]})),
         get("resourcequotas/q", until="status.hard.pods=1", only="status.hard"),
         post("pods", sized("free")), post("pods", sized("a", priorityClassName="{ns}")),
         post("pods", sized("b", priorityClassName="{ns}"))),
    case("by best effort", post("resourcequotas", quota("q", hard={"pods": "1"},
                                                        scopes=["BestEffort"])),
         get("resourcequotas/q", until="status.hard.pods=1", only="status.hard"),
         post("pods", sized("a")), post("pods", sized("b")), post("pods", sized("c", "1"))),
    case("two of them", *quoted(pods="5", requests_cpu="2"),
         post("resourcequotas", quota("r", hard={"pods": "2", "requests.cpu": "1"})),
         get("resourcequotas/r", until="status.hard.pods=2"),
         post("pods", sized("a", "1500m"))),
    case("lowered below its use", *quoted(pods="5", requests_cpu="2"),
         post("pods", sized("a", "2")),
         put("resourcequotas/q", quota("q", hard={"pods": "1", "requests.cpu": "1"})),
         get("resourcequotas/q", until="status.hard.pods=1"), post("pods", sized("b", "1"))),
    case("its status", post("resourcequotas", {
        **quota("q", hard={"pods": "5"}), "status": {"used": {"pods": "9"}}})),
    case("bad amounts", post("resourcequotas", quota("q", hard={"pods": "-1"})),
         post("resourcequotas", quota("q", hard={"pods": "x"})),
         post("resourcequotas", quota("q", hard={"pods": "1.5"}))),
    case("a bad resource", post("resourcequotas", quota("q", hard={"a b": "1"}))),
    case("a bad scope", post("resourcequotas", quota("q", hard={"pods": "1"}, scopes=["Odd"]))),
    case("a table", *quoted(pods="5", requests_cpu="2"), get("resourcequotas", accept=TABLE)),
)  # fmt: skip

DEFAULTS = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}
BOUNDS = {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}}


def _ranged(name: str, limit: Any, *pods: Any) -> Case:
    return case(
        name,
        post("limitranges", limit_range("l", limit)),
        *(post("pods", one) for one in pods),
    )


RANGES = subject(
    "limit range",
    _ranged("defaults", DEFAULTS, sized("a"), sized("b", "200m"), sized("c", "1", limit="2")),
    _ranged("bounds", BOUNDS, sized("a"), sized("b", "50m", limit="1"), sized("c", "1", limit="2"),
            sized("d", "200m", limit="1")),
    _ranged("defaults from bounds", {"type": "Container", "max": {"cpu": "2"}}, sized("a")),
    _ranged("a ratio", {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}},
            sized("a", "100m", limit="1"), sized("b", "500m", limit="1")),
    _ranged("a pod as a whole", {"type": "Pod", "max": {"cpu": "1"}},
            pod("a", container("x", **resources({"cpu": "600m"}, {"cpu": "600m"})),
                container("y", **resources({"cpu": "600m"}, {"cpu": "600m"})))),
    _ranged("a default over its maximum", {"type": "Container", "default": {"cpu": "2"},
                                           "max": {"cpu": "1"}}),
    _ranged("an unknown type", {"type": "Thing", "max": {"cpu": "1"}}),
    case("two of a type", post("limitranges", limit_range("l", DEFAULTS, BOUNDS))),
    case("defaults before quota", post("limitranges", limit_range("l", DEFAULTS)),
         *quoted(pods="5", requests_cpu="1"), post("pods", sized("a")),
         get("resourcequotas/q", until="status.used.pods=1")),
    case("a job's template is left alone", post("limitranges", limit_range("l", DEFAULTS)),
         post("jobs", job(suspend=True))),
)  # fmt: skip

PRIORITIES = subject(
    "priority",
    case("a class", post("priorityclasses", priority_class("{ns}", 100, description="d")),
         post("pods", pod(priorityClassName="{ns}"))),
    case("a class that never preempts", post("priorityclasses", priority_class(
        "{ns}", 100, preemptionPolicy="Never")), post("pods", pod(priorityClassName="{ns}")),
         post("pods", pod("b", priorityClassName="{ns}", preemptionPolicy="PreemptLowerPriority"))),
    case("a number that does not fit its class", post("priorityclasses", priority_class(
        "{ns}", 100)), post("pods", pod(priorityClassName="{ns}", priority=5)),
         post("pods", pod(priorityClassName="{ns}", priority=100))),
    case("too high", post("priorityclasses", priority_class("{ns}", 1_000_000_001))),
    case("a name of the system", post("priorityclasses", priority_class("system-{ns}", 1))),
    case("a bad policy", post("priorityclasses", priority_class(
        "{ns}", 1, preemptionPolicy="Sometimes"))),
    case("without a value", post("priorityclasses", {"metadata": {"name": "{ns}"}})),
    case("a value that changes", post("priorityclasses", priority_class("{ns}", 1)),
         merge("priorityclasses/{ns}", {"value": 2}),
         merge("priorityclasses/{ns}", {"preemptionPolicy": "Never"}),
         merge("priorityclasses/{ns}", {"description": "d"})),
    case("the system's own", get("priorityclasses/system-cluster-critical",
             only="value metadata.name"),
         delete("priorityclasses/absent")),
    case("deleted", post("priorityclasses", priority_class("{ns}", 1)),
         delete("priorityclasses/{ns}"), post("pods", pod(priorityClassName="{ns}"))),
    case("in a workload", post("deployments", workload("Deployment", pod={
        "priorityClassName": "absent"}))),
)  # fmt: skip

CASES = QUOTAS + RANGES + PRIORITIES
