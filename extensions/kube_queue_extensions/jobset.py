"""JobSet of jobset.x-k8s.io/v1alpha2.

Source: github.com/kubernetes-sigs/jobset v0.12: a replicated job is `replicas` (absent 1) Jobs,
each of as many pods as run at once: parallelism (absent 1), but no more than completions. A
suspended JobSet suspends its Jobs, whose pods go. replicatedJobsStatus counts Jobs, not pods; those
that succeeded stay so, suspended or not, unless a failure policy restarts the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    MAX_COUNT,
    demand_count,
    demand_section,
    entries,
    number,
    section,
    text,
)

JOBSETS: Final = ResourceType("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet")
CONTROLLER: Final = "jobset.sigs.k8s.io/jobset-controller"


class JobSetExtension:
    """Held by spec.suspend; one pod set a replicated job, without the Jobs that succeeded.

    Stopped by spec.suspend. Runs when one of its Jobs has all its pods ready.
    """

    name = "jobset"
    aliases: tuple[str, ...] = ()
    resource = JOBSETS
    suffix = "jobset"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("suspend") is True
        conditions = entries(manifest, "status", "conditions")
        true = {text(each, "type"): each for each in conditions if each.get("status") == "True"}
        jobs = entries(manifest, "status", "replicatedJobsStatus")
        managed_by = text(manifest, "spec", "managedBy")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=not held and any(number(each, "ready") > 0 for each in jobs),
            outcome=_outcome(true),
            alive=sum(max(0, number(each, "active")) for each in jobs),
            stopped=held and "Suspended" in true,
            managed_by="" if managed_by == CONTROLLER else managed_by,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        jobs = demand_section(manifest, "spec").get("replicatedJobs")
        path = "spec.replicatedJobs"
        if not isinstance(jobs, list) or not jobs:
            problem = "is missing" if jobs is None else "is no list of jobs"
            raise InvalidManifest(problem, path, "list at least one")
        told = entries(manifest, "status", "replicatedJobsStatus")
        succeeded = {text(each, "name"): number(each, "succeeded") for each in told}
        found: list[PodSet] = []
        names: set[str] = set()
        for index, job in enumerate(jobs):
            where = f"{path}[{index}]"
            if not isinstance(job, Mapping):
                raise InvalidManifest("is not a mapping", where, "write a name and a template")
            name = text(job, "name") or "job"
            if name in names:
                problem = f"a second job is called {name}"
                raise InvalidManifest(problem, f"{where}.name", "give each its own name")
            names.add(name)
            found.append(_pod_set(job, name, where, max(0, succeeded.get(name, 0))))
        return tuple(found)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A JobSet names none apart from its pod templates'."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return {"spec": {"suspend": True}}


def _pod_set(job: Mapping[str, Any], name: str, path: str, succeeded: int) -> PodSet:
    spec = demand_section({path: job}, path, "template", "spec")
    where = f"{path}.template.spec"
    jobs = demand_count(job.get("replicas"), 1, f"{path}.replicas")
    pods = demand_count(spec.get("parallelism"), 1, f"{where}.parallelism")
    pods = min(pods, demand_count(spec.get("completions"), pods, f"{where}.completions"))
    if jobs * pods > MAX_COUNT:
        problem = f"{jobs} jobs of {pods} pods are more than can be counted"
        raise InvalidManifest(problem, f"{path}.replicas", f"use at most {MAX_COUNT} in all")
    template = demand_section({where: spec}, where, "template")
    return PodSet(name, max(0, jobs - succeeded) * pods, where, template=template)


def _outcome(true: Mapping[str, Mapping[str, Any]]) -> Outcome | None:
    for kind in ("Completed", "Failed"):
        if kind in true:
            said = true[kind]
            return Outcome(kind == "Completed", text(said, "reason"), text(said, "message"))
    return None
