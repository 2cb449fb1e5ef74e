"""Run times and time limits from a user's hand to the pods and back, each half a process.

Every story is played once as it is and once for every write of either half: the process dies as
soon as the server has taken that write, and a fresh one goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from kube_queue.api.lifecycle import Owner, Phase, allowed
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    JOBS,
    NAMESPACES,
    PODS,
    QUEUE_UNITS,
    QUEUES,
    TFJOBS,
)
from kube_queue.api.units import project_unit
from kube_queue.app.controller import run_controller
from kube_queue.config import Settings
from kube_queue.jobframework.extension import Hold
from kube_queue.kube.client import EVERYTHING, Client
from kube_queue.kube.transport import Query
from kube_queue_extensions.job import JobExtension as BatchJob
from kube_queue_extensions.tfjob import TFJobExtension
from tests.controller.jobs.cluster import Cluster, Wire, play
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.jobframework.builders import a_job as a_job_manifest
from tests.jobframework.builders import a_template, a_tfjob

SETTINGS = Settings().replaced(
    leader={"enabled": False},
    serving={"enabled": False},
    controller={
        "running_timeout_seconds": 30,
        "backoff_base_seconds": 20,
        "backoff_max_seconds": 40,
    },
)
UNITS = {TFJOBS: "job1-tf-qu", JOBS: "job1-job-qu"}
KINDS = {TFJOBS: TFJobExtension(), JOBS: BatchJob()}
HALVES = ("controller", "jobs")
Story = Callable[[Cluster, Any], Awaitable[None]]
by_kind = pytest.mark.parametrize("kind", [TFJOBS, JOBS], ids=lambda kind: str(kind.kind))
# Cut after every write a life is played some dozen times: the quick suite does so with one kind.
by_kind_cut = pytest.mark.parametrize(
    "kind",
    [pytest.param(TFJOBS, marks=pytest.mark.long), JOBS],
    ids=lambda kind: str(kind.kind),
)


def start(cluster: Cluster, half: str, wire: Wire) -> asyncio.Task[None]:
    if half == "jobs":
        return cluster.start_jobs(wire=wire)
    work = run_controller(Client(wire), SETTINGS, clock=cluster.clock, rng=random.Random(11))
    return cluster.start(work)


class Narrow(Wire):
    """A wire that dies of writes of jobs and units only: nobody's life hangs on the others."""

    async def request(self, method: str, path: str, *, query: Query = (), **options: Any) -> Any:
        if self.cut.is_set() or any(part in path for part in ("/queueunits", "/jobs", "/tfjobs")):
            return await super().request(method, path, query=query, **options)
        return await super(Wire, self).request(method, path, query=query, **options)


async def mortal(cluster: Cluster, half: str, cut_at: int | None, deaths: list[str]) -> None:
    """The half runs, dies after its `cut_at`-th write, and a fresh process goes on."""
    wire = Narrow(cluster.server, cut_at=cut_at)
    process = start(cluster, half, wire)
    await wire.cut.wait()
    deaths.append(half)
    cluster.tasks.remove(process)
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)
    await asyncio.sleep(1)
    start(cluster, half, Wire(cluster.server))


async def follow(cluster: Cluster, moves: list[tuple[Phase, Phase]]) -> None:
    """Notes every move of every unit, version by version."""
    phases: dict[str, Phase] = {}
    async with cluster.client.watch(
        QUEUE_UNITS, "0", EVERYTHING, seconds=36_000, read_timeout=36_000
    ) as lines:
        async for line in lines:
            event = orjson.loads(line)
            if event["type"] not in ("ADDED", "MODIFIED"):
                continue
            unit = project_unit(event["object"])
            before = phases.get(unit.uid, Phase.ENQUEUED)
            if unit.phase is not before:
                moves.append((before, unit.phase))
            phases[unit.uid] = unit.phase


def played(story: Story, kind: Any, half: str, cut_at: int | None) -> bool:
    """Whether the half lived to make so many writes."""
    deaths: list[str] = []
    moves: list[tuple[Phase, Phase]] = []

    async def whole(cluster: Cluster) -> None:
        cluster.start_simulator()
        root = a_root(a_leaf("default", cpu=1000))
        await cluster.client.create(ELASTIC_QUOTA_TREES, a_tree(root, "elasticquotatree"))
        other = HALVES[1 - HALVES.index(half)]
        start(cluster, other, Wire(cluster.server))
        cluster.start(mortal(cluster, half, cut_at, deaths))
        cluster.start(follow(cluster, moves))
        await cluster.settle(1)
        await story(cluster, kind)

    play(whole, simulated=False)
    assert moves
    assert [move for move in moves if not any(allowed(*move, owner) for owner in Owner)] == []
    return bool(deaths)


def played_with_every_cut(story: Story, kind: Any, half: str, at_least: int) -> None:
    for cut_at in range(1, 40):
        if not played(story, kind, half, cut_at):
            assert cut_at > at_least, f"only {cut_at - 1} writes were there to be cut"
            return
    raise AssertionError("the story never gets by without a cut")


async def a_job(cluster: Cluster, kind: Any, cpu: str, **annotations: str) -> None:
    template = a_template(cpu, terminationGracePeriodSeconds=3)
    template["metadata"] = {"annotations": {"simulator.kube-queue/run-seconds": "600"}}
    if kind is JOBS:
        await cluster.job("job1", template=template)
    else:
        job = a_tfjob("job1", Worker=1)
        job["spec"]["tfReplicaSpecs"]["Worker"]["template"] = template
        await cluster.create(TFJOBS, job)
    if annotations:
        patch = {"metadata": {"annotations": annotations}}
        await cluster.patch(kind, "job1", patch)


async def live_pods(cluster: Cluster) -> int:
    pods = await cluster.client.list(PODS)
    return sum(pod["status"].get("phase") in ("Pending", "Running") for pod in pods)


async def status(cluster: Cluster, kind: Any) -> dict[str, Any]:
    unit = await cluster.client.get(QUEUE_UNITS, "default", UNITS[kind])
    return dict(unit.get("status", {}))


async def held(cluster: Cluster, kind: Any) -> bool:
    state = KINDS[kind].state(await cluster.client.get(kind, "default", "job1"))
    return state.hold is not Hold.NONE


# --- a job that does not start ------------------------------------------------------------------


async def times_out_twice(cluster: Cluster, kind: Any) -> None:
    """No node has room for its pod, so it is sent away, comes back, and is sent away again."""
    await a_job(cluster, kind, "900")
    unit = UNITS[kind]
    for times in (1, 2):
        await cluster.until_phase(unit, Phase.DEQUEUED)

        async def away(times: int = times) -> bool:
            found = (await status(cluster, kind)).get("requeueState", {})
            return int(found.get("count", 0)) >= times

        await cluster.until(away, f"it stays away for the {times}. time")
        found = await status(cluster, kind)
        assert found["phase"] == "TimeoutBackoff"
        assert found["reason"] == "RunningTimeout"
        assert found["requeueState"]["backoffs"] == times

        async def stopped() -> bool:
            return await held(cluster, kind) and not await live_pods(cluster)

        await cluster.until(stopped, "its job is stopped")
    found = await status(cluster, kind)
    assert found["attempts"] == 2


@by_kind
@pytest.mark.parametrize("half", HALVES)
def test_a_job_that_never_starts_is_sent_away_again_and_again(kind: Any, half: str) -> None:
    assert not played(times_out_twice, kind, half, None)


@by_kind_cut
@pytest.mark.parametrize("half", HALVES)
def test_killed_after_every_write_a_job_that_never_starts_is_sent_away_all_the_same(
    kind: Any, half: str
) -> None:
    played_with_every_cut(times_out_twice, kind, half, at_least=4)


# --- a job that runs too long -------------------------------------------------------------------


async def runs_too_long(cluster: Cluster, kind: Any) -> None:
    """It would run for ten minutes and may for forty seconds."""
    await a_job(cluster, kind, "600m", **{"kube-queue/maximum-execution-time-seconds": "40"})
    unit = UNITS[kind]
    running = await cluster.until_phase(unit, Phase.RUNNING)
    assert running.limit_seconds == 40
    await cluster.settle(running.started / 1e6 + 39 - cluster.clock())
    assert (await cluster.unit(unit)).phase is Phase.RUNNING
    await cluster.until_phase(unit, Phase.FAILED)
    found = await status(cluster, kind)
    assert found["reason"] == "MaximumExecutionTimeExceeded"
    assert await held(cluster, kind)
    assert await live_pods(cluster) == 0
    await cluster.settle(100)
    assert await held(cluster, kind), "it is not released again"
    await cluster.client.delete(QUEUE_UNITS, "default", unit)
    await cluster.settle(30)
    assert await cluster.units() == [], "nor queued again"
    assert await live_pods(cluster) == 0


@by_kind
@pytest.mark.parametrize("half", HALVES)
def test_a_job_that_runs_too_long_is_stopped_for_good(kind: Any, half: str) -> None:
    assert not played(runs_too_long, kind, half, None)


@by_kind_cut
@pytest.mark.parametrize("half", HALVES)
def test_killed_after_every_write_a_job_that_runs_too_long_is_stopped_all_the_same(
    kind: Any, half: str
) -> None:
    at_least = {"controller": 1, "jobs": 4}[half]
    played_with_every_cut(runs_too_long, kind, half, at_least=at_least)


# --- a job that is stopped and comes back -------------------------------------------------------


async def goes_and_comes_back(cluster: Cluster, kind: Any) -> None:
    """Deactivated twice while it runs, and activated again."""
    await a_job(cluster, kind, "600m")
    unit = UNITS[kind]
    for times in (1, 2):
        await cluster.until_phase(unit, Phase.RUNNING)
        await cluster.patch(QUEUE_UNITS, unit, {"spec": {"active": False}})
        await cluster.until_phase(unit, Phase.ENQUEUED)
        found = await status(cluster, kind)
        assert found["requeueState"] == {"count": times}
        assert found["attempts"] == times
        assert "admissions" not in found
        assert await live_pods(cluster) == 0
        await cluster.patch(QUEUE_UNITS, unit, {"spec": {"active": True}})
    await cluster.until_phase(unit, Phase.RUNNING)


@by_kind
@pytest.mark.parametrize("half", HALVES)
def test_every_requeue_and_every_admission_is_counted(kind: Any, half: str) -> None:
    assert not played(goes_and_comes_back, kind, half, None)


@by_kind_cut
@pytest.mark.parametrize("half", HALVES)
def test_killed_after_every_write_a_job_that_is_stopped_comes_back_all_the_same(
    kind: Any, half: str
) -> None:
    played_with_every_cut(goes_and_comes_back, kind, half, at_least=5)


# --- a job whose Queue has checks ---------------------------------------------------------------


async def passes_its_check_twice(cluster: Cluster, kind: Any) -> None:
    """Asked, told to try later, asked, let through, stopped, asked anew, let through."""

    async def there() -> bool:
        return bool(await cluster.client.list(QUEUES))

    await cluster.until(there, "its Queue exists")
    patch = {"spec": {"admissionChecks": [{"name": "budget"}]}}
    await cluster.client.patch(QUEUES, "kube-queue", "root-default", patch)
    await cluster.settle(1)
    await a_job(cluster, kind, "600m")
    unit = UNITS[kind]
    for answer in ("Retry", "Ready", "Ready"):
        await cluster.until_phase(unit, Phase.RESERVED)
        assert await held(cluster, kind)
        assert await live_pods(cluster) == 0
        await says(cluster, unit, answer)
        if answer == "Retry":
            await cluster.until_phase(unit, Phase.TIMEOUT_BACKOFF)
            continue
        await cluster.until_phase(unit, Phase.RUNNING)
        await cluster.patch(QUEUE_UNITS, unit, {"spec": {"active": False}})
        await cluster.until_phase(unit, Phase.ENQUEUED)
        assert "admissionChecks" not in await status(cluster, kind)
        await cluster.patch(QUEUE_UNITS, unit, {"spec": {"active": True}})


async def says(cluster: Cluster, name: str, state: str) -> None:
    """The check answers, as docs/life-of-a-unit.md tells it to."""
    unit = await cluster.client.get(QUEUE_UNITS, "default", name)
    entry = {"name": "budget", "state": state, "message": "by the budget"}
    await cluster.unit_status(project_unit(unit), admissionChecks=[entry])


@by_kind
@pytest.mark.parametrize("half", HALVES)
def test_a_job_is_released_only_while_its_check_lets_it(kind: Any, half: str) -> None:
    assert not played(passes_its_check_twice, kind, half, None)


@by_kind_cut
@pytest.mark.parametrize("half", HALVES)
def test_killed_after_every_write_a_check_is_asked_and_heard_all_the_same(
    kind: Any, half: str
) -> None:
    played_with_every_cut(passes_its_check_twice, kind, half, at_least=5)


# --- a job whose quota belongs to another -------------------------------------------------------


async def gives_way(cluster: Cluster, kind: Any) -> None:
    """Two jobs run, one of them on quota lent by team-a, which then asks for its own."""
    lent = a_leaf("default", min={"cpu": 1}, max={"cpu": 2})
    own = a_leaf("team-a", min={"cpu": 1}, max={"cpu": 2})
    root = a_root(lent, own, max={"cpu": 2})
    change = [{"op": "replace", "path": "/spec/root", "value": root}]
    await cluster.client.patch(
        ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree", change, kind="json"
    )
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    await cluster.client.create(NAMESPACES, space)
    template = a_template("1", terminationGracePeriodSeconds=3)
    template["metadata"] = {"annotations": {"simulator.kube-queue/run-seconds": "600"}}
    for name in ("job1", "job2"):
        await cluster.job(name, template=template)
        await cluster.until_phase(f"{name}-job-qu", Phase.RUNNING)
        await cluster.settle(2)
    mine = a_job_manifest("mine", template=template)
    mine["metadata"]["namespace"] = "team-a"
    await cluster.create(JOBS, mine)

    async def runs() -> bool:
        found = {unit.name: unit for unit in await cluster.units()}
        held = sum(unit.held["cpu"] for unit in found.values())
        assert held <= 2000, "nobody has a quota that another still holds"
        return "mine-job-qu" in found and found["mine-job-qu"].phase is Phase.RUNNING

    await cluster.until(runs, "it has its own back")
    stays, victim = await cluster.unit("job1-job-qu"), await cluster.unit("job2-job-qu")
    assert (stays.phase, stays.attempts) == (Phase.RUNNING, 1), "the newest goes, and only it"
    assert (victim.phase, victim.attempts) == (Phase.ENQUEUED, 1)
    obj = await cluster.client.get(QUEUE_UNITS, "default", "job2-job-qu")
    assert obj["status"]["requeueState"] == {"count": 1}
    last = {one["type"]: (one["status"], one["reason"]) for one in obj["status"]["conditions"]}
    assert last["Requeued"] == ("True", "Reclaimed")
    assert last["Evicted"] == ("False", "Reclaimed")
    await cluster.settle(30)
    assert (await cluster.unit("job2-job-qu")).attempts == 1, "there is no way back meanwhile"
    await cluster.client.delete(JOBS, "team-a", "mine", propagation="Background")
    await cluster.until_phase("job2-job-qu", Phase.RUNNING)


@pytest.mark.parametrize("half", HALVES)
def test_lent_quota_goes_back_and_the_job_that_used_it_returns_later(half: str) -> None:
    assert not played(gives_way, JOBS, half, None)


@pytest.mark.parametrize("half", HALVES)
def test_killed_after_every_write_lent_quota_goes_back_all_the_same(half: str) -> None:
    played_with_every_cut(gives_way, JOBS, half, at_least=6)


# --- a job in time ------------------------------------------------------------------------------


def test_a_job_that_is_slow_but_starts_in_time_is_left_alone() -> None:
    async def story(cluster: Cluster, kind: Any) -> None:
        await a_job(cluster, kind, "600m")
        await cluster.until_phase(UNITS[kind], Phase.RUNNING)
        await cluster.settle(200)
        unit = project_unit(await cluster.client.get(QUEUE_UNITS, "default", UNITS[kind]))
        assert (unit.phase, unit.attempts) == (Phase.RUNNING, 1)

    assert not played(story, JOBS, "jobs", None)
