"""The settings tree: small frozen groups, passed explicitly, each field with its own docstring.

The docstring under a field is its documentation: `docs/reference/settings.md` is generated from it.
A field's flag and environment variable, where it has them, stand beside it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kube_queue.api.names import (
    QUEUE_GROUP_PLUGIN_ENV,
    QUOTA_STATUS_OWNER_ENV,
    SCHEDULER_COMPONENT,
    SCHEDULER_NAMES,
    STRICT_CONSISTENCY_ENV,
    STRICT_PRIORITY_ENV,
)
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy


class Switchable:
    """Marks a field that a flag or an environment variable sets, by its exact name."""

    __slots__ = ("env", "flag")

    def __init__(self, flag: str = "", env: str = "") -> None:
        self.flag = flag
        self.env = env


class QuotaSystem(StrEnum):
    """Where quotas come from."""

    ELASTIC_QUOTA = "elasticquota"
    RESOURCE_QUOTA = "resourcequota"


class TreeValidation(StrEnum):
    """What happens with an ElasticQuotaTree that breaks a rule."""

    WARN = "warn"
    STRICT = "strict"


class ScoreStrategy(StrEnum):
    """Which nodes are the best by what is requested of them."""

    LEAST_ALLOCATED = "LeastAllocated"
    MOST_ALLOCATED = "MostAllocated"


class PodGroupStatusOwner(StrEnum):
    """Whose PodGroups get their status from the co-scheduler."""

    OURS = "ours"
    ALL = "all"


class QuotaStatusOwner(StrEnum):
    """Who writes the status of the ElasticQuotaTree."""

    AUTO = "auto"
    QUEUE = "queue"
    SCHEDULER = "scheduler"


class LogFormat(StrEnum):
    """How a log line is printed."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important line that is printed."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class SettingsGroup(BaseModel):
    """A frozen group that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class ControllerSettings(SettingsGroup):
    """The queue controller: quotas, queues and their decisions."""

    queue_group_plugin: Annotated[
        QuotaSystem, Switchable(flag="--queue-group-plugin", env=QUEUE_GROUP_PLUGIN_ENV)
    ] = QuotaSystem.ELASTIC_QUOTA
    """Where quotas come from: `elasticquota`, the ElasticQuotaTree; `resourcequota`, the
    ResourceQuotas of the job's namespace. Upper and lower case alike."""

    strict_priority: Annotated[
        bool, Switchable(flag="--strict-priority", env=STRICT_PRIORITY_ENV)
    ] = False
    """Queues without a policy of their own are blocking queues (policy Block)."""

    strict_consistency: Annotated[
        bool, Switchable(flag="--strict-consistency", env=STRICT_CONSISTENCY_ENV)
    ] = False
    """Queues without a policy of their own follow strict priority order (policy Priority).
    With `strict_priority` as well, Block wins: it already implies strict order."""

    oversell_rate: Annotated[float, Switchable(flag="--oversellrate")] = Field(default=1.0, ge=0)
    """Multiplies max, min and kube-queue/max-jobs of the quota tree; the result is rounded down.
    No effect on ResourceQuotas."""

    tree_validation: Annotated[TreeValidation, Switchable(flag="--tree-validation")] = (
        TreeValidation.WARN
    )
    """`warn`: a tree that breaks a rule is used and its violations are shown on it;
    `strict`: the last valid tree stays in use."""

    quota_status_owner: Annotated[
        QuotaStatusOwner, Switchable(flag="--quota-status-owner", env=QUOTA_STATUS_OWNER_ENV)
    ] = QuotaStatusOwner.AUTO
    """Who writes the status of the quota tree; give the queue controller and the co-scheduler the
    same. `auto`: the queue controller, and the co-scheduler only once the Lease of the former has
    been absent, or has run out, for 30 seconds; `queue`: never the co-scheduler; `scheduler`: never
    the queue controller."""

    reclaim_policy: Annotated[ReclaimPolicy, Switchable(flag="--reclaim-policy")] = (
        ReclaimPolicy.ANY
    )
    """Which units of quotas above their min a unit within its own min may evict: `Any` preemptible
    one, only those of `LowerPriority`, or `Never` one."""

    preemption_policy: Annotated[PreemptionPolicy, Switchable(flag="--preemption-policy")] = (
        PreemptionPolicy.NEVER
    )
    """Whether a unit may evict preemptible units of `LowerPriority` in its own quota."""

    count_unmanaged_pods: Annotated[bool, Switchable(flag="--count-unmanaged-pods")] = True
    """Live pods of a quota's namespaces that no unit with quota stands for count as used."""

    placement_check: Annotated[bool, Switchable(flag="--placement-check")] = False
    """A job is not released while the nodes have no room for all its pods at once, as the
    co-scheduler would place them. The answer is advice: it knows no volumes. Its quota is free for
    others meanwhile. Give it to the job side, too, which then writes into units where the pods of
    their jobs may be."""

    running_timeout_seconds: Annotated[float, Switchable(flag="--running-timeout")] = Field(
        default=0.0, ge=0
    )
    """A released job that does not run within this time goes back to its queue; 0: it may take as
    long as it wants."""

    backoff_base_seconds: float = Field(default=60.0, gt=0)
    """How long a unit whose job did not start, or whose admission check asked to try again, waits
    the first time; twice as long every further time."""

    backoff_max_seconds: float = Field(default=3600.0, gt=0)
    """The longest such wait."""

    reason_after_seconds: float = Field(default=2.0, ge=0)
    """A waiting unit's reason is written to its status once it has waited this long."""

    cycle_limit: int = Field(default=200, ge=1)
    """Units admitted in one turn of the loop before writes and Lease renewal get theirs."""

    @property
    def by_namespace(self) -> bool:
        """Whether the ResourceQuotas of a job's namespace are its quota."""
        return self.queue_group_plugin is QuotaSystem.RESOURCE_QUOTA

    @property
    def default_policy(self) -> Policy:
        """The policy of a Queue that names none."""
        if self.strict_priority:
            return Policy.BLOCK
        return Policy.PRIORITY if self.strict_consistency else Policy.ROUND


class JobSettings(SettingsGroup):
    """The job side: which kinds of jobs are queued."""

    enabled_extensions: Annotated[str, Switchable(flag="--enabled-extensions")] = "tfjob,pytorchjob"
    """Comma-separated names of the job types to queue. Upper and lower case alike."""

    queue_owned_by: Annotated[str, Switchable(flag="--queue-owned-by")] = ""
    """Comma-separated kinds, as `Kind` or `Kind.group`, whose suspended jobs are queued although
    they belong to an object of that kind. Without it only those of a CronJob are: other owners
    decide themselves when their jobs run. Jobs that an owner's own unit counts are not queued."""

    job_selector: Annotated[str, Switchable(flag="--job-selector")] = ""
    """Label selector, as for `kubectl -l`: suspended jobs it does not select are left alone."""

    namespace_selector: Annotated[str, Switchable(flag="--namespace-selector")] = ""
    """Label selector, as for `kubectl -l`: suspended jobs in namespaces it does not select are left
    alone, for example `kubernetes.io/metadata.name!=kube-system`."""

    workers: int = Field(default=16, ge=1, le=256)
    """Jobs reconciled at the same time."""


class SchedulerSettings(SettingsGroup):
    """The co-scheduler: which pods it places, and how it compares nodes."""

    names: Annotated[str, Switchable(flag="--scheduler-names")] = ",".join(SCHEDULER_NAMES)
    """Comma-separated values of `spec.schedulerName` whose pods are placed. All others are only
    counted on their nodes."""

    score_strategy: Annotated[ScoreStrategy, Switchable(flag="--score-strategy")] = (
        ScoreStrategy.LEAST_ALLOCATED
    )
    """Which nodes suit a pod best by what their pods request: `LeastAllocated`, the emptiest,
    which spreads pods; `MostAllocated`, the fullest, which leaves whole nodes free for large
    ones."""

    bind_seconds: float = Field(default=4.0, gt=0)
    """How long one request that binds a pod may take. One without an answer is sent again, to the
    same node, until the API server says whether the pod is bound."""

    reserve_after_seconds: Annotated[float, Switchable(flag="--reserve-after")] = Field(
        default=300.0, gt=0
    )
    """Once a gang or pod has found no room for so long, the nodes that will hold it soonest are
    kept for it: nothing new of equal or lower priority is placed there."""

    pod_group_status: Annotated[PodGroupStatusOwner, Switchable(flag="--pod-group-status")] = (
        PodGroupStatusOwner.OURS
    )
    """Which PodGroups' status is written: `ours`, those of scheduling.sigs.k8s.io that no
    controller owns, or that stand for gangs by labels; `all`, also those that a controller owns
    and those of scheduling.x-k8s.io, where nobody else writes them."""

    tell_after_seconds: float = Field(default=1.0, ge=0)
    """Why a pod finds no node is written to it once it has waited this long."""

    @property
    def scheduler_names(self) -> tuple[str, ...]:
        """The names, without blanks and repetitions."""
        names = (name.strip() for name in self.names.split(","))
        return tuple(dict.fromkeys(name for name in names if name))


class LeaderSettings(SettingsGroup):
    """Leader election: one process of a kind decides, the others stand by."""

    enabled: Annotated[bool, Switchable(flag="--leader-elect")] = True
    """Take part in leader election. Off: this process leads at once; run only one."""

    namespace: Annotated[str, Switchable(flag="--leader-elect-resource-namespace")] = Field(
        default="kube-queue", min_length=1
    )
    """Namespace of the Leases."""

    identity: Annotated[str, Switchable(flag="--leader-elect-identity")] = ""
    """Name of this process in the Lease; empty: host name and a random part.
    A process that restarts with the same identity resumes at once."""

    controller_lease: str = Field(default="kube-queue-controller", min_length=1)
    """Lease of the queue controller."""

    jobs_lease: str = Field(default="kube-queue-job-extensions", min_length=1)
    """Lease of the job side."""

    scheduler_lease: str = Field(default=SCHEDULER_COMPONENT, min_length=1)
    """Lease of the co-scheduler."""

    lease_seconds: Annotated[float, Switchable(flag="--leader-elect-lease-duration")] = Field(
        default=15.0, gt=0
    )
    """How long a silent leader keeps the Lease."""

    renew_seconds: Annotated[float, Switchable(flag="--leader-elect-renew-deadline")] = Field(
        default=10.0, gt=0
    )
    """A leader that could not renew for this long stops. Must be below `lease_seconds`."""

    retry_seconds: Annotated[float, Switchable(flag="--leader-elect-retry-period")] = Field(
        default=2.0, gt=0
    )
    """Pause between two tries to take or renew the Lease. Must be below `renew_seconds`."""


class WriteSettings(SettingsGroup):
    """The write budget towards the API server."""

    max_in_flight: int = Field(default=32, ge=1, le=1024)
    """Writes under way at the same time."""

    low_priority_rate: float = Field(default=50.0, gt=0)
    """Writes per second shared by waiting reasons, Queue and tree status, and Events."""

    status_rate: float = Field(default=10.0, gt=0)
    """Status writes per second of Queues and the quota tree together, most-changed first."""


class ClientSettings(SettingsGroup):
    """The connection to the API server."""

    qps: Annotated[float, Switchable(flag="--qps")] = Field(default=0.0, ge=0)
    """Requests per second this process allows itself; 0 = no limit of its own,
    API priority and fairness is the limiter."""

    burst: Annotated[int, Switchable(flag="--burst")] = Field(default=0, ge=0)
    """Requests allowed at once above `qps`; 0 = twice `qps`. Without `qps` it has no effect."""

    page_size: int = Field(default=500, ge=1, le=10_000)
    """Objects asked for in one page of a list."""


class ServingSettings(SettingsGroup):
    """Metrics, health and visibility over HTTP."""

    enabled: bool = True
    """Off: the process opens no port at all."""

    bind_address: Annotated[str, Switchable(flag="--bind-address")] = Field(
        default="127.0.0.1", min_length=1
    )
    """Address to listen on; 0.0.0.0 for every interface, as in a pod."""

    port: Annotated[int, Switchable(flag="--port")] = Field(default=10259, ge=0, le=65535)
    """Port of /metrics, /healthz, /readyz and /visibility; 0 = any free port."""


class LogSettings(SettingsGroup):
    """Log lines on standard error."""

    level: Annotated[LogLevel, Switchable(flag="--log-level")] = LogLevel.INFO
    """The least important line that is printed."""

    format: Annotated[LogFormat, Switchable(flag="--log-format")] = LogFormat.JSON
    """`json`: one object per line; `console`: for people."""


class Settings(SettingsGroup):
    """Everything that can be set, for every process."""

    controller: ControllerSettings = ControllerSettings()
    jobs: JobSettings = JobSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    leader: LeaderSettings = LeaderSettings()
    writes: WriteSettings = WriteSettings()
    client: ClientSettings = ClientSettings()
    serving: ServingSettings = ServingSettings()
    log: LogSettings = LogSettings()

    def warnings(self) -> tuple[str, ...]:
        """Sentences worth one line at start: legal settings that may not do what one expects."""
        found: list[str] = []
        if self.controller.strict_priority and self.controller.strict_consistency:
            found.append(
                "StrictPriority and StrictConsistency are both true: "
                "the default policy is Block, which already implies strict order."
            )
        if self.client.burst and not self.client.qps:
            found.append("--burst has no effect without --qps.")
        return tuple(found)

    def replaced(self, **groups: Any) -> Settings:
        """A copy in which whole groups, or single fields given as a mapping, are replaced."""
        tree = self.model_dump()
        for name, change in groups.items():
            if isinstance(change, BaseModel):
                tree[name] = change.model_dump()
            else:
                tree[name] = {**tree[name], **change}
        return Settings.model_validate(tree)
