"""Health, readiness and metrics over HTTP."""

from __future__ import annotations

import asyncio
import random
import socket

import aiohttp
import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from kube_queue.observability.meters import Meters
from kube_queue.serving.ops import OpsServer, ops_routes
from tests.serving.cluster import SETTINGS, an_api, clock, cluster, serve_crds


async def test_a_running_controller_is_healthy_ready_and_has_metrics() -> None:
    async with cluster() as made:
        assert await made.text("/healthz") == (200, "ok")
        assert await made.text("/readyz") == (200, "ok")
        async with made.http.get(made.url + "/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await answer.text()
        assert "kube_queue_leader 1.0" in text
        assert 'kube_queue_api_requests_total{verb="list"} 4.0' in text


async def test_a_controller_that_does_not_know_what_exists_is_healthy_but_not_ready() -> None:
    ready = False
    server = OpsServer(ops_routes(Meters(), lambda: ready), address="127.0.0.1", port=0)
    await server.open()
    try:
        async with aiohttp.ClientSession() as http:
            async with http.get(server.url + "/healthz") as answer:
                assert answer.status == 200
            async with http.get(server.url + "/readyz") as answer:
                assert answer.status == 503
                assert "not ready" in await answer.text()
            ready = True
            async with http.get(server.url + "/readyz") as answer:
                assert answer.status == 200
    finally:
        await server.close()


async def test_a_cluster_without_our_kinds_makes_it_wait_not_fail() -> None:
    server, user = await an_api(crds=False)
    told: list[str] = []
    client = Client(InProcessTransport(server))
    running = asyncio.create_task(
        run_controller(client, SETTINGS, clock=clock, rng=random.Random(1), ready=told.append)
    )
    async with asyncio.timeout(30):
        while client.requests["list"] < 3:
            await asyncio.sleep(0.01)
        assert told == []
        await serve_crds(user)
        while not told:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.close()


async def test_a_taken_port_is_said_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = OpsServer([], address="127.0.0.1", port=port)
        with pytest.raises(InvalidSetting) as caught:
            await server.open()
    said = str(caught.value)
    assert said.startswith("--port: cannot listen on 127.0.0.1") and str(port) in said


async def test_an_address_for_everybody_is_told_as_one_that_can_be_used() -> None:
    server = OpsServer([], address="0.0.0.0", port=0)
    await server.open()
    assert server.url.startswith("http://127.0.0.1:")
    await server.close()


async def test_no_port_is_opened_when_serving_is_off() -> None:
    server, _ = await an_api()
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = Settings().replaced(leader={"enabled": False}, serving={"enabled": False})
    running = asyncio.create_task(
        run_controller(
            Client(InProcessTransport(server)),
            settings,
            clock=clock,
            rng=random.Random(1),
            ready=told.set_result,
        )
    )
    assert await asyncio.wait_for(told, 30) == ""
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.close()
