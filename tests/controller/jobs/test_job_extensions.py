"""The job side as a process: what it is started with, and who of two leads."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import LEASES
from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from kube_queue.kube.transport import Response
from tests.controller.jobs.cluster import Cluster, Wire, play


def settings(identity: str = "", **jobs: str) -> Settings:
    chosen = {"enabled_extensions": "tfjob,job", **jobs}
    return Settings().replaced(leader={"identity": identity}, jobs=chosen)


def start(cluster: Cluster, identity: str, wire: Wire) -> asyncio.Task[None]:
    work = run_job_extensions(
        Client(wire), settings(identity), clock=cluster.clock, rng=random.Random(identity)
    )
    return cluster.start(work)


def test_extensions_that_cannot_be_had_end_it_at_once() -> None:
    async def story(cluster: Cluster) -> None:
        with pytest.raises(InvalidSetting):
            await run_job_extensions(
                cluster.client,
                settings(enabled_extensions="nojob"),
                clock=cluster.clock,
                rng=random.Random(1),
            )

    play(story, simulated=False)


def test_one_of_two_processes_leads_and_the_other_takes_over() -> None:
    async def story(cluster: Cluster) -> None:
        first, second = Wire(cluster.server), Wire(cluster.server)
        start(cluster, "first", first)
        await cluster.settle()
        start(cluster, "second", second)
        await cluster.job("one")
        await cluster.until_phase("one-job-qu", Phase.ENQUEUED)
        first.cut.set()
        await cluster.job("two")
        unit = await cluster.until_phase("two-job-qu", Phase.ENQUEUED)
        assert any(path.endswith("/queueunits") for _, path in second.writes)
        await cluster.admit(unit.name)
        await cluster.until_phase("two-job-qu", Phase.SUCCEED)
        lease = await cluster.client.get(LEASES, "kube-queue", "kube-queue-job-extensions")
        assert lease["spec"]["holderIdentity"] == "second"

    play(story)


def test_a_process_that_restarts_under_its_name_goes_on_at_once() -> None:
    async def story(cluster: Cluster) -> None:
        cluster.wire = Wire(cluster.server)
        process = start(cluster, "it", cluster.wire)
        await cluster.job("one")
        await cluster.until_phase("one-job-qu", Phase.ENQUEUED)
        cluster.wire.cut.set()
        await cluster.kill(process)
        start(cluster, "it", Wire(cluster.server))
        await cluster.job("two")
        began = cluster.clock()
        await cluster.until_phase("two-job-qu", Phase.ENQUEUED)
        assert cluster.clock() - began < 2

    play(story, simulated=False)


class SlowWire(Wire):
    """Every write takes a while."""

    async def request(self, method: str, path: str, **options: Any) -> Response:
        if method != "GET":
            await asyncio.sleep(0.1)
        return await super().request(method, path, **options)


@pytest.mark.parametrize("leader", [True, False])
def test_a_process_that_is_stopped_first_writes_what_is_queued(leader: bool) -> None:
    async def story(cluster: Cluster) -> None:
        wire = SlowWire(cluster.server)
        slow = settings("it").replaced(leader={"enabled": leader}, writes={"max_in_flight": 4})
        process = cluster.start(
            run_job_extensions(Client(wire), slow, clock=cluster.clock, rng=random.Random(1))
        )
        await cluster.settle()
        for number in range(16):
            await cluster.job(f"pi-{number:02}")
        await asyncio.sleep(0.05)
        assert await cluster.units() == []
        cluster.tasks.remove(process)
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)
        assert len(await cluster.units()) == 16

    play(story, simulated=False)


def test_without_election_it_queues_at_once_and_says_when_it_does() -> None:
    async def story(cluster: Cluster) -> None:
        up = asyncio.Event()
        alone = settings().replaced(leader={"enabled": False})
        cluster.start(
            run_job_extensions(
                cluster.client, alone, clock=cluster.clock, rng=random.Random(1), ready=up.set
            )
        )
        await asyncio.wait_for(up.wait(), 5)
        await cluster.tfjob("job1")
        await cluster.until_phase("job1-tf-qu", Phase.ENQUEUED)

    play(story, simulated=False)
