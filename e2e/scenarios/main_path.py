"""The walk-through of the ack-kube-queue documentation, and native Jobs."""

from __future__ import annotations

from e2e.jobs import admitted, job, phase, tfjob, unit_of, waits_because
from e2e.scenario import scenario
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.types import JOBS, PODS, QUEUE_UNITS, TFJOBS


def states(tfjobs: list[dict[str, object]]) -> dict[str, str]:
    """STATE of each TFJob: the type of its last condition."""
    found = {}
    for one in tfjobs:
        conditions = one.get("status", {}).get("conditions", [])  # type: ignore[attr-defined]
        name = one["metadata"]["name"]  # type: ignore[index]
        found[name] = conditions[-1]["type"] if conditions else ""
    return found


async def see_states(world: World, job1: str, job2: str) -> None:
    """`kubectl get tfjob` prints these two states."""
    wanted = {"job1": job1, "job2": job2}
    await world.until(TFJOBS, lambda seen: states(list(seen)) == wanted, f"{job1}, {job2}")
    printed = await world.printed("tfjob")
    assert printed == [["job1", job1], ["job2", job2]], printed


@scenario("Q1", "two TFJobs of 3 cpu under 4: one runs, one is Queuing, then it runs")
async def two_tfjobs(world: World) -> None:
    await world.apply(tree("4", memory="4Gi"))
    await world.apply(tfjob("job1", seconds=6))
    await world.until(QUEUE_UNITS, lambda units: admitted(units, "job1"), "job1 admitted")
    await world.apply(tfjob("job2", seconds=6))
    await see_states(world, "Running", "Queuing")
    pods = {pod["metadata"]["name"] for pod in await world.objects(PODS)}
    assert pods == {"job1-ps-0", "job1-worker-0", "job1-worker-1"}, pods
    await see_states(world, "Succeeded", "Running")
    await see_states(world, "Succeeded", "Succeeded")
    await world.until(
        QUEUE_UNITS,
        lambda units: phase(units, "job1") == phase(units, "job2") == "Succeed",
        "both units Succeed",
    )


@scenario(
    "Q1d",
    "kubectl describe of a job, and of its unit, says where and why it waited, and until when",
)
async def described(world: World) -> None:
    await world.apply(tree("4"))
    await world.apply(job("first", "3", seconds=4))
    await world.until(QUEUE_UNITS, lambda units: admitted(units, "first"), "first admitted")
    await world.apply(job("second", "3", seconds=1))
    await world.until(
        QUEUE_UNITS,
        lambda units: waits_because(units, "second", "InsufficientQuota"),
        "second waits for quota",
    )
    await world.until(
        QUEUE_UNITS, lambda units: phase(units, "second") == "Succeed", "second runs after all"
    )
    unit = "second-job-qu"
    said = {
        ("Normal", "Enqueued"): f"QueueUnit {unit} waits in queue root-root.default",
        ("Warning", "FailedScheduling"): (
            "InsufficientQuota: quota root/root.default: cpu requested 3, used 3, max 4; "
            "waits until 2 cpu is released in root/root.default"
        ),
        ("Normal", "Scheduled"): (
            "Admitted to quota root/root.default from queue root-root.default"
        ),
    }
    for resource, name in ((JOBS, "second"), (QUEUE_UNITS, unit)):
        told = await world.told(resource, name, *(reason for _, reason in said))
        ours = {(kind, reason): text for kind, reason, text in told if (kind, reason) in said}
        assert ours == said, f"{resource.kind}: {told}"


@scenario("Q1m", "memory is enforced as well: of two 3Gi jobs under 4Gi one waits")
async def memory_counts(world: World) -> None:
    await world.apply(tree("4", memory="4Gi"))
    await world.apply(job("first", "1", memory="3Gi", seconds=5))
    await world.until(QUEUE_UNITS, lambda units: admitted(units, "first"), "first admitted")
    await world.apply(job("second", "1", memory="3Gi", seconds=1))
    await world.until(
        QUEUE_UNITS,
        lambda units: waits_because(units, "second", "InsufficientQuota"),
        "second waits for quota",
    )
    message = unit_of(await world.objects(QUEUE_UNITS), "second")["status"]["message"]  # type: ignore[index]
    assert "memory" in message and "root" in message, message
    await world.until(
        QUEUE_UNITS, lambda units: phase(units, "second") == "Succeed", "second runs after all"
    )


@scenario("Q3", "a suspended Job of 100m becomes a unit of 100m and is unsuspended")
async def native_job(world: World) -> None:
    await world.apply(tree("4"))
    manifest = job("pi", "100m", seconds=3)
    manifest["metadata"] = {"generateName": "pi-", "namespace": "default"}
    made = (await world.apply(manifest))[0]
    name = made["metadata"]["name"]
    assert made["spec"]["suspend"] is True
    await world.until(QUEUE_UNITS, lambda units: admitted(units, name), "the unit is admitted")
    unit = unit_of(await world.objects(QUEUE_UNITS), name)
    assert unit is not None
    assert unit["spec"]["resource"]["cpu"] == "100m", unit["spec"]
    await world.until(
        JOBS, lambda jobs: all(not one["spec"]["suspend"] for one in jobs), "suspend is false"
    )
    await world.until(
        JOBS,
        lambda jobs: all(one.get("status", {}).get("succeeded") == 1 for one in jobs),
        "the Job succeeded",
    )
