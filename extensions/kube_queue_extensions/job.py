"""Job of batch/v1.

Source: the Kubernetes documentation, "Jobs": with completions no more pods run at once than are
left to succeed; without (a work queue) no pod is started any more once one has succeeded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.types import JOBS
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    demand_count,
    demand_section,
    entries,
    number,
    section,
    text,
)

CONTROLLER: Final = "kubernetes.io/job-controller"


class JobExtension:
    """Held by spec.suspend; one pod set of as many pods as may still run at once."""

    name = "job"
    aliases: tuple[str, ...] = ()
    resource = JOBS
    suffix = "job"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        conditions = entries(manifest, "status", "conditions")
        true = {text(each, "type"): each for each in conditions if each.get("status") == "True"}
        held = section(manifest, "spec").get("suspend") is True
        managed_by = text(manifest, "spec", "managedBy")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=_runs(section(manifest, "status")),
            outcome=_outcome(true),
            alive=number(manifest, "status", "active") + number(manifest, "status", "terminating"),
            stopped=held and "Suspended" in true,
            managed_by="" if managed_by == CONTROLLER else managed_by,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        spec = demand_section(manifest, "spec")
        count = demand_count(spec.get("parallelism"), 1, "spec.parallelism")
        if spec.get("completions") is not None:
            completions = demand_count(spec["completions"], 1, "spec.completions")
            count = min(count, max(0, completions - number(manifest, "status", "succeeded")))
        template = demand_section(manifest, "spec", "template")
        return (PodSet("main", count, "spec", template=template),)

    def finished(self, manifest: Mapping[str, Any]) -> Mapping[str, int]:
        """See Reclaimable. With completions `pod_sets` leaves out what is done."""
        spec = demand_section(manifest, "spec")
        status = section(manifest, "status")
        if spec.get("completions") is not None or number(status, "succeeded") <= 0:
            return {}
        count = demand_count(spec.get("parallelism"), 1, "spec.parallelism")
        left = max(0, number(status, "active")) + max(0, number(status, "terminating"))
        return {"main": max(0, count - left)}

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A Job names none apart from its pod template's."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return {"spec": {"suspend": True}}


def _runs(status: Mapping[str, Any]) -> bool:
    # Since Kubernetes 1.24 the controller counts ready pods; before, active ones are all we have.
    counted = "ready" if "ready" in status else "active"
    return number(status, counted) > 0


def _outcome(true: Mapping[str, Mapping[str, Any]]) -> Outcome | None:
    for kind in ("Complete", "Failed"):
        if kind in true:
            condition = true[kind]
            succeeded = kind == "Complete"
            return Outcome(succeeded, text(condition, "reason"), text(condition, "message"))
    return None
