"""A job type kube-queue has never heard of: one file, one entry-point line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import demand_count, demand_section, section, text

CRUNCH_JOBS = ResourceType("example.com", "v1", "crunchjobs", "CrunchJob")


class CrunchJob:
    """spec.paused holds it; spec.crunchers pods of spec.cruncher run; status.stage tells."""

    name = "crunchjob"
    aliases = ("crunch",)
    resource = CRUNCH_JOBS
    suffix = "crunch"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("paused") is True
        stage = text(manifest, "status", "stage")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=stage == "Crunching",
            outcome=Outcome(stage == "Done") if stage in ("Done", "Broken") else None,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        spec = demand_section(manifest, "spec")
        count = demand_count(spec.get("crunchers"), 1, "spec.crunchers")
        template = {"spec": demand_section(manifest, "spec", "cruncher")}
        return (PodSet("cruncher", count, "spec.cruncher", template=template),)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return text(manifest, "spec", "priorityClassName")

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"paused": False}}
