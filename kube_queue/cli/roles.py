"""The verbs a cluster runs: `controller`, `job-extensions`, `scheduler`; one option a setting."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

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
WithJobExtensions = Annotated[
    bool, typer.Option("--with-job-extensions", help="Run the job side in this process too.")
]
NOT_SETTINGS = {"config", "kubeconfig", "context", "child", "with_job_extensions"}
OFF_UNLESS_GIVEN = {"child", "with_job_extensions"}

Options = Mapping[str, Any]
"""By the name of the parameter, in the order in which --help shows them."""
Flags = Mapping[str, Any]
"""What was given by the name of the parameter; None where nothing was."""
_JOBS: Final[Options] = {
    "enabled_extensions": EnabledExtensions,
    "queue_owned_by": QueueOwnedBy,
    "job_selector": JobSelector,
    "namespace_selector": NamespaceSelector,
}
_EVERY_PROCESS: Final[Options] = {
    "leader_elect": LeaderElect,
    "leader_elect_resource_namespace": LeaseNamespace,
    "leader_elect_identity": LeaseIdentity,
    "leader_elect_lease_duration": LeaseDuration,
    "leader_elect_renew_deadline": RenewDeadline,
    "leader_elect_retry_period": RetryPeriod,
    "qps": Qps,
    "burst": Burst,
    "bind_address": BindAddress,
    "port": Port,
    "log_level": LogLevel,
    "log_format": LogFormat,
    "kubeconfig": Kubeconfig,
    "context": Context,
    "child": Child,
}
_CONTROLLER: Final[Options] = {
    "config": Config,
    "queue_group_plugin": QueueGroupPlugin,
    "strict_priority": StrictPriority,
    "strict_consistency": StrictConsistency,
    "oversellrate": OversellRate,
    "tree_validation": TreeValidation,
    "quota_status_owner": QuotaStatusOwner,
    "reclaim_policy": ReclaimPolicy,
    "preemption_policy": PreemptionPolicy,
    "count_unmanaged_pods": CountUnmanagedPods,
    "placement_check": PlacementCheck,
    "running_timeout": RunningTimeout,
    "with_job_extensions": WithJobExtensions,
    **_JOBS,
    **_EVERY_PROCESS,
}
_JOB_EXTENSIONS: Final[Options] = {
    "config": Config,
    "queue_group_plugin": QueueGroupPlugin,
    "placement_check": PlacementCheck,
    **_JOBS,
    **_EVERY_PROCESS,
}
_SCHEDULER: Final[Options] = {
    "config": Config,
    "scheduler_names": SchedulerNames,
    "score_strategy": ScoreStrategy,
    "reserve_after": ReserveAfter,
    "pod_group_status": PodGroupStatus,
    "oversellrate": OversellRate,
    "tree_validation": TreeValidation,
    "quota_status_owner": QuotaStatusOwner,
    **_EVERY_PROCESS,
}


def register(app: typer.Typer) -> None:
    """The app has the verbs `controller`, `job-extensions` and `scheduler`."""
    verb = _verb(_CONTROLLER, controller)
    app.command(name="controller", short_help="Run the queue controller.")(verb)
    verb = _verb(_JOB_EXTENSIONS, job_extensions)
    app.command(name="job-extensions", short_help="Run the job side.")(verb)
    verb = _verb(_SCHEDULER, scheduler)
    app.command(name="scheduler", short_help="Run the co-scheduler.")(verb)


def controller(flags: Flags) -> None:
    """Run the queue controller: quotas, queues, and who runs next."""
    settings = _settings(flags)
    from kube_queue.app.processes import controller_process

    controller_process(
        settings,
        flags["kubeconfig"],
        flags["context"],
        with_jobs=flags["with_job_extensions"],
        child=flags["child"],
    )


def job_extensions(flags: Flags) -> None:
    """Run the job side: turn suspended jobs into units, release them, follow them to their end."""
    settings = _settings(flags)
    from kube_queue.app.processes import job_extensions_process

    job_extensions_process(settings, flags["kubeconfig"], flags["context"], child=flags["child"])


def scheduler(flags: Flags) -> None:
    """Run the co-scheduler: pods that name it get their nodes, whole gangs at a time."""
    settings = _settings(flags)
    from kube_queue.app.processes import scheduler_process

    scheduler_process(settings, flags["kubeconfig"], flags["context"], child=flags["child"])


def _verb(options: Options, role: Callable[[Flags], None]) -> Callable[..., None]:
    """The role as a command with these options; its docstring is the command's."""

    def command(**flags: Any) -> None:
        raise typer.Exit(run(lambda: role(flags)))

    command.__doc__ = role.__doc__
    # Typer reads a command's options from its signature.
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if name in OFF_UNLESS_GIVEN else None,
                annotation=option,
            )
            for name, option in options.items()
        ]
    )
    return command


def _settings(given: Flags) -> Settings:
    """Before the process is loaded: what is wrong with them is said at once."""
    from kube_queue.config import load_settings

    config = given["config"]
    flags = {
        f"--{name.replace('_', '-')}": value
        for name, value in given.items()
        if name not in NOT_SETTINGS and value is not None
    }
    return load_settings(None if config is None else str(config), os.environ, flags)
