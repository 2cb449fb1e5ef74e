"""Pods that are queued by themselves, and those that Deployments and StatefulSets make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml

from e2e.jobs import Object, gated, job, phase, pod_template, unit_of
from e2e.kinds import MAKERS
from e2e.scenario import scenario
from e2e.scenarios.admission_policy_kinds import ASKS, in_force, made
from e2e.scenarios.kinds_documented import PAGES
from e2e.steps import follow_units, see_admitted, see_exact, see_phase, see_used, see_waiting
from e2e.trees import borrowing, namespace, tree
from e2e.world import World
from kube_queue.api.names import PRIORITY_ANNOTATION, SCHEDULING_GATE
from kube_queue.api.types import JOBS, PODS, QUEUE_UNITS, ResourceType

OURS: Final[Object] = {"name": SCHEDULING_GATE}
OTHER: Final[Object] = {"name": "kube-queue.example/other"}
LONG: Final = 600.0
DEPLOYMENTS, STATEFULSETS = MAKERS["Deployment"], MAKERS["StatefulSet"]
REAL: Final = frozenset({"real-operator"})


def pod(
    name: str, cpu: str, *gates: Object, seconds: float = LONG, priority: int | None = None
) -> Object:
    """A pod with these gates, or with ours."""
    spec = pod_template({"cpu": cpu, "memory": "16Mi"}, seconds)["spec"]
    annotations = {} if priority is None else {PRIORITY_ANNOTATION: str(priority)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {**spec, "schedulingGates": list(gates or (OURS,))},
    }


async def the_pod(world: World, name: str) -> Object:
    """The pod of this name."""
    return await world.client.get(PODS, "default", name)


@scenario(
    "Q26",
    "a gated pod waits in its queue, loses our gate alone, runs, and gives quota back",
    environment={"StrictConsistency": "true"},
)
async def plain_pods(world: World) -> None:
    ledger = await follow_units(world, tree("200m"))
    await world.apply(job("before", "200m"))
    await see_admitted(world, "before")
    await world.apply(
        pod("low", "200m", seconds=1),
        pod("high", "100m", OTHER, OURS, priority=9),
        pod("beside", "100m", seconds=1, priority=5),
    )
    for name in ("low", "high", "beside"):
        await see_waiting(world, name)
        one = await the_pod(world, name)
        assert gated(one) and not one["spec"].get("nodeName"), one["spec"]
    # Pods that wait take nothing of their quota, and those of a unit that holds some no more.
    await see_used(world, "200m")
    await world.delete(JOBS, "before")
    await see_admitted(world, "high")
    await see_phase(world, "Succeed", "beside")
    await world.until(
        PODS, lambda pods: not any(map(gated, _named(pods, "high"))), "our gate of high is gone"
    )
    assert (await the_pod(world, "high"))["spec"]["schedulingGates"] == [OTHER]
    await see_waiting(world, "low")
    await world.patch(PODS, "high", {"spec": {"schedulingGates": None}})
    await see_phase(world, "Running", "high")
    await see_used(world, "100m")
    # A pod cannot be held again, so nobody may ask for that.
    (unit,) = [unit_of(await world.objects(QUEUE_UNITS), "high")]
    assert unit is not None
    assert unit["metadata"]["annotations"]["kube-queue/evictable"] == "false", unit["metadata"]
    await world.delete(PODS, "high")
    await see_phase(world, "Succeed", "low")
    await see_exact(world, ledger)


@scenario("Q26h", "a pod whose gate a person takes away is charged all the same")
async def released_by_hand(world: World) -> None:
    ledger = await follow_units(world, tree("200m"))
    await world.apply(job("before", "200m"))
    await see_admitted(world, "before")
    await world.apply(pod("mine", "100m"))
    await see_waiting(world, "mine")
    await world.patch(PODS, "mine", {"spec": {"schedulingGates": None}})
    await see_phase(world, "Running", "mine")
    await see_used(world, "300m")
    await world.apply(pod("next", "100m"))
    await see_waiting(world, "next")
    await world.delete(JOBS, "before")
    await see_phase(world, "Running", "next")
    await see_exact(world, ledger)


@scenario("Q26g", "the pods of a group wait until all are there, and all start or none")
async def pod_groups(world: World) -> None:
    ledger = await follow_units(world, tree("300m"))
    await world.apply(job("before", "100m"))
    await see_admitted(world, "before")
    text = (PAGES / "podgroup.md").read_text(encoding="utf-8")
    driver, worker = yaml.safe_load_all(text.split("```yaml\n", 1)[1].split("```", 1)[0])
    for one, cpu in ((driver, "100m"), (worker, "200m")):
        (container,) = one["spec"]["containers"]
        container["resources"]["requests"] = {"cpu": cpu, "memory": "16Mi"}
    await world.apply(driver)
    message = await see_waiting(world, "team", "InvalidRequest")
    assert "not all of its 2 pods are there yet" in message, message
    await world.apply(worker)
    # There is room for the worker alone, which is of no use.
    await see_waiting(world, "team")
    pods = [one for one in await world.objects(PODS) if one["metadata"]["name"].startswith("team")]
    assert [gated(one) for one in pods] == [True, True], pods
    await see_used(world, "100m")
    await world.delete(JOBS, "before")
    await see_phase(world, "Running", "team")
    await see_used(world, "300m")
    await see_phase(world, "Succeed", "team", within=60)
    await see_exact(world, ledger)


def _documented(kind: str, name: str, replicas: int, cpu: str) -> Object:
    """The example of the kind's page, of this name, size and request."""
    text = (PAGES / f"{kind.lower()}.md").read_text(encoding="utf-8")
    manifest: Object = yaml.safe_load(text.split("```yaml\n", 1)[1].split("```", 1)[0])
    manifest["metadata"]["name"] = name
    manifest["spec"]["replicas"] = replicas
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["resources"]["requests"] = {"cpu": cpu, "memory": "16Mi"}
    return manifest


async def _create(world: World, manifest: Object, where: str = "default") -> None:
    await world.client.create(MAKERS[manifest["kind"]], manifest, where)


async def _scale(world: World, resource: ResourceType, name: str, replicas: int) -> None:
    await world.patch(resource, name, {"spec": {"replicas": replicas}})


def _named(objects: Sequence[Object], name: str) -> list[Object]:
    """Those whose names begin with this one, and do not leave."""
    return [
        one
        for one in objects
        if one["metadata"]["name"].startswith(name) and "deletionTimestamp" not in one["metadata"]
    ]


async def _see_pods(world: World, name: str, running: int, waiting: int) -> None:
    """So many pods of this maker run, and so many wait behind our gate."""

    def seen(pods: Sequence[Object]) -> bool:
        ours = _named(pods, name)
        run = [one for one in ours if one.get("status", {}).get("phase") == "Running"]
        return (len(run), sum(map(gated, ours)), len(ours)) == (
            running,
            waiting,
            running + waiting,
        )

    await world.until(PODS, seen, f"{running} pods of {name} run, {waiting} wait", within=60)


@scenario(
    "Q26d",
    "the pods of a Deployment are queued one by one, through scaling, an update and a reclaim",
    within=180,
)
async def deployments(world: World) -> None:
    await world.apply(namespace("team"))
    ledger = await follow_units(world, borrowing("400m", ("default", "200m"), ("team", "200m")))
    await _create(world, _documented("Deployment", "web", 6, "100m"))
    await _see_pods(world, "web-", 4, 2)
    await _scale(world, DEPLOYMENTS, "web", 3)
    await _see_pods(world, "web-", 3, 0)
    await see_used(world, "300m")
    # One more comes before an old one goes, as the Deployment's strategy says.
    change = {"metadata": {"annotations": {"kube-queue.example/version": "2"}}}
    before = {one["metadata"]["uid"] for one in _named(await world.objects(PODS), "web-")}
    await world.patch(DEPLOYMENTS, "web", {"spec": {"template": change}})
    await world.until(
        PODS,
        lambda pods: not {one["metadata"]["uid"] for one in pods} & before,
        "every pod is a new one",
        within=60,
    )
    await _see_pods(world, "web-", 3, 0)
    await see_exact(world, ledger)
    # The other team takes back what web borrows: its pod goes, and the next one waits.
    await world.apply(job("back", "200m", namespace="team"))
    await see_admitted(world, "back")
    await _see_pods(world, "web-", 2, 1)
    await world.delete(JOBS, "back", "team")
    await _see_pods(world, "web-", 3, 0)
    await world.delete(DEPLOYMENTS, "web")
    await see_used(world, "0")
    await world.until(QUEUE_UNITS, lambda units: not units, "no unit is left")
    await see_exact(world, ledger)


@scenario(
    "Q26s",
    "the pods of a StatefulSet are queued in their order, and its update needs no quota besides",
    needs=REAL,
    within=180,
)
async def statefulsets(world: World) -> None:
    ledger = await follow_units(world, tree("200m"))
    await _create(world, _documented("StatefulSet", "db", 3, "100m"))
    await see_phase(world, "Running", "db-0", "db-1")
    await see_waiting(world, "db-2")
    await _scale(world, STATEFULSETS, "db", 2)
    await world.until(
        QUEUE_UNITS, lambda units: phase(units, "db-2") == "none", "the unit of db-2 is gone"
    )
    before = {one["metadata"]["uid"] for one in _named(await world.objects(PODS), "db-")}
    change = {"metadata": {"annotations": {"kube-queue.example/version": "2"}}}
    await world.patch(STATEFULSETS, "db", {"spec": {"template": change}})
    await world.until(
        PODS,
        lambda pods: not {one["metadata"]["uid"] for one in pods} & before,
        "both pods are new ones",
        within=60,
    )
    await see_phase(world, "Running", "db-0", "db-1", within=60)
    await see_used(world, "200m")
    await see_exact(world, ledger)


@scenario(
    "Q26p",
    "a pod that asks to be queued gets its gate at creation, and no pod of a job does",
    needs=frozenset({"mutating-admission"}),
)
async def gated_at_creation(world: World) -> None:
    bare = pod("it", "1")
    del bare["spec"]["schedulingGates"]
    other = pod("it", "1", OTHER)
    on_node = {**bare, "spec": {**bare["spec"], "nodeName": "somewhere"}}
    await in_force(world, PODS, bare, {"schedulingGates": [OURS]}, annotations=ASKS)

    async def gates(one: Object, **metadata: object) -> list[str]:
        spec = (await made(world, PODS, one, **metadata))["spec"]
        return [gate["name"] for gate in spec.get("schedulingGates") or ()]

    def owned(kind: str, api_version: str) -> Object:
        owner = {"apiVersion": api_version, "kind": kind, "name": "maker", "uid": "uid-maker"}
        return {"annotations": ASKS, "ownerReferences": [{**owner, "controller": True}]}

    assert await gates(other, annotations=ASKS) == [OTHER["name"], SCHEDULING_GATE]
    assert await gates(pod("it", "1"), annotations=ASKS) == [SCHEDULING_GATE]
    for kind in ("ReplicaSet", "StatefulSet"):
        assert await gates(bare, **owned(kind, "apps/v1")) == [SCHEDULING_GATE], kind
    left = [
        await gates(bare),
        await gates(bare, annotations={"scheduling.x-k8s.io/suspend": "false"}),
        await gates(bare, annotations=ASKS, labels={"kueue.x-k8s.io/queue-name": "theirs"}),
        await gates(bare, annotations=ASKS, labels={"workload.codeflare.dev/appwrapper": "a"}),
        await gates(on_node, annotations=ASKS),
        await gates(bare, **owned("Job", "batch/v1")),
        await gates(bare, **owned("DaemonSet", "apps/v1")),
    ]
    assert not any(left), left
    await world.apply(tree("200m"))
    stored = {**bare, "metadata": {"name": "stored", "annotations": ASKS}}
    stored["spec"] = pod("stored", "100m", seconds=1)["spec"] | {"schedulingGates": []}
    await world.apply(stored)
    await see_phase(world, "Succeed", "stored")
