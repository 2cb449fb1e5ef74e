"""The policies that hold jobs at their creation, kind by kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from e2e.scenario import scenario
from e2e.world import Object, World
from kube_queue import manifests
from kube_queue.api.errors import ApiError, NotFound
from kube_queue.api.types import CRDS, ResourceType

NEEDS = frozenset({"mutating-admission"})
ASKS = {"scheduling.x-k8s.io/suspend": "true"}
REPLICAS = {
    "TFJob": ("tfReplicaSpecs", "Worker", "tensorflow"),
    "PyTorchJob": ("pytorchReplicaSpecs", "Master", "pytorch"),
    "XGBoostJob": ("xgbReplicaSpecs", "Master", "xgboost"),
    "PaddleJob": ("paddleReplicaSpecs", "Worker", "paddle"),
    "JAXJob": ("jaxReplicaSpecs", "Worker", "jax"),
    "MPIJob": ("mpiReplicaSpecs", "Launcher", "mpi"),
    "MXJob": ("mxReplicaSpecs", "Worker", "mxnet"),
}
"""By kind: where its replicas stand, one type of them, and its container's name."""
DEMANDED = {"MXJob": {"jobMode": "MXTrain"}}
"""What the definitions of some kinds demand besides."""
RAYJOBS = ResourceType("ray.io", "v1", "rayjobs", "RayJob")
SPARK = ResourceType("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication")
MPIJOBS_V2BETA1 = ResourceType("kubeflow.org", "v2beta1", "mpijobs", "MPIJob")


def kubeflow(kind: str, version: str = "v1") -> Object:
    """A job that says nothing of a runPolicy."""
    field, replica, container = REPLICAS[kind]
    template = {"spec": {"containers": [{"name": container, "image": "busybox"}]}}
    return {
        "apiVersion": f"kubeflow.org/{version}",
        "kind": kind,
        "spec": {
            **DEMANDED.get(kind, {}),
            field: {replica: {"replicas": 1, "template": template}},
        },
    }


async def made(world: World, resource: ResourceType, job: Object, **metadata: Any) -> Object:
    """What becomes of the job at its creation; nothing is created."""
    metadata = {"name": "it", "namespace": "default", **metadata}
    answer = await world.client.raw(
        "POST",
        resource.path("default"),
        query=[("dryRun", "All")],
        body=orjson.dumps({**job, "metadata": metadata}),
    )
    found: Object = orjson.loads(answer.body)
    return found


async def spec_of(world: World, resource: ResourceType, job: Object, **metadata: Any) -> Object:
    """The spec it gets at its creation."""
    spec: Object = (await made(world, resource, job, **metadata))["spec"]
    return spec


async def in_force(
    world: World, resource: ResourceType, job: Object, wanted: Mapping[str, Any], **metadata: Any
) -> None:
    """The policy for this kind has been noticed: its CRD is younger than the policy."""
    found: Object = {}
    for _ in range(300):
        try:
            found = await spec_of(world, resource, job, **metadata)
        except ApiError:
            # Not served yet.
            await asyncio.sleep(0.1)
            continue
        if wanted.items() <= found.items():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{resource.kind} is never given {wanted}: {found}")


@scenario("Q1r", "an annotated job of each Kubeflow kind is held at its creation", needs=NEEDS)
async def kubeflow_kinds(world: World) -> None:
    for kind in REPLICAS:
        resource = ResourceType("kubeflow.org", "v1", f"{kind.lower()}s", kind)
        await _held_when_it_asks(world, resource, kubeflow(kind))
    # As the MPI operator serves it; the definition that is there serves v1 alone.
    definition = await world.client.get(CRDS, "", "mpijobs.kubeflow.org")
    (first,) = definition["spec"]["versions"]
    second = {**first, "name": "v2beta1", "storage": False}
    versions = {"spec": {"versions": [first, second]}}
    await world.client.patch(CRDS, "", "mpijobs.kubeflow.org", versions)
    job = kubeflow("MPIJob", "v2beta1")
    held = {"runPolicy": {"suspend": True}}
    await in_force(world, MPIJOBS_V2BETA1, job, held, annotations=ASKS)
    await _held_when_it_asks(world, MPIJOBS_V2BETA1, job)


async def _held_when_it_asks(world: World, resource: ResourceType, job: Object) -> None:
    def suspend(spec: Object) -> object:
        return spec.get("runPolicy", {}).get("suspend")

    for _ in range(2):
        asked = await spec_of(world, resource, job, annotations=ASKS)
        assert suspend(asked) is True, (resource, asked)
        job = {**job, "spec": {**job["spec"], "runPolicy": {"cleanPodPolicy": "All"}}}
    assert asked["runPolicy"]["cleanPodPolicy"] == "All", asked
    off = {"scheduling.x-k8s.io/suspend": "false"}
    theirs = {"kueue.x-k8s.io/queue-name": "theirs"}
    left = [
        await spec_of(world, resource, job),
        await spec_of(world, resource, job, annotations=off),
        await spec_of(world, resource, job, annotations=ASKS, labels=theirs),
    ]
    assert not any(map(suspend, left)), (resource, left)


@scenario(
    "Q1s", "an annotated SparkApplication is held where its definition lets it be", needs=NEEDS
)
async def spark_applications(world: World) -> None:
    (definition,) = _ours("sparkapplications")
    old = _without_suspend(definition)
    job = {"apiVersion": SPARK.api_version, "kind": SPARK.kind, "spec": {"type": "Scala"}}
    # Not served: nobody misses it. Served without the field: it is dropped, and nothing is refused.
    await _undefine(world, "sparkapplications")
    await world.client.create(CRDS, old)
    await in_force(world, SPARK, job, {"type": "Scala"}, annotations=ASKS)
    for _ in range(20):
        assert (await spec_of(world, SPARK, job, annotations=ASKS)).keys() <= {"type", "suspend"}
        await asyncio.sleep(0.1)
    named = {**job, "metadata": {"name": "stored", "annotations": ASKS}}
    await world.client.create(SPARK, named, "default")
    stored = await world.client.get(SPARK, "default", "stored")
    assert stored["spec"] == {"type": "Scala"}, stored
    name = "sparkapplications.sparkoperator.k8s.io"
    newer = [{"op": "replace", "path": "/spec", "value": definition["spec"]}]
    await world.client.patch(CRDS, "", name, newer, kind="json")
    await in_force(world, SPARK, job, {"type": "Scala", "suspend": True}, annotations=ASKS)
    assert "suspend" not in await spec_of(world, SPARK, job)


@scenario("Q1t", "a suspended RayJob gets what KubeRay demands of it", needs=NEEDS)
async def ray_jobs(world: World) -> None:
    await _undefine(world, "rayjobs")
    (definition,) = _ours("rayjobs")
    await world.client.create(CRDS, definition)
    demanded = {"suspend": True, "shutdownAfterJobFinishes": True}
    cluster: Object = {"headGroupSpec": {}}
    for version in ("v1", "v1alpha1"):
        resource = ResourceType("ray.io", version, "rayjobs", "RayJob")
        whole = {"apiVersion": resource.api_version, "kind": "RayJob"}
        free = {**whole, "spec": {"rayClusterSpec": cluster}}
        held = {**whole, "spec": {"rayClusterSpec": cluster, "suspend": True}}
        await in_force(world, resource, held, demanded)
        assert (await spec_of(world, resource, held))["rayClusterSpec"] == cluster
        # Only those that are suspended and may be are touched.
        theirs = await spec_of(
            world, resource, held, labels={"kueue.x-k8s.io/queue-name": "theirs"}
        )
        chosen = {**whole, "spec": {"suspend": True, "clusterSelector": {"a": "b"}}}
        left = [await spec_of(world, resource, free), theirs]
        left.append(await spec_of(world, resource, chosen))
        assert not any("shutdownAfterJobFinishes" in spec for spec in left), left
    whole = {"apiVersion": RAYJOBS.api_version, "kind": "RayJob"}
    free = {**whole, "metadata": {"name": "free"}, "spec": {"rayClusterSpec": cluster}}
    await world.client.create(RAYJOBS, free, "default")
    await world.client.patch(RAYJOBS, "default", "free", {"spec": {"suspend": True}})
    stored = (await world.client.get(RAYJOBS, "default", "free"))["spec"]
    assert demanded.items() <= stored.items(), stored


async def _undefine(world: World, plural: str) -> None:
    """The kind, which the simulator may play here, is not served."""
    name = f"{plural}.{_ours(plural)[0]['spec']['group']}"
    with suppress(NotFound):
        await world.client.delete(CRDS, "", name)
        while await world.client.get(CRDS, "", name):
            await asyncio.sleep(0.1)


def _ours(plural: str) -> list[Object]:
    return [each for each in manifests.operator_crds() if each["spec"]["names"]["plural"] == plural]


def _without_suspend(definition: Object) -> Object:
    """The definition as an operator serves it that has never heard of the field."""
    (version,) = definition["spec"]["versions"]
    properties = {"type": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties}},
    }
    old = {**version, "schema": {"openAPIV3Schema": schema}}
    return {**definition, "spec": {**definition["spec"], "versions": [old]}}
