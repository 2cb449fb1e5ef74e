"""Jobs that are somebody else's, and jobs that say what makes no sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from e2e.jobs import Object, job, phase, tfjob, unit_of
from e2e.kinds import RAYJOBS, WORKFLOWS, rayjob, workflow
from e2e.scenario import scenario
from e2e.steps import follow_units, see_admitted, see_exact, see_phase, see_waiting
from e2e.trees import namespace, tree
from e2e.world import World
from kube_queue.api.names import MIN_RESOURCES_ANNOTATION
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import EVENTS, JOBS, NAMESPACES, PODS, QUEUE_UNITS, TFJOBS

KUEUES: Final = {"kueue.x-k8s.io/queue-name": "theirs"}
OURS: Final = ("controller", "job-extensions")
PRIORITY: Final = 1000


@scenario(
    "Q21k", "what has the label of Kueue's queues is left alone, a TFJob as well, until it is gone"
)
async def of_another_queue(world: World) -> None:
    ledger = await follow_units(world, tree("4"))
    theirs = job("theirs", "1", seconds=1)
    theirs["metadata"]["labels"] = KUEUES
    training = tfjob("training", seconds=1)
    training["metadata"]["labels"] = KUEUES
    training["spec"]["runPolicy"]["suspend"] = True
    made = await world.apply(theirs, training)
    # Whoever comes later is queued and runs; by then the others have been looked at.
    await world.apply(job("ours", "4", seconds=1), tfjob("also", seconds=1))
    await see_phase(world, "Succeed", "ours", "also")
    left = {one["spec"]["consumerRef"]["name"] for one in await world.objects(QUEUE_UNITS)}
    assert left == {"ours", "also"}, left
    for resource, before in zip((JOBS, TFJOBS), made, strict=True):
        now = _named(await world.objects(resource), before["metadata"]["name"])
        assert now["spec"] == before["spec"], now["spec"]
        assert now["metadata"].get("annotations") == before["metadata"].get("annotations"), now
    assert "theirs" not in {_owner(pod) for pod in await world.objects(PODS)}
    # Without the label it is ours.
    await world.patch(JOBS, "theirs", {"metadata": {"labels": dict.fromkeys(KUEUES)}})
    await see_phase(world, "Succeed", "theirs")
    await see_exact(world, ledger)


@scenario(
    "Q21n",
    "jobs, and jobs of namespaces, that the selectors leave out are left alone until they do not",
    settings={"jobs": {"namespace_selector": "queued=yes", "job_selector": "tier!=free"}},
)
async def not_selected(world: World) -> None:
    chosen, spared = (namespace(name) for name in ("chosen", "spared"))
    chosen["metadata"]["labels"] = {"queued": "yes"}
    await world.apply(chosen, spared)
    leaves = (("chosen", "4"), ("spared", "4"))
    ledger = await follow_units(world, tree("4", *leaves))
    free = job("free", "1", namespace="chosen", seconds=1)
    free["metadata"]["labels"] = {"tier": "free"}
    await world.apply(free, job("elsewhere", "1", namespace="spared", seconds=1))
    await world.apply(job("ours", "4", namespace="chosen", seconds=1))
    await see_phase(world, "Succeed", "ours")
    units = await world.objects(QUEUE_UNITS)
    assert {phase(units, name) for name in ("free", "elsewhere")} == {"none"}
    left = [one for one in await world.objects(JOBS) if one["metadata"]["name"] != "ours"]
    assert all(one["spec"]["suspend"] for one in left)
    label = {"metadata": {"labels": {"queued": "yes"}}}
    await world.patch(NAMESPACES, "spared", label, namespace="")
    await world.patch(JOBS, "free", {"metadata": {"labels": {"tier": None}}}, namespace="chosen")
    await see_phase(world, "Succeed", "free", "elsewhere")
    await see_exact(world, ledger)


@scenario("Q22", "what makes no sense in a job is told by name, is never free, and stops nobody")
async def nonsense(world: World) -> None:
    ledger = await follow_units(world, tree("4"))
    processes = [world.cluster.pid(part) for part in OURS]
    await world.apply(job("before", "4"))
    await see_admitted(world, "before")
    await world.apply(
        workflow("garbled", "cpu: ["),
        workflow("five", "cpu: five\n"),
        rayjob("lots", cpu="lots"),
        rayjob("negative", cpu="-1"),
        rayjob("absurd", cpu="1e30"),
        rayjob("huge", cpu="1M"),
        _without_replicas(),
        _of_class(job("classed", "1", seconds=1), "precious"),
        job("plain", "1", seconds=1),
    )
    nonsense = {
        "garbled": ("InvalidMinResources", MIN_RESOURCES_ANNOTATION),
        "five": ("InvalidMinResources", "cpu"),
        "lots": ("InvalidRequest", "cpu"),
        "negative": ("InvalidRequest", "cpu"),
        "absurd": ("InvalidRequest", "cpu"),
        "huge": ("ExceedsMaxQuota", "cpu"),
    }
    await _see_refused(world, nonsense)
    await _see_told(world, "garbled", "InvalidMinResources")
    await _see_told(world, "lots", "InvalidRequest")
    await _see_told(world, "classed", "MissingPriorityClass")
    await see_waiting(world, "few")
    few = unit_of(await world.objects(QUEUE_UNITS), "few") or {}
    assert ResourceVector.parse(few["spec"]["resource"])["cpu"] == 2000, few["spec"]
    await world.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "precious"},
            "value": PRIORITY,
        }
    )
    await world.until(
        QUEUE_UNITS,
        lambda units: (unit_of(units, "classed") or {})["spec"].get("priority") == PRIORITY,
        "the class that is there now counts",
    )
    await world.delete(JOBS, "before")
    await see_phase(world, "Succeed", "plain", "classed", "few", within=60)
    await _see_refused(world, nonsense)
    for resource in (WORKFLOWS, RAYJOBS):
        assert all(one["spec"]["suspend"] for one in await world.objects(resource))
    assert not {_owner(pod) for pod in await world.objects(PODS)} & nonsense.keys()
    # What is mended goes on as if it had never been wrong.
    mended = {"metadata": {"annotations": {MIN_RESOURCES_ANNOTATION: "cpu: 1\n"}}}
    await world.patch(WORKFLOWS, "garbled", mended)
    await see_phase(world, "Succeed", "garbled", within=60)
    assert [world.cluster.pid(part) for part in OURS] == processes
    await see_exact(world, ledger)


def _without_replicas() -> Object:
    """A TFJob that says of neither replica type how many pods it has."""
    manifest = tfjob("few", seconds=1)
    for replicas in manifest["spec"]["tfReplicaSpecs"].values():
        del replicas["replicas"]
    return manifest


def _of_class(manifest: Object, name: str) -> Object:
    manifest["spec"]["template"]["spec"]["priorityClassName"] = name
    return manifest


async def _see_refused(world: World, told: Mapping[str, tuple[str, str]]) -> None:
    """Each of these units waits for this reason, and its message has this word."""
    for name, (reason, word) in told.items():
        message = await see_waiting(world, name, reason)
        assert word in message, f"{name}: {message}"


async def _see_told(world: World, name: str, reason: str) -> None:
    """An event of this reason on the job itself says what is wrong."""

    def told(events: Sequence[Object]) -> bool:
        return any(
            one["involvedObject"]["name"] == name
            and one["involvedObject"]["kind"] != "QueueUnit"
            and one["reason"] == reason
            for one in events
        )

    await world.until(EVENTS, told, f"an event on {name}: {reason}")


def _named(objects: Sequence[Object], name: str) -> Object:
    return next(one for one in objects if one["metadata"]["name"] == name)


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ({"name": ""},)
    return str(owners[0]["name"])
