"""Every metric by name: what it counts, its labels, its unit.

`docs/reference/metrics.md` is generated from this list; nothing outside it is exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Form = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's exported name ends in `_total`; `buckets` are upper bounds."""

    name: str
    form: Form
    labels: tuple[str, ...]
    doc: str
    buckets: tuple[float, ...] = ()


_WAITS: Final = (
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
    *(1800, 3600, 10_800, 43_200, 86_400, 259_200),
)
_MOMENTS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
_LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

PENDING_UNITS: Final = Metric(
    "kube_queue_pending_units", "gauge", ("queue",), "Units that wait in a queue."
)
RESERVED_UNITS: Final = Metric(
    "kube_queue_reserved_units",
    "gauge",
    ("queue",),
    "Units whose quota is set aside and that are not released yet.",
)
ADMITTED_UNITS: Final = Metric(
    "kube_queue_admitted_units", "gauge", ("queue",), "Units that were released and hold quota."
)
WAIT_SECONDS: Final = Metric(
    "kube_queue_admission_wait_seconds",
    "histogram",
    ("queue", "kind"),
    "Time from a job's submission to the admission of its unit, by queue and kind of job.",
    _WAITS,
)
E2E_SECONDS: Final = Metric(
    "kube_queue_e2e_seconds",
    "histogram",
    ("queue", "kind"),
    "Time from a job's submission to its end, by queue and kind of job.",
    _WAITS,
)
ATTEMPTS: Final = Metric(
    "kube_queue_admission_attempts_total",
    "counter",
    ("result",),
    "Tries to admit a unit: `admitted` (written), `reserved` (its checks are asked), "
    "`requeued` (it does not fit), `held` (the nodes have no room for its pods), "
    "`conflict` (the unit changed meanwhile), `failed` (the write failed).",
)
QUOTA_USED: Final = Metric(
    "kube_queue_quota_used",
    "gauge",
    ("quota", "resource"),
    "Quota held by the units in a node of the tree, or in a ResourceQuota (`namespace/name`). "
    "Units of measure: cores for cpu, else the resource's own.",
)
QUOTA_MIN: Final = Metric(
    "kube_queue_quota_min",
    "gauge",
    ("quota", "resource"),
    "The min of a node of the tree, times the oversell rate.",
)
QUOTA_MAX: Final = Metric(
    "kube_queue_quota_max",
    "gauge",
    ("quota", "resource"),
    "The max of a node of the tree, times the oversell rate; the hard of a ResourceQuota.",
)
QUOTA_REQUEST: Final = Metric(
    "kube_queue_quota_request",
    "gauge",
    ("quota", "resource"),
    "What the units in a node of the tree or a ResourceQuota hold and wait for together.",
)
EVICTIONS: Final = Metric(
    "kube_queue_evictions_total",
    "counter",
    ("reason",),
    "Units that held quota and were told to give it back, and pods that the co-scheduler evicted, "
    "by reason.",
)
CYCLE_SECONDS: Final = Metric(
    "kube_queue_cycle_seconds",
    "histogram",
    (),
    "Time one admission cycle took; of the co-scheduler, one turn of its loop.",
    _MOMENTS,
)
SCHEDULING_ATTEMPTS: Final = Metric(
    "kube_queue_scheduling_attempts_total",
    "counter",
    ("result",),
    "Pods the co-scheduler decided about: `scheduled` (a node was chosen), `unschedulable` (no "
    "node takes it now), `preempting` (others are told to leave for it), `failed` (its binding "
    "was refused).",
)
BINDING_SECONDS: Final = Metric(
    "kube_queue_binding_seconds",
    "histogram",
    (),
    "Time from the choice of a node until the API server's answer that the pod is bound there.",
    _LAGS,
)
WAITING_SCHEDULING_UNITS: Final = Metric(
    "kube_queue_waiting_scheduling_units",
    "gauge",
    (),
    "Gangs, and pods by themselves, that the co-scheduler has found no place for yet.",
)
API_REQUESTS: Final = Metric(
    "kube_queue_api_requests_total",
    "counter",
    ("verb",),
    "Requests sent to the API server, by verb.",
)
API_WRITES: Final = Metric(
    "kube_queue_api_writes_total",
    "counter",
    ("lane", "result"),
    "Writes by lane of the write budget: `sent`, `failed`, or `superseded` by a newer one "
    "before it was sent.",
)
EVENTS_DROPPED: Final = Metric(
    "kube_queue_events_dropped_total", "counter", (), "Events that the write budget left out."
)
INFORMER_LAG: Final = Metric(
    "kube_queue_informer_lag_seconds",
    "histogram",
    (),
    "Time from the API server's answer to an admission until the same change came by watch.",
    _LAGS,
)
INFORMER_OBJECTS: Final = Metric(
    "kube_queue_informer_objects",
    "gauge",
    ("resource",),
    "Objects known to the watches of this process.",
)
LEADER: Final = Metric(
    "kube_queue_leader", "gauge", (), "1 in the process that decides, 0 in one that stands by."
)

METRICS: Final[tuple[Metric, ...]] = (
    PENDING_UNITS,
    RESERVED_UNITS,
    ADMITTED_UNITS,
    WAIT_SECONDS,
    E2E_SECONDS,
    ATTEMPTS,
    QUOTA_USED,
    QUOTA_MIN,
    QUOTA_MAX,
    QUOTA_REQUEST,
    EVICTIONS,
    CYCLE_SECONDS,
    SCHEDULING_ATTEMPTS,
    BINDING_SECONDS,
    WAITING_SCHEDULING_UNITS,
    API_REQUESTS,
    API_WRITES,
    EVENTS_DROPPED,
    INFORMER_LAG,
    INFORMER_OBJECTS,
    LEADER,
)
