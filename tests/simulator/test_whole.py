"""The parts together, killed at moments chosen by chance."""

import asyncio
import random
from collections import Counter
from typing import Any

from kube_queue.api.types import JOBS, PODS, TFJOBS, ResourceType
from kube_queue.kube.informer import Informer
from kube_queue.simulator.kubeflow_kinds import (
    JAXJOB,
    MPIJOB,
    MXJOB,
    PADDLEJOB,
    PYTORCHJOB,
    XGBOOSTJOB,
)
from kube_queue.simulator.rayjob_operator import RAYJOBS
from kube_queue.simulator.spark_operator import SPARK_APPLICATIONS
from kube_queue.simulator.views import PodView, pod_view
from kube_queue.simulator.workflow_operator import WORKFLOWS
from tests.simulator.test_kubeflow_operator import a_kubeflow_job
from tests.simulator.test_rayjob_operator import a_rayjob
from tests.simulator.test_spark_operator import an_application
from tests.simulator.test_workflow_operator import a_workflow
from tests.simulator.world import World, a_job, a_tfjob, in_world

JOBS_OF_EACH_KIND = 8


def test_killed_at_a_hundred_moments_every_job_runs_each_pod_once_and_ends():
    async def story(world: World) -> None:
        chance = random.Random(20260101)
        created: Counter[str] = Counter()
        ran_with: dict[str, set[int]] = {}

        def pod_seen(old: PodView | None, new: PodView | None) -> None:
            if new is not None and old is None:
                created[new.name] += 1
            if new is not None and new.started:
                ran_with.setdefault(new.uid, set()).add(new.started)

        watch = Informer(world.client, PODS, pod_view, rng=random.Random(1))
        watch.add_handler(pod_seen)
        watching = asyncio.create_task(watch.run())
        for number in range(JOBS_OF_EACH_KIND):
            await world.client.create(TFJOBS, a_tfjob(f"tf{number}", held=number % 2 == 0))
            await world.client.create(JOBS, a_job(f"pi{number}", suspend=number % 2 == 0))
        for kill in range(100):
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.001, 0.2, 1.7)))
            await world.kill_simulator()
            world.start_simulator()
            if kill % 10 == 5:
                for number in range(0, JOBS_OF_EACH_KIND, 2):
                    await world.suspend_tfjob(f"tf{number}", False)
                    await world.suspend_job(f"pi{number}", False)
        await asyncio.sleep(300)

        for number in range(JOBS_OF_EACH_KIND):
            assert (await world.states(f"tf{number}"))[-1] == "Succeeded"
            assert (await world.get(JOBS, f"pi{number}"))["status"]["succeeded"] == 1
            assert len(await world.pods(f"pi{number}")) == 1
        assert set(created.values()) == {1}
        assert len(created) == JOBS_OF_EACH_KIND * 4
        assert all(len(starts) == 1 for starts in ran_with.values())
        watching.cancel()

    in_world(story)


def test_killed_at_forty_moments_a_job_of_every_kind_ends_well():
    async def story(world: World) -> None:
        chance = random.Random(20260102)
        jobs: list[tuple[ResourceType, dict[str, Any]]] = [
            (kind.resource, a_kubeflow_job(kind, dict.fromkeys(kind.types[:1], 1)))
            for kind in (PYTORCHJOB, XGBOOSTJOB, PADDLEJOB, MXJOB, JAXJOB, MPIJOB)
        ]
        jobs += [
            (RAYJOBS, a_rayjob("ray1", shutdownAfterJobFinishes=True)),
            (SPARK_APPLICATIONS, an_application()),
            (WORKFLOWS, a_workflow()),
        ]
        for resource, job in jobs:
            job["metadata"].pop("uid", None)
            job["metadata"]["name"] = f"{resource.kind.lower()}-1"
            await world.client.create(resource, job)
        for _ in range(40):
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.001, 0.2, 1.7)))
            await world.kill_simulator()
            world.start_simulator()
        await asyncio.sleep(300)

        for resource, job in jobs:
            status = (await world.get(resource, job["metadata"]["name"]))["status"]
            ends = {
                "RayJob": lambda said: said["jobDeploymentStatus"],
                "SparkApplication": lambda said: said["applicationState"]["state"],
                "Workflow": lambda said: said["phase"],
            }.get(resource.kind, lambda said: said["conditions"][-1]["type"])(status)
            assert ends in ("Succeeded", "Complete", "COMPLETED"), resource.kind
        assert set((await world.phases()).values()) == {"Succeeded"}

    in_world(story)


def test_the_same_seed_gives_the_same_names():
    names: list[list[str]] = []

    async def story(world: World) -> None:
        for number in range(3):
            await world.client.create(JOBS, a_job(f"pi{number}", parallelism=2, completions=2))
        await asyncio.sleep(2)
        names.append([pod["metadata"]["name"] for pod in await world.pods()])

    in_world(story)
    in_world(story)
    assert names[0] == names[1]
    assert len(names[0]) == 6
