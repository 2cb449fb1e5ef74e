"""The verbs a cluster runs: `controller`, `job-extensions`, `scheduler`; one option a setting."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from kube_queue.cli.errors import run

if TYPE_CHECKING:
    from kube_queue.config import Settings

Text = str | None
QueueGroupPlugin = Annotated[
    Text,
    typer.Option(
        "--queue-group-plugin", help="elasticquota or resourcequota [env QueueGroupPlugin]"
    ),
]
StrictPriority = Annotated[
    bool | None,
    typer.Option("--strict-priority", help="Blocking queues [env StrictPriority]"),
]
StrictConsistency = Annotated[
    bool | None,
    typer.Option("--strict-consistency", help="Strict priority order [env StrictConsistency]"),
]
OversellRate = Annotated[
    Text, typer.Option("--oversellrate", help="Multiplies max, min and max-jobs of the tree.")
]
TreeValidation = Annotated[Text, typer.Option("--tree-validation", help="warn or strict")]
QuotaStatusOwner = Annotated[
    Text,
    typer.Option("--quota-status-owner", help="auto, queue or scheduler [env QuotaStatusOwner]"),
]
ReclaimPolicy = Annotated[
    Text, typer.Option("--reclaim-policy", help="Any, LowerPriority or Never")
]
PreemptionPolicy = Annotated[
    Text, typer.Option("--preemption-policy", help="Never or LowerPriority")
]
CountUnmanagedPods = Annotated[
    bool | None,
    typer.Option(
        "--count-unmanaged-pods/--no-count-unmanaged-pods", help="Count pods outside the queue."
    ),
]
PlacementCheck = Annotated[
    bool | None,
    typer.Option(
        "--placement-check/--no-placement-check", help="Release a job only if nodes have room."
    ),
]
RunningTimeout = Annotated[
    Text, typer.Option("--running-timeout", help="Seconds a released job may take to run.")
]
EnabledExtensions = Annotated[
    Text, typer.Option("--enabled-extensions", help="Job types to queue, e.g. tfjob,job")
]
QueueOwnedBy = Annotated[
    Text, typer.Option("--queue-owned-by", help="Kinds whose suspended jobs are queued as well.")
]
JobSelector = Annotated[
    Text, typer.Option("--job-selector", help="Queue only jobs with these labels, as kubectl -l.")
]
NamespaceSelector = Annotated[
    Text, typer.Option("--namespace-selector", help="Queue only in namespaces with these labels.")
]
SchedulerNames = Annotated[
    Text, typer.Option("--scheduler-names", help="Values of spec.schedulerName to place pods of.")
]
ScoreStrategy = Annotated[
    Text, typer.Option("--score-strategy", help="LeastAllocated or MostAllocated")
]
PodGroupStatus = Annotated[
    Text, typer.Option("--pod-group-status", help="Status of PodGroups to write: ours or all")
]
ReserveAfter = Annotated[
    Text,
    typer.Option("--reserve-after", help="Seconds a gang finds no room before nodes are kept."),
]
LeaderElect = Annotated[
    bool | None,
    typer.Option("--leader-elect/--no-leader-elect", help="Elect one leader by a Lease."),
]
LeaseNamespace = Annotated[
    Text, typer.Option("--leader-elect-resource-namespace", help="Namespace of the Lease.")
]
LeaseIdentity = Annotated[
    Text, typer.Option("--leader-elect-identity", help="Name of this process in the Lease.")
]
LeaseDuration = Annotated[Text, typer.Option("--leader-elect-lease-duration", help="Seconds.")]
RenewDeadline = Annotated[Text, typer.Option("--leader-elect-renew-deadline", help="Seconds.")]
RetryPeriod = Annotated[Text, typer.Option("--leader-elect-retry-period", help="Seconds.")]
Qps = Annotated[Text, typer.Option("--qps", help="Requests per second; 0: no limit.")]
Burst = Annotated[Text, typer.Option("--burst", help="Requests at once above --qps.")]
BindAddress = Annotated[Text, typer.Option("--bind-address", help="Address of metrics.")]
Port = Annotated[Text, typer.Option("--port", help="Port of metrics; 0: any free one.")]
LogLevel = Annotated[Text, typer.Option("--log-level", help="debug, info, warning or error")]
LogFormat = Annotated[Text, typer.Option("--log-format", help="json or console")]
Config = Annotated[Text, typer.Option("--config", help="Settings file (YAML).")]
Kubeconfig = Annotated[Text, typer.Option("--kubeconfig", help="Default: KUBECONFIG, in-cluster.")]
Context = Annotated[Text, typer.Option("--context", help="Context of the kubeconfig.")]
Child = Annotated[bool, typer.Option("--child", hidden=True)]
NOT_SETTINGS = {"config", "kubeconfig", "context", "child", "with_job_extensions"}


def register(app: typer.Typer) -> None:
    """The app has the verbs `controller`, `job-extensions` and `scheduler`."""
    app.command(name="controller", short_help="Run the queue controller.")(controller)
    app.command(name="job-extensions", short_help="Run the job side.")(job_extensions)
    app.command(name="scheduler", short_help="Run the co-scheduler.")(scheduler)


def controller(
    config: Config = None,
    queue_group_plugin: QueueGroupPlugin = None,
    strict_priority: StrictPriority = None,
    strict_consistency: StrictConsistency = None,
    oversellrate: OversellRate = None,
    tree_validation: TreeValidation = None,
    quota_status_owner: QuotaStatusOwner = None,
    reclaim_policy: ReclaimPolicy = None,
    preemption_policy: PreemptionPolicy = None,
    count_unmanaged_pods: CountUnmanagedPods = None,
    placement_check: PlacementCheck = None,
    running_timeout: RunningTimeout = None,
    with_job_extensions: Annotated[
        bool, typer.Option("--with-job-extensions", help="Run the job side in this process too.")
    ] = False,
    enabled_extensions: EnabledExtensions = None,
    queue_owned_by: QueueOwnedBy = None,
    job_selector: JobSelector = None,
    namespace_selector: NamespaceSelector = None,
    leader_elect: LeaderElect = None,
    leader_elect_resource_namespace: LeaseNamespace = None,
    leader_elect_identity: LeaseIdentity = None,
    leader_elect_lease_duration: LeaseDuration = None,
    leader_elect_renew_deadline: RenewDeadline = None,
    leader_elect_retry_period: RetryPeriod = None,
    qps: Qps = None,
    burst: Burst = None,
    bind_address: BindAddress = None,
    port: Port = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    child: Child = False,
) -> None:
    """Run the queue controller: quotas, queues, and who runs next."""
    flags = dict(locals())

    def verb() -> None:
        from kube_queue.app.processes import controller_process

        settings = _settings(flags)
        controller_process(
            settings, kubeconfig, context, with_jobs=with_job_extensions, child=child
        )

    raise typer.Exit(run(verb))


def job_extensions(
    config: Config = None,
    queue_group_plugin: QueueGroupPlugin = None,
    enabled_extensions: EnabledExtensions = None,
    queue_owned_by: QueueOwnedBy = None,
    job_selector: JobSelector = None,
    namespace_selector: NamespaceSelector = None,
    leader_elect: LeaderElect = None,
    leader_elect_resource_namespace: LeaseNamespace = None,
    leader_elect_identity: LeaseIdentity = None,
    leader_elect_lease_duration: LeaseDuration = None,
    leader_elect_renew_deadline: RenewDeadline = None,
    leader_elect_retry_period: RetryPeriod = None,
    qps: Qps = None,
    burst: Burst = None,
    bind_address: BindAddress = None,
    port: Port = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    child: Child = False,
) -> None:
    """Run the job side: turn suspended jobs into units, release them, follow them to their end."""
    flags = dict(locals())

    def verb() -> None:
        from kube_queue.app.processes import job_extensions_process

        job_extensions_process(_settings(flags), kubeconfig, context, child=child)

    raise typer.Exit(run(verb))


def scheduler(
    config: Config = None,
    scheduler_names: SchedulerNames = None,
    score_strategy: ScoreStrategy = None,
    reserve_after: ReserveAfter = None,
    pod_group_status: PodGroupStatus = None,
    oversellrate: OversellRate = None,
    tree_validation: TreeValidation = None,
    quota_status_owner: QuotaStatusOwner = None,
    leader_elect: LeaderElect = None,
    leader_elect_resource_namespace: LeaseNamespace = None,
    leader_elect_identity: LeaseIdentity = None,
    leader_elect_lease_duration: LeaseDuration = None,
    leader_elect_renew_deadline: RenewDeadline = None,
    leader_elect_retry_period: RetryPeriod = None,
    qps: Qps = None,
    burst: Burst = None,
    bind_address: BindAddress = None,
    port: Port = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    child: Child = False,
) -> None:
    """Run the co-scheduler: pods that name it get their nodes, whole gangs at a time."""
    flags = dict(locals())

    def verb() -> None:
        from kube_queue.app.processes import scheduler_process

        scheduler_process(_settings(flags), kubeconfig, context, child=child)

    raise typer.Exit(run(verb))


def _settings(parameters: dict[str, object]) -> Settings:
    from kube_queue.config import load_settings

    config = parameters["config"]
    flags = {
        f"--{name.replace('_', '-')}": value
        for name, value in parameters.items()
        if name not in NOT_SETTINGS and value is not None
    }
    return load_settings(None if config is None else str(config), os.environ, flags)
