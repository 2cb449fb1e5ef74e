"""Jobs of every kind that others start, or write to, without asking anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from e2e.jobs import Object, job, phase, pod_template
from e2e.kinds import JOB_KINDS, MAKERS, kubeflow_job, rayjob, spark_application, workflow
from e2e.scenario import scenario
from e2e.scenarios.kinds import Pods, see_admitted_or_over
from e2e.scenarios.kinds_documented import PAGES, WITHOUT_OPERATOR, Page, see_released
from e2e.steps import (
    follow_units,
    renew_unit,
    see_admitted,
    see_exact,
    see_phase,
    see_waiting,
)
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.types import JOBS, NODES, PODS, QUEUE_UNITS

CPU: Final = 64_000
LONG: Final = 600.0
BY_HAND: Final = ("JobSet", "TrainJob", "RayCluster", "LeaderWorkerSet")
"""Nobody runs these here; of the last not even the definition is there."""
WRITES: Final = 20
"""So often somebody else writes to each job after its unit was admitted."""


def _kubeflow(seconds: float) -> list[Object]:
    shapes = (
        ("TFJob", "tfReplicaSpecs", "tensorflow", {"Worker": 1}),
        ("PyTorchJob", "pytorchReplicaSpecs", "pytorch", {"Master": 1}),
        ("MPIJob", "mpiReplicaSpecs", "mpi", {"Launcher": 1, "Worker": 1}),
        ("XGBoostJob", "xgbReplicaSpecs", "xgboost", {"Master": 1}),
        ("PaddleJob", "paddleReplicaSpecs", "paddle", {"Worker": 1}),
        ("JAXJob", "jaxReplicaSpecs", "jax", {"Worker": 1}),
        ("MXJob", "mxReplicaSpecs", "mxnet", {"Scheduler": 1, "Server": 1, "Worker": 1}),
    )
    made = [
        kubeflow_job(kind, kind.lower(), replicas, container, seconds=seconds, **types)
        for kind, replicas, container, types in shapes
    ]
    made[-1]["spec"]["jobMode"] = "MXTrain"
    return made


def _started(manifest: Object) -> Object:
    """The job as one creates it who knows of no queue."""
    manifest["metadata"].get("annotations", {}).pop(SUSPEND_ANNOTATION, None)
    manifest["spec"].pop("suspend", None)
    return manifest


@scenario(
    "Q25k",
    "pods that jobs of any kind, Deployments and StatefulSets run without a queue count as used",
    needs=frozenset({"real-operator"}),
)
async def started_without_a_queue(world: World) -> None:
    ledger = await follow_units(world, tree("64"))
    pods = Pods()
    await world.follow(PODS, pods.seen)
    # Where there are no units, no pod can be one's.
    await world.apply(job("ours", "1"))
    await see_admitted(world, "ours")
    started = [
        *_kubeflow(LONG)[:-1],
        job("job", "500m"),
        rayjob("rayjob", entrypoint=f"sleep {LONG:g}"),
        spark_application("spark", seconds=LONG),
    ]
    await world.apply(*map(_started, started))
    for resource in MAKERS.values():
        await world.client.create(resource, _workload(resource.kind), "default")
    for kind in BY_HAND:
        await _pod_below(world, kind)
    names = [
        *(one["metadata"]["name"] for one in started),
        *map(str.lower, MAKERS),
        *map(str.lower, BY_HAND),
    ]
    twos = {"mpijob": 2, "rayjob": 3, "spark": 2}

    def all_run(seen: Sequence[Object]) -> bool:
        running = [one for one in seen if one.get("status", {}).get("phase") == "Running"]
        starts = [one["metadata"]["name"].partition("-")[0] for one in running]
        return all(starts.count(name) == twos.get(name, 1) for name in names)

    await world.until(PODS, all_run, "all that was started runs", within=60)
    taken = sum(pods.asked(name)["cpu"] for name in ("ours", *names))
    await world.apply(job("toolarge", f"{CPU - taken + 1}m"))
    await see_waiting(world, "toolarge")
    await world.delete(JOBS, "toolarge")
    await world.apply(job("fits", f"{CPU - taken}m"))
    await see_admitted(world, "fits")
    assert {phase(await world.objects(QUEUE_UNITS), name) for name in names} == {"none"}
    ledger.check()


def _workload(kind: str) -> Object:
    name = kind.lower()
    template = pod_template({"cpu": "500m", "memory": "16Mi"}, LONG)
    del template["spec"]["restartPolicy"]
    template["metadata"] = {"labels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            **({"serviceName": name} if kind == "StatefulSet" else {}),
        },
    }


async def _pod_below(world: World, kind: str) -> None:
    """A pod on some node that an object of this kind controls; the object is there if it can be."""
    name = kind.lower()
    owner = {"kind": kind, "name": name, "controller": True}
    resource = JOB_KINDS.get(kind)
    if resource is None:
        owner |= {"apiVersion": "leaderworkerset.x-k8s.io/v1", "uid": "no-such-definition"}
    else:
        bare = {"apiVersion": resource.api_version, "kind": kind, "metadata": {"name": name}}
        made = await world.client.create(resource, {**bare, "spec": {}}, "default")
        owner |= {"apiVersion": resource.api_version, "uid": made["metadata"]["uid"]}
    template = pod_template({"cpu": "500m", "memory": "16Mi"}, LONG)
    node = (await world.objects(NODES))[-1]["metadata"]["name"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {**template["spec"], "nodeName": node},
    }
    await world.client.create(PODS, pod, "default")


@scenario("Q16k", "jobs of any kind that others keep writing to are released all the same")
async def written_to_by_others(world: World) -> None:
    ledger = await follow_units(world, tree("64", memory="128Gi"))
    await world.apply(job("before", "64"))
    await see_admitted(world, "before")
    jobs = [
        *_kubeflow(1),
        job("job", "500m", seconds=1),
        rayjob("rayjob", entrypoint="sleep 1"),
        spark_application("spark", seconds=1),
        workflow("workflow", "cpu: 1\n"),
    ]
    endless = [_documented(kind) for kind in sorted(WITHOUT_OPERATOR)]
    await world.apply(*jobs, *endless)
    names, others = ([one["metadata"]["name"] for one in each] for each in (jobs, endless))
    for name in (*names, *others):
        await see_waiting(world, name)
    await world.delete(JOBS, "before")
    await asyncio.gather(*(_keep_writing(world, one) for one in (*jobs, *endless)))
    await see_admitted_or_over(world, *others)
    for one in endless:
        await see_released(world, one["kind"], "default")
    await see_phase(world, "Succeed", *names, within=60)
    await see_exact(world, ledger)


@scenario(
    "Q17k", "a unit deleted by hand comes back for a running job of any kind, and is charged again"
)
async def units_deleted(world: World) -> None:
    ledger = await follow_units(world, tree("64", memory="128Gi"))
    jobs = [
        *_kubeflow(LONG),
        job("job", "500m", seconds=LONG),
        rayjob("rayjob", entrypoint=f"sleep {LONG:g}"),
        spark_application("spark", seconds=LONG),
        workflow("workflow", "cpu: 1\n", seconds=LONG),
    ]
    endless = [_documented(kind) for kind in sorted(WITHOUT_OPERATOR)]
    await world.apply(*jobs, *endless)
    names, others = ([one["metadata"]["name"] for one in each] for each in (jobs, endless))
    await see_phase(world, "Running", *names, within=60)
    for one in endless:
        await see_released(world, one["kind"], "default")
    await asyncio.gather(*(renew_unit(world, name) for name in (*names, *others)))
    await see_phase(world, "Running", *names)
    await see_admitted(world, *others)
    await see_exact(world, ledger)


def _documented(kind: str) -> Object:
    """The example of the kind's page, under the kind's name."""
    manifest = Page.read(PAGES / f"{kind.lower()}.md").manifest
    return {**manifest, "metadata": {"name": kind.lower()}}


async def _keep_writing(world: World, manifest: Object) -> None:
    """Somebody writes to the job until its unit is admitted, and a little longer."""
    resource, name = JOB_KINDS[manifest["kind"]], manifest["metadata"]["name"]
    admission = asyncio.create_task(see_admitted_or_over(world, name))
    count = left = 0
    while not admission.done() or left < WRITES:
        count += 1
        left += admission.done()
        change = {"metadata": {"annotations": {"kube-queue.example/count": str(count)}}}
        await world.patch(resource, name, change)
    await admission
