"""The policy that holds annotated jobs at their creation."""

from __future__ import annotations

from e2e.jobs import phase, tfjob
from e2e.scenario import scenario
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.types import PODS, QUEUE_UNITS, TFJOBS

NEEDS = frozenset({"mutating-admission"})


@scenario("Q1p", "an annotated TFJob is held at its creation, by whatever operator", needs=NEEDS)
async def annotated_job(world: World) -> None:
    held = tfjob("held", seconds=1)
    bare = tfjob("bare", seconds=1)
    del bare["spec"]["runPolicy"]
    free = tfjob("free", seconds=1)
    free["metadata"]["annotations"] = {}
    theirs = tfjob("theirs", seconds=1)
    theirs["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "theirs"}
    # Without a quota tree nothing is admitted: whoever runs was not held.
    made = await world.apply(held, bare, free, theirs)
    suspended = {
        one["metadata"]["name"]: one["spec"].get("runPolicy", {}).get("suspend") for one in made
    }
    assert suspended["held"] is True and suspended["bare"] is True, suspended
    assert not suspended["free"] and not suspended["theirs"], suspended
    assert made[0]["spec"]["runPolicy"]["cleanPodPolicy"] == "Running", made[0]["spec"]
    await world.until(
        PODS,
        lambda pods: any(one["metadata"]["name"].startswith("free-") for one in pods),
        "the job that asked for nothing runs",
    )
    names = {one["metadata"]["name"].partition("-")[0] for one in await world.objects(PODS)}
    assert not names & {"held", "bare"}, names
    await world.apply(tree("8"))
    await world.until(
        QUEUE_UNITS,
        lambda units: phase(units, "held") == phase(units, "bare") == "Succeed",
        "both ran once there was quota",
    )
    kept = {one["metadata"]["name"]: one for one in await world.objects(TFJOBS)}
    assert kept["held"]["spec"]["runPolicy"]["suspend"] is False
