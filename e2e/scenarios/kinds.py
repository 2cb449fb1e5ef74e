"""Every kind of job from its creation to its end: counted, held, released, followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from e2e.jobs import Object, admitted, job, phase, unit_of
from e2e.kinds import (
    JOB_KINDS,
    kubeflow_job,
    rayjob,
    spark_application,
    workflow,
)
from e2e.scenario import scenario
from e2e.steps import follow_units, see_admitted, see_exact, see_phase, see_used, see_waiting
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import JOBS, PODS, QUEUE_UNITS

MI: Final = 1024**2
BEFORE: Final = "before"


class Pods:
    """Every pod there was, by its name, as it was when it was last seen."""

    def __init__(self) -> None:
        self._pods: dict[str, Object] = {}

    def seen(self, _old: Object | None, new: Object | None) -> None:
        """Take one watch event."""
        if new is not None:
            self._pods[new["metadata"]["name"]] = new

    def of(self, name: str) -> list[Object]:
        """The pods of the job of this name."""
        return [pod for key, pod in self._pods.items() if key.partition("-")[0] == name]

    def asked(self, name: str) -> ResourceVector:
        """What their containers ask for together."""
        asked = EMPTY
        for pod in self.of(name):
            for container in pod["spec"]["containers"]:
                asked += ResourceVector.parse(container.get("resources", {}).get("requests") or {})
        return asked


async def play_whole_life(
    world: World,
    jobs: Mapping[str, tuple[Object, Mapping[str, int]]],
    *,
    held: Callable[[str], Sequence[str]] = lambda _name: (),
    pods_as_counted: bool = True,
) -> None:
    """Each of these jobs, with what it asks for, waits, runs, succeeds and gives its quota back.

    `held` names the cells that `kubectl get` prints while the job waits; none: it is not asked.
    Units are in millicores and bytes. A job's name has no hyphen.
    """
    ledger = await follow_units(world, tree("64", memory="128Gi"))
    pods = Pods()
    await world.follow(PODS, pods.seen)
    await world.apply(job(BEFORE, "64"))
    await see_admitted(world, BEFORE)
    for name, (manifest, asks) in jobs.items():
        await world.apply(manifest)
        await see_waiting(world, name)
        unit = unit_of(await world.objects(QUEUE_UNITS), name)
        assert unit is not None
        counted = dict(ResourceVector.parse(unit["spec"]["resource"]).items)
        assert counted == asks, f"{name}: {counted}"
        await _see_printed(world, manifest, held(name))
    assert not [name for name in jobs if pods.of(name)]
    await world.delete(JOBS, BEFORE)
    await see_admitted_or_over(world, *jobs)
    await see_phase(world, "Succeed", *jobs, within=60)
    for name, (_, asks) in jobs.items():
        if pods_as_counted:
            assert dict(pods.asked(name).items) == asks, f"{name}: {pods.asked(name)}"
        else:
            assert pods.of(name), f"{name} ran no pod"
    await see_used(world, "0")
    await see_exact(world, ledger)


async def see_admitted_or_over(world: World, *names: str) -> None:
    """These jobs got their quota; short ones may have ended by now."""
    await world.until(
        QUEUE_UNITS,
        lambda units: all(
            admitted(units, name) or phase(units, name) == "Succeed" for name in names
        ),
        f"{', '.join(names)} admitted",
    )


async def _see_printed(world: World, manifest: Object, cells: Sequence[str]) -> None:
    if not cells:
        return
    kind, name = manifest["kind"], manifest["metadata"]["name"]

    def states(seen: Sequence[Object]) -> list[str]:
        return [
            one["status"]["conditions"][-1]["type"]
            for one in seen
            if one["metadata"]["name"] == name and one.get("status", {}).get("conditions")
        ]

    await world.until(
        JOB_KINDS[kind], lambda seen: states(seen) == ["Queuing"], f"{name} says Queuing"
    )
    printed = await world.printed(kind.lower())
    assert printed == [list(cells)], printed


@scenario("Q4", "a Workflow asks for what its annotation says, as one job, and runs to its end")
async def argo_workflow(world: World) -> None:
    asks = {"cpu": 5000, "memory": 5 * 10**9}
    manifest = workflow("steps", "cpu: 5\nmemory: 5G\n")
    await play_whole_life(world, {"steps": (manifest, asks)}, pods_as_counted=False)


@scenario("Q5", "a RayJob asks for its head, its worker and KubeRay's submitter: 900m")
async def ray_job(world: World) -> None:
    asks = {"cpu": 900, "memory": 200 * MI}
    await play_whole_life(world, {"sample": (rayjob("sample"), asks)})


@scenario("Q6", "a SparkApplication asks for its driver and executor, with Spark's overheads")
async def spark(world: World) -> None:
    asks = {"cpu": 2000, "memory": 2 * (512 + 384) * MI}
    await play_whole_life(world, {"pi": (spark_application("pi"), asks)})


def of_kubeflow(pods: int, manifest: Object) -> tuple[Object, Mapping[str, int]]:
    """The job with what this many of its pods ask for."""
    return manifest, {"cpu": 500 * pods, "memory": 64 * MI * pods}


@scenario("Q7", "a PyTorchJob and an MPIJob wait as Queuing, run, and succeed")
async def pytorch_and_mpi(world: World) -> None:
    torch = kubeflow_job(
        "PyTorchJob", "torch", "pytorchReplicaSpecs", "pytorch", seconds=2, Master=1, Worker=2
    )
    mpi = kubeflow_job("MPIJob", "mpi", "mpiReplicaSpecs", "mpi", seconds=2, Launcher=1, Worker=2)
    await play_whole_life(
        world,
        {"torch": of_kubeflow(3, torch), "mpi": of_kubeflow(3, mpi)},
        held=lambda name: [name, "Queuing"],
    )


@scenario("Q7k", "an XGBoostJob, a PaddleJob, a JAXJob and an MXJob wait as Queuing and succeed")
async def others_of_kubeflow(world: World) -> None:
    jobs = {
        "xgb": of_kubeflow(
            3,
            kubeflow_job(
                "XGBoostJob", "xgb", "xgbReplicaSpecs", "xgboost", seconds=2, Master=1, Worker=2
            ),
        ),
        "paddle": of_kubeflow(
            2,
            kubeflow_job(
                "PaddleJob", "paddle", "paddleReplicaSpecs", "paddle", seconds=2, Worker=2
            ),
        ),
        "jax": of_kubeflow(
            2, kubeflow_job("JAXJob", "jax", "jaxReplicaSpecs", "jax", seconds=2, Worker=2)
        ),
        "mx": of_kubeflow(
            3,
            kubeflow_job(
                "MXJob",
                "mx",
                "mxReplicaSpecs",
                "mxnet",
                seconds=2,
                Scheduler=1,
                Server=1,
                Worker=1,
            ),
        ),
    }
    jobs["mx"][0]["spec"]["jobMode"] = "MXTrain"
    await play_whole_life(world, jobs, held=lambda name: [name, "Queuing"])
