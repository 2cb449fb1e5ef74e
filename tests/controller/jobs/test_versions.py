"""A kind is queued in whichever of its versions the cluster serves."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue import manifests
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import CRDS, ResourceType
from kube_queue.jobframework.registry import load_extensions
from kube_queue_extensions.mpijob import MPIJOBS, MPIJOBS_V1ALPHA1, MPIJOBS_V2BETA1
from kube_queue_extensions.rayjob import RAYJOBS, RAYJOBS_V1ALPHA1
from tests.controller.jobs.cluster import Cluster, play
from tests.extensions.manifests import a_rayjob, an_mpijob, an_old_mpijob

VERSIONS = {
    MPIJOBS: an_mpijob(),
    MPIJOBS_V2BETA1: an_mpijob(version="v2beta1"),
    MPIJOBS_V1ALPHA1: an_old_mpijob(),
    RAYJOBS: a_rayjob(),
    RAYJOBS_V1ALPHA1: a_rayjob(version="v1alpha1"),
}


def crd(plural: str, version: str) -> dict[str, Any]:
    """The definition of this kind, of which it serves one version."""
    (found,) = [
        each for each in manifests.operator_crds() if each["spec"]["names"]["plural"] == plural
    ]
    (only,) = [each for each in found["spec"]["versions"] if each["name"] == version]
    found["spec"]["versions"] = [{**only, "storage": True}]
    return found


@pytest.mark.parametrize(
    "resource", VERSIONS, ids=lambda resource: f"{resource.plural}-{resource.version}"
)
@pytest.mark.parametrize("late", [False, True], ids=["there", "later"])
def test_a_job_of_the_only_version_served_is_queued_and_released(
    resource: ResourceType, late: bool
) -> None:
    (extension,) = load_extensions("mpiv1" if resource.plural == "mpijobs" else "rayjob")
    metadata: dict[str, Any] = {"name": "job1", "namespace": "default"}
    job = VERSIONS[resource]
    metadata["annotations"] = job["metadata"].get("annotations", {})
    job = {**job, "metadata": metadata}

    async def story(cluster: Cluster) -> None:
        definition = crd(resource.plural, resource.version)
        await cluster.client.delete(CRDS, "", definition["metadata"]["name"])
        await cluster.settle(5)
        if late:
            cluster.start_jobs(extension)
            await cluster.settle(20)
        await cluster.client.create(CRDS, definition)
        await cluster.settle()
        if not late:
            cluster.start_jobs(extension)
        await cluster.client.create(resource, job, "default")
        unit = await cluster.until_phase(f"job1-{extension.suffix}-qu", Phase.ENQUEUED)
        assert unit.job is not None
        assert unit.job.api_version == resource.api_version
        await cluster.admit(unit.name)

        async def released() -> bool:
            found = await cluster.client.get(resource, "default", "job1")
            return extension.state(found).hold.value == "none"

        await cluster.until(released, "the job is released")

    play(story, simulated=False)
