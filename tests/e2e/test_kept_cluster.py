"""`local up --data-dir`: the API server may be killed, and the whole cluster, and all goes on."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.backends.embedded import EmbeddedBackend, EmbeddedCluster, _children
from e2e.jobs import job, phase, tfjob
from e2e.steps import see_admitted, see_phase, see_waiting
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.errors import ConnectionLost
from kube_queue.api.types import JOBS, QUEUE_UNITS, TFJOBS

KINDS = (JOBS, TFJOBS, QUEUE_UNITS)


async def started(folder: Path) -> EmbeddedCluster:
    flags = ("--data-dir", str(folder))
    return await EmbeddedBackend().start(environment={}, flags=flags)


def access(cluster: EmbeddedCluster) -> tuple[Any, Any]:
    """How one reaches the cluster: what a kubeconfig says of it."""
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    where = config["clusters"][0]["cluster"]
    return (where["server"], where["certificate-authority-data"]), config["users"]


async def identities(world: World) -> dict[str, str]:
    """The uid and age of every job and unit."""
    return {
        f"{kind.kind}/{one['metadata']['name']}": (
            f"{one['metadata']['uid']} {one['metadata']['creationTimestamp']}"
        )
        for kind in KINDS
        for one in await world.objects(kind)
    }


async def until_served(world: World, manifest: dict[str, Any]) -> None:
    """The object is created as soon as the server answers again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await world.apply(manifest)
            except ConnectionLost:
                await asyncio.sleep(0.05)
            else:
                return


async def see_judged(world: World, name: str) -> None:
    """The job has a unit, and the controller has said something of it."""
    await world.until(
        QUEUE_UNITS,
        lambda units: phase(units, name) not in ("none", ""),
        f"a phase of {name}",
        within=120,
    )


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
async def test_jobs_and_units_outlive_the_server_and_the_cluster_and_go_on(tmp_path: Path) -> None:
    cluster = await started(tmp_path)
    try:
        reached = access(cluster)
        async with World.on(cluster) as world:
            await world.apply(tree("4", ("default", "4")))
            await world.apply(job("first", "3", seconds=20))
            await see_admitted(world, "first", within=60)
            await world.apply(tfjob("second", seconds=1))
            await see_waiting(world, "second")
            killed = await world.kill("api-server")
            await until_served(world, job("third", "3", seconds=1))
            assert cluster.pid("api-server") not in (None, killed)
            # The job side has found the server again, and so has the controller.
            await see_judged(world, "third")
            await world.apply(job("last", "3", seconds=1))
            await see_judged(world, "last")
            before = await identities(world)
        for pid in (cluster._process.pid, *_children(cluster._process.pid)):
            os.kill(pid, signal.SIGKILL)
        await cluster._process.wait()
    finally:
        await cluster.stop()
    cluster = await started(tmp_path)
    try:
        assert access(cluster) == reached
        async with World.on(cluster) as world:
            after = await identities(world)
            assert {name: after.get(name) for name in before} == before
            await see_phase(world, "Succeed", "first", "second", "third", "last", within=180)
    finally:
        await cluster.stop()
