"""What the operators of all Kubeflow kinds promise alike, and what each kind has of its own."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from kube_queue import manifests
from kube_queue.api.types import CRDS, PODS, TFJOBS
from kube_queue.simulator.kubeflow_kinds import (
    JAXJOB,
    MPIJOB,
    MXJOB,
    PADDLEJOB,
    PYTORCHJOB,
    TFJOB,
    XGBOOSTJOB,
    KubeflowKind,
)
from kube_queue.simulator.kubeflow_operator import plan
from kube_queue.simulator.kubeflow_status import kubeflow_spec
from kube_queue.simulator.run import EVERY_PART
from tests.simulator.world import World, a_tfjob, in_world, template

Object = dict[str, Any]
NOW = 1_767_225_600.0
HELD = {"scheduling.x-k8s.io/suspend": "true"}


@dataclass(frozen=True)
class Case:
    """A kind, its replicas (the first type's end is the job's), and the pods it must get."""

    kind: KubeflowKind
    replicas: tuple[tuple[str, int], ...]
    pods: tuple[str, ...]
    succeeded: str
    failed: str

    def job(self, **changes: Any) -> Object:
        return a_kubeflow_job(self.kind, dict(self.replicas), **changes)


CASES = [
    Case(
        PYTORCHJOB,
        (("Master", 1), ("Worker", 2)),
        ("job1-master-0", "job1-worker-0", "job1-worker-1"),
        "PyTorchJob job1 is successfully completed.",
        "PyTorchJob job1 is failed because 1 Master replica(s) failed.",
    ),
    Case(
        XGBOOSTJOB,
        (("Master", 1), ("Worker", 1)),
        ("job1-master-0", "job1-worker-0"),
        "XGBoostJob job1 is successfully completed.",
        "XGBoostJob job1 is failed because 1 Master replica(s) failed.",
    ),
    Case(
        PADDLEJOB,
        (("Worker", 2),),
        ("job1-worker-0", "job1-worker-1"),
        "PaddleJob default/job1 successfully completed.",
        "PaddleJob job1 is failed because 2 Worker replica(s) failed.",
    ),
    Case(
        MXJOB,
        (("Scheduler", 1), ("Server", 1), ("Worker", 1)),
        ("job1-scheduler-0", "job1-server-0", "job1-worker-0"),
        "MXJob job1 is successfully completed.",
        "mxjob job1 is failed because 1 Scheduler replica(s) failed.",
    ),
    Case(
        JAXJOB,
        (("Worker", 2),),
        ("job1-worker-0", "job1-worker-1"),
        "JAXJob default/job1 successfully completed.",
        "JAXJob job1 is failed because 2 Worker replica(s) failed.",
    ),
    Case(
        MPIJOB,
        (("Launcher", 1), ("Worker", 2)),
        ("job1-launcher", "job1-worker-0", "job1-worker-1"),
        "MPIJob default/job1 successfully completed.",
        "MPIJob job1 is failed because 1 Launcher replica(s) failed.",
    ),
]
every_kind = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.name)


def a_kubeflow_job(
    kind: KubeflowKind,
    replicas: dict[str, int],
    *,
    held: bool = False,
    lead: str = "sleep 30",
    others: str = "sleep 1h",
    restart_policy: str = "Never",
    **run_policy: Any,
) -> Object:
    """A job whose first replica type runs `lead`, and whose others run `others`."""
    specs: Object = {}
    for number, (name, count) in enumerate(replicas.items()):
        script = ["sh", "-c", lead if number == 0 else others]
        specs[name] = {
            "replicas": count,
            "restartPolicy": restart_policy,
            "template": template(script),
        }
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.name,
        "metadata": {
            "name": "job1",
            "namespace": "default",
            "annotations": dict(HELD) if held else {},
        },
        "spec": {kind.replica_specs: specs, "runPolicy": run_policy},
    }


async def hold(world: World, case: Case, held: bool) -> None:
    marks = {"scheduling.x-k8s.io/suspend": "true" if held else "false"}
    patch = {"metadata": {"annotations": marks}}
    await world.client.patch(case.kind.resource, "default", "job1", patch)


async def last_condition(world: World, case: Case) -> Object:
    job = await world.get(case.kind.resource, "job1")
    return dict(job["status"]["conditions"][-1])


@every_kind
def test_a_held_job_waits_runs_once_released_and_succeeds(case: Case):
    async def story(world: World) -> None:
        resource = case.kind.resource
        await world.client.create(resource, case.job(held=True))
        await asyncio.sleep(60)
        assert await world.pods() == []
        assert await world.states("job1", resource) == ["Created", "Suspended"]

        await hold(world, case, False)
        await asyncio.sleep(5)
        assert await world.states("job1", resource) == ["Created", "-Suspended", "Running"]
        assert await world.phases() == dict.fromkeys(case.pods, "Running")
        running = await last_condition(world, case)
        assert running["reason"] == f"{case.kind.name}Running"

        await asyncio.sleep(35)
        assert (await world.states("job1", resource))[-2:] == ["-Running", "Succeeded"]
        done = await last_condition(world, case)
        assert done["reason"] == f"{case.kind.name}Succeeded"
        assert done["message"] == case.succeeded
        assert set((await world.phases()).values()) == {"Succeeded"}

    in_world(story)


@every_kind
def test_run_policy_suspends_a_running_job_and_its_time_begins_again(case: Case):
    async def story(world: World) -> None:
        resource = case.kind.resource
        await world.client.create(resource, case.job())
        await asyncio.sleep(20)
        for held in (True, False):
            patch = {"spec": {"runPolicy": {"suspend": held}}}
            await world.client.patch(resource, "default", "job1", patch)
            await asyncio.sleep(5)
            if held:
                assert await world.pods() == []
                assert await world.states("job1", resource) == ["Created", "-Running", "Suspended"]
        await asyncio.sleep(20)
        assert (await world.states("job1", resource))[-1] == "Running"
        await asyncio.sleep(15)
        assert (await world.states("job1", resource))[-1] == "Succeeded"

    in_world(story)


@every_kind
def test_a_job_whose_deciding_pods_fail_has_failed_and_its_pods_go(case: Case):
    async def story(world: World) -> None:
        await world.client.create(case.kind.resource, case.job(lead="sleep 10; exit 3"))
        await asyncio.sleep(20)
        failed = await last_condition(world, case)
        assert failed["type"] == "Failed"
        assert failed["reason"] == f"{case.kind.name}Failed"
        assert failed["message"] == case.failed
        assert set((await world.phases()).values()) == {"Failed"}

    in_world(story)


@every_kind
def test_a_deleted_job_takes_its_pods_along(case: Case):
    async def story(world: World) -> None:
        await world.client.create(case.kind.resource, case.job())
        await asyncio.sleep(5)
        assert set(await world.phases()) == set(case.pods)
        await world.client.delete(case.kind.resource, "default", "job1", propagation="Background")
        await asyncio.sleep(5)
        assert await world.pods() == []

    in_world(story)


def test_the_end_of_other_replicas_is_not_the_jobs():
    async def story(world: World) -> None:
        job = a_kubeflow_job(
            XGBOOSTJOB, {"Master": 1, "Worker": 1}, lead="sleep 60", others="sleep 5"
        )
        await world.client.create(XGBOOSTJOB.resource, job)
        await asyncio.sleep(30)
        assert (await world.phases())["job1-worker-0"] == "Succeeded"
        assert (await world.states("job1", XGBOOSTJOB.resource))[-1] == "Running"
        await asyncio.sleep(40)
        assert (await world.states("job1", XGBOOSTJOB.resource))[-1] == "Succeeded"

    in_world(story)


def test_an_mpi_worker_without_a_command_serves_until_its_launcher_ends():
    async def story(world: World) -> None:
        job = a_kubeflow_job(MPIJOB, {"Launcher": 1, "Worker": 1}, lead="sleep 90")
        worker = job["spec"]["mpiReplicaSpecs"]["Worker"]
        del worker["template"]["spec"]["containers"][0]["command"]
        await world.client.create(MPIJOB.resource, job)
        await asyncio.sleep(80)
        assert (await world.phases())["job1-worker-0"] == "Running"
        await asyncio.sleep(20)
        assert await world.phases() == {"job1-launcher": "Succeeded"}

    in_world(story)


@pytest.mark.parametrize(
    ("kind", "replicas", "expected"),
    [
        (PYTORCHJOB, {"Master": 1, "Worker": 1}, ["Master"]),
        (PYTORCHJOB, {"Worker": 2}, ["Worker"]),
        (TFJOB, {"PS": 1, "Worker": 1}, ["Worker"]),
        (JAXJOB, {"Worker": 2}, ["Worker"]),
        (XGBOOSTJOB, {"Worker": 2}, []),
        (MXJOB, {"Worker": 1}, ["Worker"]),
        (MXJOB, {"Worker": 2}, []),
        (MPIJOB, {"Worker": 2}, []),
    ],
)
def test_each_kind_knows_whose_end_is_the_jobs(
    kind: KubeflowKind, replicas: dict[str, int], expected: list[str]
):
    assert list(kubeflow_spec(kind, a_kubeflow_job(kind, replicas)).deciding) == expected


@pytest.mark.parametrize(
    ("kind", "replicas", "expected"),
    [
        (PYTORCHJOB, {"Master": 1, "Worker": 1}, ["job1-master-0"]),
        (PYTORCHJOB, {"Worker": 2}, ["job1-worker-0"]),
        (TFJOB, {"PS": 1, "Worker": 2}, ["job1-worker-0"]),
        (TFJOB, {"Chief": 1, "Worker": 2}, ["job1-chief-0"]),
        (MXJOB, {"Scheduler": 1, "Server": 1, "Worker": 1}, ["job1-server-0"]),
        (JAXJOB, {"Worker": 2}, ["job1-worker-0"]),
        (MPIJOB, {"Launcher": 1, "Worker": 1}, []),
    ],
)
def test_each_kind_gives_the_masters_role_to_its_own_pods(
    kind: KubeflowKind, replicas: dict[str, int], expected: list[str]
):
    outcome = plan(kind, a_kubeflow_job(kind, replicas), [], NOW)
    role = "training.kubeflow.org/job-role"
    leads = [each.wanted.name for each in outcome.create if role in each.wanted.labels]
    assert leads == expected


def test_absent_replicas_mean_one_but_none_for_mpi_workers():
    names: dict[str, list[str]] = {}
    for kind in (PYTORCHJOB, MPIJOB):
        job = a_kubeflow_job(kind, {kind.types[0]: 1, "Worker": 1})
        for replica in job["spec"][kind.replica_specs].values():
            del replica["replicas"]
        names[kind.name] = [each.wanted.name for each in plan(kind, job, [], NOW).create]
    assert names == {
        "PyTorchJob": ["job1-master-0", "job1-worker-0"],
        "MPIJob": ["job1-launcher"],
    }


def test_a_job_that_is_managed_by_somebody_else_is_left_alone():
    job = a_kubeflow_job(JAXJOB, {"Worker": 1}, managedBy="kueue.x-k8s.io/multikueue")
    outcome = plan(JAXJOB, job, [], NOW)
    assert (outcome.status, outcome.create) == ({}, [])


def test_an_operator_starts_and_ends_with_the_definition_of_its_kind():
    (definition,) = manifests.load("operators/tfjob.yaml")
    name = definition["metadata"]["name"]

    async def story(world: World) -> None:
        await world.client.delete(CRDS, "", name)
        await asyncio.sleep(60)
        await world.client.create(CRDS, definition)
        await asyncio.sleep(5)
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(5)
        assert (await world.states("job1"))[-1] == "Running"

    in_world(story)


def test_a_kind_whose_definition_is_not_ours_is_left_to_its_operator():
    async def story(world: World) -> None:
        patch = {"metadata": {"labels": {"simulator.kube-queue/operator": None}}}
        await world.client.patch(CRDS, "", "tfjobs.kubeflow.org", patch)
        await asyncio.sleep(5)
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await world.client.create(
            PYTORCHJOB.resource,
            CASES[0].job() | {"metadata": {"name": "job2", "namespace": "default"}},
        )
        await asyncio.sleep(10)
        assert "status" not in await world.get(TFJOBS, "job1")
        assert set(await world.phases()) == {"job2-master-0", "job2-worker-0", "job2-worker-1"}

    in_world(story)


def test_a_part_that_is_not_asked_for_is_not_played():
    async def story(world: World) -> None:
        await world.client.create(TFJOBS, a_tfjob("job1"))
        await asyncio.sleep(10)
        assert await world.client.list(PODS, "default") == []

    in_world(story, parts=EVERY_PART - {"tfjob"})
