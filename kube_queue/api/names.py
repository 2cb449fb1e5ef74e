"""Every well-known name on the wire is a constant here, spelled once.

Sources: the ack-kube-queue documentation for the names users already write; ours are under the
prefix ``kube-queue/``.
"""

from __future__ import annotations

from typing import Final

# --- on jobs, written by users ------------------------------------------------------------------
SUSPEND_ANNOTATION: Final = "scheduling.x-k8s.io/suspend"
"""``"true"`` holds a Kubeflow or Spark job, or by the admission policy a pod, until admitted."""
SCHEDULING_GATE: Final = "kube-queue/admission"
"""The scheduling gate that holds a pod until its unit is admitted."""
POD_GROUP_LABEL: Final = "kube-queue/pod-group-name"
"""On pods: the name of the group they are part of, which waits and is released as one."""
POD_GROUP_TOTAL_COUNT_ANNOTATION: Final = "kube-queue/pod-group-total-count"
"""On every pod of a group: how many pods the group has."""
PRIORITY_ANNOTATION: Final = "scheduling.x-k8s.io/priority"
"""The job's priority as a decimal integer; beats its PriorityClass."""
QUEUE_NAME_ANNOTATION: Final = "kube-queue/queue-name"
"""The Queue that takes the job's unit; absent, the Queue of its quota leaf."""
MIN_RESOURCES_ANNOTATION: Final = "kube-queue/min-resources"
"""What an Argo Workflow asks for, as a YAML or JSON resource list."""
WORKFLOW_SUSPEND_TEMPLATE: Final = "kube-queue-suspend"
"""The name of the suspend template that marks a Workflow as queueable."""
QUOTA_LABELS: Final = (
    "quota.scheduling.alibabacloud.com/name",
    "quota.scheduling.koordinator.sh/name",
)
"""The quota of a job or unit by the name of a tree node; the first one present counts."""
PREEMPTIBLE_LABELS: Final = (
    "quota.scheduling.alibabacloud.com/preemptible",
    "quota.scheduling.koordinator.sh/preemptible",
)
"""``"false"`` keeps a job inside its quota's min; the first one present counts."""

# --- on jobs and units, written by us -----------------------------------------------------------
JOB_HAS_ENQUEUED_ANNOTATION: Final = "kube-queue/job-has-enqueued"
"""``"true"`` on a job that was released by the queue at least once."""
ENQUEUE_TIMESTAMP_ANNOTATION: Final = "kube-queue/job-enqueue-timestamp"
"""On a unit: RFC 3339 with microseconds, the job's time of submission; decides the order."""
JOB_PRIORITY_ANNOTATION: Final = "kube-queue/job-priority"
"""On a unit: the job's own priority when it was last carried over."""
INVALID_REQUEST_ANNOTATION: Final = "kube-queue/invalid-request"
"""On a unit: why what its job asks for cannot be read; the unit is held as long as it is there."""
EXPECTED_RUN_SECONDS_ANNOTATION: Final = "kube-queue/expected-run-seconds"
"""On a job, carried over to its unit: the whole seconds it will run by its owner's word."""
MAXIMUM_EXECUTION_TIME_ANNOTATION: Final = "kube-queue/maximum-execution-time-seconds"
"""On a job: the whole seconds it may run; becomes its unit's spec.maximumExecutionTimeSeconds."""
STOPPED_ANNOTATION: Final = "kube-queue/stopped"
"""On a job: the reason for which it was stopped for good; it is not queued while this is there."""
CARRIED_LABEL_PREFIX: Final = "kube-queue/"
"""Labels of a job that begin with it are on its unit as well, for admission checks to select by."""
EVICTABLE_ANNOTATION: Final = "kube-queue/evictable"
"""``"false"`` on a unit whose job cannot be stopped once it runs; such a unit is never a victim."""
RECLAIM_REQUESTED_ANNOTATION: Final = "kube-queue/reclaim-requested-by"
"""On a unit that holds quota, written by the scheduler: the uid of the pod or PodGroup that takes
back what its quota guarantees; the queue controller then evicts the unit."""

# --- on pods of the co-scheduler ----------------------------------------------------------------
GANG_NAME_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/name"
"""The gang the pod is a member of; ``gang.scheduling.koordinator.sh/name`` as an annotation."""
GANG_MIN_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/min-available"
"""How many pods of the gang have to start together; where members differ, the largest counts."""
GANG_NAME_ANNOTATION: Final = "gang.scheduling.koordinator.sh/name"
"""The same, where no label names a gang."""
GANG_MIN_ANNOTATION: Final = "gang.scheduling.koordinator.sh/min-available"
"""The same for a gang that is named by annotation."""
SIGS_POD_GROUP_LABEL: Final = "pod-group.scheduling.sigs.k8s.io"
"""The PodGroup of scheduling.sigs.k8s.io that says how many pods of the gang are needed."""
X_POD_GROUP_LABEL: Final = "scheduling.x-k8s.io/pod-group"
"""The PodGroup of scheduling.x-k8s.io that does."""
MATCH_POLICY_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/match-policy"
"""Which members count towards the minimum: ``once-satisfied`` (default), ``only-waiting``,
``waiting-and-running`` or ``waiting-running-succeed``."""
GANG_GROUPS_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/groups"
"""Gangs that start together or not at all: a JSON list of ``namespace/name``; as a label or an
annotation."""
CONSTRAINT_ANNOTATION: Final = "alibabacloud.com/topology-aware-constraint"
"""The one domain of nodes that has to hold the whole gang, as JSON."""
GANG_COMMIT_ANNOTATION: Final = "kube-queue/gang-commit"
"""Written by us on a pod we bound: ``<id>/<n>``, which commit of n pods its binding was part of."""

# --- on queues and trees ------------------------------------------------------------------------
QUOTA_PATH_ANNOTATION: Final = "kube-queue/quota-path"
"""On an automatic Queue: the path of the quota leaf it serves."""
CREATED_BY_LABEL: Final = "create-by-kubequeue"
"""``"true"`` on Queues that are created and deleted with their quota leaf."""
PRIORITY_THRESHOLD_ANNOTATION: Final = "kube-queue/priority-threshold"
"""On a Queue of policy Intelligent: units of at least this priority block the others."""
MAX_PREEMPTIBLE_JOBS_LABEL: Final = "kube-queue/max-preemptible-jobs"
"""On a tree: how many preemptible jobs may be admitted at once."""
LEND_LIMIT_ATTRIBUTE: Final = "alibabacloud.com/lendlimit"
"""In a tree node's attributes: JSON resource list, how much of its min may be lent."""
MAX_JOBS: Final = "kube-queue/max-jobs"
"""Pseudo resource in a tree node's max or min: jobs admitted at once in its subtree."""

# --- foreign names we read ----------------------------------------------------------------------
KUEUE_QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
"""A job that carries it belongs to Kueue and is left alone."""
RUN_SECONDS_ANNOTATION: Final = "simulator.kube-queue/run-seconds"
"""On a pod: how long the simulated kubelet lets it run, in seconds."""
API_APPROVED_ANNOTATION: Final = "api-approved.kubernetes.io"
"""Required on CRDs of protected groups (``*.k8s.io``)."""

# --- places -------------------------------------------------------------------------------------
QUEUE_NAMESPACE: Final = "kube-queue"
"""Where our Queues, Leases and Deployments live."""
TREE_NAMESPACE: Final = "kube-system"
"""The only namespace in which an ElasticQuotaTree takes effect."""
DEFAULT_SCHEDULER: Final = "default-scheduler"
"""``spec.schedulerName`` of pods that name none."""
SCHEDULER_NAMES: Final = ("ack-co-scheduler", "kube-queue-scheduler")
"""``spec.schedulerName`` of pods that the co-scheduler places, unless it is told other names."""

# --- conditions and names of components ---------------------------------------------------------
QUEUING_CONDITION: Final = "Queuing"
"""Condition type on a held Kubeflow job; its operator's STATE column prints it."""
CONTROLLER_COMPONENT: Final = "kube-queue-controller"
"""Lease name, event source and user agent of the queue controller."""
JOB_EXTENSIONS_COMPONENT: Final = "kube-queue-job-extensions"
"""Lease name, event source and user agent of the job extensions."""
SCHEDULER_COMPONENT: Final = "kube-queue-scheduler"
"""Lease name, event source and user agent of the co-scheduler."""

# --- environment variables of the controller ----------------------------------------------------
QUEUE_GROUP_PLUGIN_ENV: Final = "QueueGroupPlugin"
"""``elasticquota`` or ``resourcequota``, upper and lower case alike."""
STRICT_PRIORITY_ENV: Final = "StrictPriority"
"""``true``: automatic Queues default to policy Block."""
STRICT_CONSISTENCY_ENV: Final = "StrictConsistency"
"""``true``: automatic Queues default to policy Priority."""
QUOTA_STATUS_OWNER_ENV: Final = "QuotaStatusOwner"
"""Who writes the quota tree's status: ``auto``, ``queue`` or ``scheduler``; for both of them."""
