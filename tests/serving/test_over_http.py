"""The controller against an API server behind a socket, as in a cluster."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUE_UNITS
from kube_queue.apiserver.http import serve
from kube_queue.app.controller import run_controller
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.kube.connection import connect
from tests.controller.queueing.world import a_leaf, a_root, a_tree, a_unit_manifest
from tests.serving.cluster import SETTINGS, an_api, clock


async def test_units_are_admitted_one_after_the_other_over_sockets(tmp_path: Path) -> None:
    server, user = await an_api()
    running = await serve(server, port=0, token="secret")
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=running.url, token="secret")
    client = await connect(kubeconfig=str(kubeconfig))
    controller = asyncio.create_task(
        run_controller(client, SETTINGS, clock=clock, rng=random.Random(1))
    )
    try:
        tree = a_tree(a_root(a_leaf("default", cpu=4)), "elasticquotatree")
        await user.create(ELASTIC_QUOTA_TREES, tree)
        names = [f"u{number}" for number in range(5)]
        for name in names:
            await user.create(QUEUE_UNITS, a_unit_manifest(name, cpu=3))
        ended: list[str] = []
        async with asyncio.timeout(20):
            while len(ended) < 5:
                await asyncio.sleep(0.01)
                units = await user.list(QUEUE_UNITS)
                holding = [
                    one["metadata"]["name"]
                    for one in units
                    if one.get("status", {}).get("phase") == "Dequeued"
                ]
                assert len(holding) <= 1
                for name in holding:
                    ended.append(name)
                    patch = {"status": {"phase": "Succeed"}}
                    await user.patch(QUEUE_UNITS, "default", name, patch, subresource="status")
        assert sorted(ended) == names
    finally:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)
        await client.close()
        await running.close()
        await server.close()
