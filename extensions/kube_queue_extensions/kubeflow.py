"""What the kinds of kubeflow.org share: marks, replica types, conditions.

Sources: the API types, defaults and validation of github.com/kubeflow/training-operator, v1.9.3
(MXJob: v1.7.0): absent replicas mean 1, names of replica types are taken in any case of letters,
runPolicy.suspend takes the pods away and sets the condition Suspended, `State` prints the last
condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path
from kube_queue.api.names import QUEUING_CONDITION, SUSPEND_ANNOTATION
from kube_queue.api.reasons import Reason
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    demand_count,
    demand_section,
    entries,
    number,
    section,
    text,
)

OPERATORS: Final = frozenset({"kubeflow.org/training-operator", "kubeflow.org/mpi-operator"})


class KubeflowJob:
    """Held by its annotation or runPolicy.suspend; one pod set a replica type.

    Stopped by runPolicy.suspend, which takes its pods away. Runs while Running is its last true
    condition. Its STATE shows Queuing as long as it waits.
    """

    aliases: tuple[str, ...] = ()
    resource: ResourceType
    replica_specs: str
    """The field of spec that maps replica types to replicas and template."""
    types: tuple[str, ...]
    """The replica types its operator runs."""

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        return state(manifest)

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        return pod_sets(manifest, self.replica_specs, self.types)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return priority_class(manifest)

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return resume(manifest)

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return suspend(manifest)

    def finished(self, manifest: Mapping[str, Any]) -> Mapping[str, int]:
        """See Reclaimable."""
        return finished(manifest, self.replica_specs)

    def queuing(self, manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
        """See ShowsQueuing."""
        return queuing(manifest, waits, now_text)


def state(manifest: Mapping[str, Any]) -> JobState:
    """Where a Kubeflow job stands."""
    conditions = entries(manifest, "status", "conditions")
    true = [text(each, "type") for each in conditions if each.get("status") == "True"]
    hold = _hold(manifest)
    replicas = section(manifest, "status", "replicaStatuses")
    managed_by = text(manifest, "spec", "runPolicy", "managedBy")
    return JobState(
        hold=hold,
        running=bool(true) and true[-1] == "Running",
        outcome=_outcome(conditions),
        alive=sum(number(replicas, kind, "active") for kind in replicas),
        stopped=hold is not Hold.NONE and "Suspended" in true,
        managed_by="" if managed_by in OPERATORS else managed_by,
    )


def pod_sets(
    manifest: Mapping[str, Any], replica_specs: str, types: Sequence[str]
) -> tuple[PodSet, ...]:
    """One pod set a replica type of spec.`replica_specs`; absent replicas mean 1.

    `types` are those the operator runs, in any case of letters. Raises InvalidManifest.
    """
    legal = {known.lower() for known in types}
    path = f"spec.{replica_specs}"
    specs = demand_section(manifest, "spec", replica_specs)
    if not specs:
        raise InvalidManifest("names no replica type", path, "add one, such as Worker")
    found: list[PodSet] = []
    seen: set[str] = set()
    for kind, replica in specs.items():
        where = field_path(path, str(kind))
        if str(kind).lower() not in legal:
            # No operator would run it: released, the job would hold quota for ever.
            raise InvalidManifest("is no replica type", where, f"use one of {', '.join(types)}")
        if str(kind).lower() in seen:
            raise InvalidManifest("names a replica type a second time", where, "keep one of them")
        seen.add(str(kind).lower())
        if not isinstance(replica, Mapping):
            raise InvalidManifest("is not a mapping", where, "write replicas and a template")
        count = demand_count(replica.get("replicas"), 1, f"{where}.replicas")
        template = replica.get("template")
        if not isinstance(template, Mapping):
            problem = "is missing" if template is None else "is not a mapping"
            raise InvalidManifest(problem, f"{where}.template", "write a pod template")
        found.append(PodSet(str(kind), count, where, template=template))
    return tuple(found)


def finished(manifest: Mapping[str, Any], replica_specs: str) -> Mapping[str, int]:
    """The pods that succeeded, which no restart policy brings back, by replica type.

    The status spells replica types in the operator's way, the spec in the user's.
    """
    statuses = section(manifest, "status", "replicaStatuses")
    done = {str(kind).lower(): number(statuses, kind, "succeeded") for kind in statuses}
    specs = section(manifest, "spec", replica_specs)
    return {str(kind): done.get(str(kind).lower(), 0) for kind in specs}


def priority_class(manifest: Mapping[str, Any]) -> str:
    """The PriorityClass of the job's scheduling policy, or empty."""
    return text(manifest, "spec", "runPolicy", "schedulingPolicy", "priorityClass")


def resume(manifest: Mapping[str, Any]) -> JobPatch:
    """Both marks off, runPolicy.suspend only where it is on."""
    patch: JobPatch = {"metadata": {"annotations": {SUSPEND_ANNOTATION: "false"}}}
    if _suspend_field(manifest):
        patch["spec"] = {"runPolicy": {"suspend": False}}
    return patch


def suspend(manifest: Mapping[str, Any]) -> JobPatch:
    """Both marks on: some operators obey one, some the other."""
    return {
        "metadata": {"annotations": {SUSPEND_ANNOTATION: "true"}},
        "spec": {"runPolicy": {"suspend": True}},
    }


def queuing(manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
    """The condition Queuing: last and true while the job waits, else false where it is."""
    conditions = entries(manifest, "status", "conditions")
    old = next((each for each in conditions if each.get("type") == QUEUING_CONDITION), None)
    if waits:
        if old is not None and conditions[-1] is old and old.get("status") == "True":
            return None
        others = [each for each in conditions if each is not old]
        return _conditions([*others, _queuing(old, True, now_text)])
    if old is None or old.get("status") != "True":
        return None
    fresh = _queuing(old, False, now_text)
    return _conditions([fresh if each is old else each for each in conditions])


def _hold(manifest: Mapping[str, Any]) -> Hold:
    if _suspend_field(manifest):
        return Hold.SPEC
    annotations = section(manifest, "metadata", "annotations")
    return Hold.MARK if annotations.get(SUSPEND_ANNOTATION) == "true" else Hold.NONE


def _suspend_field(manifest: Mapping[str, Any]) -> bool:
    return section(manifest, "spec", "runPolicy").get("suspend") is True


def _outcome(conditions: Sequence[Mapping[str, Any]]) -> Outcome | None:
    for each in conditions:
        if each.get("status") == "True" and each.get("type") in ("Succeeded", "Failed"):
            succeeded = each["type"] == "Succeeded"
            return Outcome(succeeded, text(each, "reason"), text(each, "message"))
    return None


def _queuing(old: Mapping[str, Any] | None, waits: bool, now_text: str) -> dict[str, Any]:
    reason = Reason.JOB_QUEUING if waits else Reason.JOB_RELEASED
    status = "True" if waits else "False"
    since = now_text
    if old is not None and old.get("status") == status:
        since = text(old, "lastTransitionTime") or now_text
    return {
        "type": QUEUING_CONDITION,
        "status": status,
        "reason": reason.value,
        "message": reason.meaning,
        "lastUpdateTime": now_text,
        "lastTransitionTime": since,
    }


def _conditions(conditions: Sequence[Mapping[str, Any]]) -> JobPatch:
    return {"status": {"conditions": [dict(each) for each in conditions]}}
