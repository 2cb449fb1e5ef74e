"""The example of every page lives through the queue on the embedded server, its operator played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import QUEUING_CONDITION
from kube_queue.jobframework.extension import (
    Endless,
    Grouped,
    Hold,
    JobExtension,
    ShowsQueuing,
    evictable,
)
from kube_queue.jobframework.registry import load_extensions
from tests.controller.jobs.cluster import Cluster, play
from tests.extensions.manifests import Manifest
from tests.extensions.test_pages import PAGES, examples, job_of, name_of
from tests.jobframework.builders import conditions

KUBEFLOW = (
    {"conditions": conditions("Created", "Running")},
    {"conditions": [*conditions("Running", status="False"), *conditions("Suspended")]},
    {"conditions": conditions("Succeeded")},
)
SAYS: dict[str, tuple[Manifest, Manifest, Manifest]] = {
    "job": (
        {"active": 1, "ready": 1},
        {"active": 0, "ready": 0, "conditions": conditions("Suspended")},
        {"succeeded": 1, "conditions": conditions("SuccessCriteriaMet", "Complete")},
    ),
    "rayjob": (
        {"jobDeploymentStatus": "Running"},
        {"jobDeploymentStatus": "Suspended"},
        {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"},
    ),
    "sparkapp": (
        {"applicationState": {"state": "RUNNING"}},
        {"applicationState": {"state": "SUSPENDED"}},
        {"applicationState": {"state": "COMPLETED"}},
    ),
    "workflow": ({"phase": "Running"}, {}, {"phase": "Succeeded"}),
    "jobset": (
        {"replicatedJobsStatus": [{"name": "driver", "ready": 1}]},
        {"replicatedJobsStatus": [], "conditions": conditions("Suspended")},
        {"conditions": conditions("Completed")},
    ),
    "trainjob": (
        {"jobsStatus": [{"name": "node", "ready": 1}]},
        {"jobsStatus": [], "conditions": conditions("Suspended")},
        {"conditions": conditions("Complete")},
    ),
    "pod": ({"phase": "Running"}, {}, {"phase": "Succeeded"}),
    "raycluster": ({"state": "ready"}, {"state": "suspended"}, {}),
    "appwrapper": (
        {"phase": "Running", "conditions": conditions("PodsReady")},
        {"phase": "Suspended", "conditions": []},
        {"phase": "Succeeded"},
    ),
}
"""What an operator says of a job that runs, that was stopped, and that ended well."""


class Story:
    """One job in one cluster."""

    def __init__(self, cluster: Cluster, extension: JobExtension, page: Path) -> None:
        self.cluster = cluster
        self.extension = extension
        self.unit = f"it-{extension.suffix}-qu"
        self.manifest = job_of(page, extension)
        self.manifest["metadata"] |= {"namespace": "default", "name": "it"}
        self.manifest["metadata"].pop("generateName", None)

    async def create(self) -> None:
        await self.cluster.client.create(self.extension.resource, self.manifest, "default")
        await self.cluster.until_phase(self.unit, Phase.ENQUEUED)
        await self.cluster.settle()

    async def job(self) -> Manifest:
        return await self.cluster.client.get(self.extension.resource, "default", "it")

    async def hold(self) -> Hold:
        return self.extension.state(await self.job()).hold

    async def queuing(self) -> str:
        """The status of the condition Queuing, and whether a column of the last one prints it."""
        said = (await self.job()).get("status", {}).get("conditions", [])
        found = next((each for each in said if each["type"] == QUEUING_CONDITION), {})
        last = bool(said) and said[-1]["type"] == QUEUING_CONDITION
        return f"{found.get('status', 'absent')}{' and last' if last else ''}"

    async def says(self, status: Manifest) -> None:
        """As the operator: its own conditions are written beside the one that is ours."""
        job = await self.job()
        ours = [
            each
            for each in job.get("status", {}).get("conditions", [])
            if each["type"] == QUEUING_CONDITION
        ]
        if "conditions" in status:
            status = {**status, "conditions": [*ours, *status["conditions"]]}
        # Argo's Workflows have no status apart.
        apart = "" if self.extension.resource.kind == "Workflow" else "status"
        await self.cluster.patch(self.extension.resource, "it", {"status": status}, apart)

    async def forgotten(self) -> bool:
        return not await self.cluster.units()

    async def release(self) -> None:
        await self.cluster.admit(self.unit)

        async def free() -> bool:
            return await self.hold() is Hold.NONE

        await self.cluster.until(free, "the job is released")
        await self.cluster.settle()


# Groups of pods have stories of their own.
ONE_OBJECT = [page for page in PAGES if not isinstance(load_extensions(name_of(page))[0], Grouped)]


@pytest.mark.parametrize("page", ONE_OBJECT, ids=lambda page: page.stem)
def test_the_example_is_queued_released_evicted_released_again_and_ends(page: Path) -> None:
    (extension,) = load_extensions(name_of(page))
    runs, stopped, done = SAYS.get(extension.name, KUBEFLOW)
    shows = isinstance(extension, ShowsQueuing)

    async def story(cluster: Cluster) -> None:
        it = Story(cluster, extension, page)
        cluster.start_jobs(extension)
        await it.create()
        assert await it.queuing() == ("True and last" if shows else "absent")
        await it.release()
        assert await it.queuing() == ("False and last" if shows else "absent")
        await it.says(runs)
        await cluster.until_phase(it.unit, Phase.RUNNING)
        if evictable(extension, await it.job()):
            await cluster.evict(it.unit)

            async def held() -> bool:
                return await it.hold() is not Hold.NONE

            await cluster.until(held, "the job is held again")
            await it.says(stopped)
            await cluster.until_phase(it.unit, Phase.ENQUEUED)
            await cluster.settle()
            assert await it.queuing() == ("True and last" if shows else "absent")
            await it.release()
            await it.says(runs)
            await cluster.until_phase(it.unit, Phase.RUNNING)
        if isinstance(extension, Endless):
            await cluster.client.delete(extension.resource, "default", "it")
            await cluster.until(it.forgotten, "its unit goes with it")
            return
        await it.says(done)
        await cluster.until_phase(it.unit, Phase.SUCCEED)

    play(story, simulated=False)


def odd(name: str, change: dict[str, Any]) -> Manifest:
    (page,) = [each for each in PAGES if each.stem == name]
    (manifest,) = examples(page)
    for path, value in change.items():
        at = manifest
        *way, last = path.split(".")
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        at[last] = value
    return manifest


@pytest.mark.parametrize(
    ("page", "change", "path"),
    [
        ("sparkapplication", {"spec.driver.memory": "512Mi"}, "spec.driver.memory"),
        ("pytorchjob", {"spec.pytorchReplicaSpecs": {"Boss": {}}}, "spec.pytorchReplicaSpecs.Boss"),
        ("rayjob", {"spec.rayClusterSpec.workerGroupSpecs": 7}, "spec.rayClusterSpec.worker"),
        ("workflow", {"metadata.annotations": {"kube-queue/min-resources": "cpu 5"}}, "metadata."),
    ],
)
def test_a_job_nobody_could_run_is_held_with_the_path_of_its_fault_on_its_unit(
    page: str, change: dict[str, Any], path: str
) -> None:
    (found,) = [each for each in PAGES if each.stem == page]
    (extension,) = load_extensions(name_of(found))

    async def story(cluster: Cluster) -> None:
        it = Story(cluster, extension, found)
        it.manifest |= {"spec": odd(page, change)["spec"]}
        it.manifest["metadata"]["annotations"] = odd(page, change)["metadata"].get("annotations")
        cluster.start_jobs(extension)
        await it.create()
        unit = await cluster.unit(it.unit)
        assert unit.invalid.startswith(path)
        assert await it.hold() is not Hold.NONE

    play(story, simulated=False)
