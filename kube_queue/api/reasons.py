"""Why a unit, queue or tree is in its present state: one enum for status, events, metrics, docs.

The value is the CamelCase word on the wire; ``meaning`` is the line the documentation prints.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """One word for every expected answer; ``Reason.X.meaning`` is its sentence."""

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # The way of a unit.
    ENQUEUED = "Enqueued", "The unit waits in its queue."
    QUOTA_RESERVED = "QuotaReserved", "Quota is set aside for the unit while its checks run."
    ADMITTED = "Admitted", "The unit was admitted; its job is being released."
    PODS_READY = "PodsReady", "Every pod the job needs is running."
    PODS_NOT_READY = "PodsNotReady", "The job is released and some of its pods do not run yet."
    JOB_SUCCEEDED = "JobSucceeded", "The job ended well; its quota is free again."
    JOB_FAILED = "JobFailed", "The job ended badly; its quota is free again."
    REQUEUED = "Requeued", "The job is suspended, its pods are gone, and the unit waits again."
    RESIZED = "Resized", "The running job has other pods than before; its quota follows."
    RELEASED_BY_HAND = (
        "ReleasedByHand",
        "The job was started without the queue; its unit is adopted and charged.",
    )

    # Why a unit waits.
    INSUFFICIENT_QUOTA = "InsufficientQuota", "The quota, or one above it, has not enough left."
    INSUFFICIENT_MIN = (
        "InsufficientMin",
        "The unit is not preemptible and the min of its quota, or of one above it, is used up.",
    )
    EXCEEDS_MAX_QUOTA = (
        "ExceedsMaxQuota",
        "The unit asks for more than its quota's max: it can never run as it is.",
    )
    MAX_JOBS_REACHED = "MaxJobsReached", "The quota has as many jobs admitted as it allows."
    BLOCKED_BY_HEAD = "BlockedByHead", "The queue blocks and an earlier unit is at its head."
    RECLAIM_PENDING = (
        "ReclaimPending",
        "Other units are leaving to make room for this one; their quota is kept for it.",
    )
    NODES_HAVE_NO_ROOM = (
        "NodesHaveNoRoom",
        "The quota has enough left, the nodes do not: the job is tried again when nodes change or "
        "pods leave.",
    )
    BACKOFF = "Backoff", "The unit failed before and waits for its next turn."
    NO_QUOTA = "NoQuota", "Neither a label nor the namespace leads to an elastic quota."
    NO_QUEUE = "NoQueue", "The queue the unit names does not exist yet."
    QUEUE_STOPPED = (
        "QueueStopped",
        "The unit's queue is stopped by spec.stopPolicy; it waits there until it is started.",
    )
    NO_TREE = "NoTree", "There is no usable ElasticQuotaTree in namespace kube-system."
    NOT_ACTIVE = "NotActive", "The unit is held by spec.active=false."
    INVALID_REQUEST = "InvalidRequest", "The unit cannot be read; the message names the field."
    INVALID_MIN_RESOURCES = (
        "InvalidMinResources",
        "The annotation kube-queue/min-resources cannot be read, so the job is held.",
    )
    MISSING_MIN_RESOURCES = (
        "MissingMinResources",
        "The job says nothing of what it asks for; it counts as one job that asks for nothing.",
    )
    INVALID_FOR_RESOURCE_QUOTA = (
        "InvalidForResourceQuota",
        "A ResourceQuota of the namespace would refuse the job's pods as they are.",
    )

    # Admission checks.
    ADMISSION_CHECKS_PENDING = (
        "AdmissionChecksPending",
        "Quota is reserved and an admission check has not answered yet.",
    )
    ADMISSION_CHECK_RETRY = (
        "AdmissionCheckRetry",
        "An admission check asked to try again later; the quota was returned.",
    )
    ADMISSION_CHECK_REJECTED = (
        "AdmissionCheckRejected",
        "An admission check refused the unit; it is no longer active.",
    )

    # Why a unit lost its quota.
    EVICTED = "Evicted", "The unit has to give its quota back."
    PREEMPTED = "Preempted", "A unit of higher priority in the same quota needs the room."
    RECLAIMED = "Reclaimed", "The quota lent to this unit is taken back by the one it belongs to."
    DEACTIVATED = "Deactivated", "spec.active was set to false while the unit ran."
    SUSPENDED_BY_USER = (
        "SuspendedByUser",
        "The job was suspended while it ran; set spec.active=false to hold it.",
    )
    RUNNING_TIMEOUT = "RunningTimeout", "The released job did not start in time."
    MAXIMUM_EXECUTION_TIME_EXCEEDED = (
        "MaximumExecutionTimeExceeded",
        "The job ran longer than spec.maximumExecutionTimeSeconds.",
    )
    NOT_EVICTABLE = "NotEvictable", "Jobs of this kind cannot be stopped once they run."

    # Jobs.
    JOB_QUEUING = "JobQueuing", "The job is held and waits in its queue."
    JOB_RELEASED = "JobReleased", "The job left its queue."
    SUSPEND_IGNORED = "SuspendIgnored", "The held job has live pods: its operator ignores the mark."
    MISSING_PRIORITY_CLASS = (
        "MissingPriorityClass",
        "The PriorityClass the job names does not exist; its priority counts as 0.",
    )
    INVALID_JOB = "InvalidJob", "The job's manifest cannot be read; the message names the field."

    # Queues and trees.
    POLICY_KNOWN = "PolicyKnown", "The queue's policy is one of the known ones."
    UNKNOWN_POLICY = "UnknownPolicy", "The queue's policy is unknown; it behaves as Round."
    INVALID_THRESHOLD = (
        "InvalidThreshold",
        "The queue's annotation kube-queue/priority-threshold is no integer; the default counts.",
    )
    TREE_VALID = "TreeValid", "The quota tree keeps every rule."
    TREE_HAS_WARNINGS = "TreeHasWarnings", "The quota tree is used; the message says what is odd."
    TREE_INVALID = "TreeInvalid", "The quota tree breaks rules; the message lists them."

    # Pods and gangs of the co-scheduler.
    UNSCHEDULABLE = "Unschedulable", "The pod was tried and no node takes it now."
    INVALID_TOPOLOGY_CONSTRAINT = (
        "InvalidTopologyConstraint",
        "The annotation alibabacloud.com/topology-aware-constraint cannot be read.",
    )
    INVALID_GANG = "InvalidGang", "What the pod says of its gang cannot be read."
    INVALID_POD_GROUP = "InvalidPodGroup", "The PodGroup of the pod's gang cannot be read."
    ROOM_TAKEN_BY_ANOTHER_SCHEDULER = (
        "RoomTakenByAnotherScheduler",
        "Pods were evicted for the pod, and a pod of another scheduler came to the room they left.",
    )
    MINIMUMS_DIFFER = (
        "MinimumsDiffer",
        "Pods of one gang name different minimums; the largest counts.",
    )

    # Events only.
    SCHEDULED = (
        "Scheduled",
        "The unit got its quota and the job is being released; of a pod: it was given a node.",
    )
    FAILED_SCHEDULING = "FailedScheduling", "The unit or pod was tried and does not fit."
    QUEUE_CREATED = "QueueCreated", "A queue was created for a quota leaf."
    QUEUE_DELETED = "QueueDeleted", "A queue was deleted with its quota leaf."
