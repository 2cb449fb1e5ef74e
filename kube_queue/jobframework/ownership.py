"""Which suspended jobs are somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.names import KUEUE_QUEUE_LABEL
from kube_queue.jobframework.extension import JobState
from kube_queue.jobframework.fields import entries, section, text

_OWNERS_THAT_DO_NOT_SUSPEND = frozenset({("batch", "CronJob")})


def somebody_elses(manifest: Mapping[str, Any], state: JobState) -> str:
    """Why the job is none of ours, in words that follow "it"; empty if it is ours to queue.

    A controller owner starts and suspends its jobs itself; only a CronJob does not.
    """
    if KUEUE_QUEUE_LABEL in section(manifest, "metadata", "labels"):
        return f"carries the label {KUEUE_QUEUE_LABEL}"
    for owner in entries(manifest, "metadata", "ownerReferences"):
        group = text(owner, "apiVersion").rpartition("/")[0]
        kind = text(owner, "kind")
        if owner.get("controller") is True and (group, kind) not in _OWNERS_THAT_DO_NOT_SUSPEND:
            return f"belongs to {kind} {text(owner, 'name')}"
    if state.managed_by:
        return f"is managed by {state.managed_by}"
    return ""
