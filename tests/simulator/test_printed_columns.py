"""What `kubectl get` prints of each kind while it is held, while it runs, and at its end."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from kube_queue.api.types import TFJOBS, ResourceType
from kube_queue.simulator.kubeflow_kinds import MPIJOB, PYTORCHJOB
from kube_queue.simulator.rayjob_operator import RAYJOBS
from kube_queue.simulator.spark_operator import SPARK_APPLICATIONS
from kube_queue.simulator.workflow_operator import WORKFLOWS
from tests.simulator.test_kubeflow_operator import a_kubeflow_job
from tests.simulator.test_rayjob_operator import a_rayjob
from tests.simulator.test_spark_operator import an_application
from tests.simulator.test_workflow_operator import a_workflow
from tests.simulator.world import World, a_tfjob, in_world

Object = dict[str, Any]
MARK_OFF = {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "false"}}}
FIELD_OFF = {"spec": {"suspend": False}}


async def printed(world: World, kind: ResourceType, column: str) -> str:
    """The cell of that column in the only row."""
    answer = await world.client.raw(
        "GET", kind.path("default"), accept="application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    table = json.loads(answer.body)
    names = [each["name"] for each in table["columnDefinitions"]]
    (row,) = table["rows"]
    return str(row["cells"][names.index(column)] or "")


@pytest.mark.parametrize(
    ("kind", "make", "release", "column", "expected"),
    [
        (
            TFJOBS,
            lambda: a_tfjob("job1", held=True),
            MARK_OFF,
            "State",
            ["Suspended", "Running", "Succeeded"],
        ),
        (
            PYTORCHJOB.resource,
            lambda: a_kubeflow_job(PYTORCHJOB, {"Master": 1, "Worker": 1}, held=True),
            MARK_OFF,
            "State",
            ["Suspended", "Running", "Succeeded"],
        ),
        (
            MPIJOB.resource,
            lambda: a_kubeflow_job(MPIJOB, {"Launcher": 1, "Worker": 1}, held=True),
            MARK_OFF,
            "State",
            ["Suspended", "Running", "Succeeded"],
        ),
        (
            RAYJOBS,
            lambda: a_rayjob(suspend=True),
            FIELD_OFF,
            "deployment status",
            ["Suspended", "Running", "Complete"],
        ),
        (
            RAYJOBS,
            lambda: a_rayjob(suspend=True),
            FIELD_OFF,
            "job status",
            ["", "RUNNING", "SUCCEEDED"],
        ),
        (
            SPARK_APPLICATIONS,
            lambda: an_application(suspend=True),
            FIELD_OFF,
            "Status",
            ["SUSPENDED", "RUNNING", "COMPLETED"],
        ),
        (
            WORKFLOWS,
            lambda: a_workflow(suspend=True),
            FIELD_OFF,
            "Status",
            ["Running", "Running", "Succeeded"],
        ),
    ],
)
def test_the_table_says_where_a_job_stands(
    kind: ResourceType,
    make: Callable[[], Object],
    release: Object,
    column: str,
    expected: list[str],
):
    async def story(world: World) -> None:
        job = make()
        job["metadata"].pop("uid", None)
        await world.client.create(kind, job)
        await asyncio.sleep(10)
        seen = [await printed(world, kind, column)]
        await world.client.patch(kind, "default", job["metadata"]["name"], release)
        for seconds in (10, 40):
            await asyncio.sleep(seconds)
            seen.append(await printed(world, kind, column))
        assert seen == expected

    in_world(story)
