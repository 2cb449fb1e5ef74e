"""One co-scheduler leads and binds; who lost the lead binds nothing more."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from kube_queue.api.types import LEASES, NODES
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.scheduler import run_scheduler
from kube_queue.app.virtual_time import run_virtual
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from tests.controller.queueing.world import Object, Recorder
from tests.controller.scheduling.world import World, a_node, a_pod, binds, fresh, world
from tests.placement.playing import gang
from tests.serving.cluster import an_api, clock

LEASE = "kube-queue-scheduler"


class Scheduler:
    """One process of the given identity."""

    def __init__(self, made: World, identity: str, **changes: Any) -> None:
        self.recorder = Recorder(InProcessTransport(made.server))
        self.asked: Counter[str] = Counter()
        self.recorder.fault = self._count
        self.ready = 0
        settings = Settings().replaced(
            leader={"identity": identity}, serving={"enabled": False}, **changes
        )

        def told(_: str) -> None:
            self.ready += 1

        self.task = asyncio.create_task(
            run_scheduler(
                Client(self.recorder),
                settings,
                clock=made.clock,
                rng=random.Random(identity),
                ready=told,
            )
        )

    async def _count(self, method: str, path: str, body: Object) -> str:
        if method == "GET":
            self.asked[path] += 1
        return ""

    def lists(self, chosen: Callable[[str], bool]) -> int:
        """How many lists of these paths it asked for."""
        return sum(count for path, count in self.asked.items() if chosen(path))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def dies(self) -> None:
        """As after a kill -9: nothing is released, the Lease has to run out."""

        async def silent(method: str, path: str, body: Object) -> str:
            return "lose-before"

        self.recorder.fault = silent
        await self.stop()

    @property
    def bound(self) -> list[str]:
        """The pods it bound, by name."""
        return [
            write.path.split("/")[-2]
            for write in self.recorder.writes
            if binds(write) and write.status == 201
        ]


def play(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with world(start=False) as made:
            await story(made)

    run_virtual(all_of_it())


async def take_away(made: World) -> None:
    """Somebody else holds the Lease from now on."""
    lease = await made.user.get(LEASES, "kube-queue", LEASE)
    lease["spec"] |= {"holderIdentity": "another", "leaseDurationSeconds": 3600}
    await made.user.replace(LEASES, lease)


def test_one_leads_and_the_other_takes_over_once_the_lease_has_run_out() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first")
        await asyncio.sleep(1)
        second = Scheduler(made, "second")
        await made.create(a_node("n1"), a_pod("p"))
        await asyncio.sleep(5)
        assert await made.bound() == {"p"}
        assert (first.ready, second.ready) == (1, 0)
        await first.dies()
        await made.create(a_pod("q"))
        await asyncio.sleep(5)
        assert await made.bound() == {"p"}
        await asyncio.sleep(15)
        assert await made.bound() == {"p", "q"}
        assert second.bound == ["q"]
        await second.stop()

    play(story)


def lists_pods(path: str) -> bool:
    return path == "/api/v1/pods"


def test_who_takes_over_lists_anew_so_that_it_sees_every_binding_of_its_forerunner() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first")
        await asyncio.sleep(1)
        second = Scheduler(made, "second")
        await asyncio.sleep(5)
        lists = second.lists(lists_pods)
        assert lists == 1
        await made.create(a_node("n1").having(cpu="4"), a_pod("p").asking(cpu="3"))
        await asyncio.sleep(1)
        await first.stop()
        await made.create(a_pod("q").asking(cpu="3"))
        await asyncio.sleep(10)
        assert second.lists(lists_pods) == lists + 1
        assert await made.bound() == {"p"}
        await second.stop()

    play(story)


def test_who_leads_at_once_lists_once() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first")
        await asyncio.sleep(30)
        assert first.lists(lists_pods) == 1
        await first.stop()

    play(story)


def test_a_deposed_leader_binds_nothing_of_what_is_queued() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first", writes={"max_in_flight": 4})
        await asyncio.sleep(1)

        async def slow(method: str, path: str, body: Object) -> str:
            await asyncio.sleep(2 if path.endswith("/binding") else 0)
            return ""

        first.recorder.fault = slow
        await made.create(a_node("n1"), *[a_pod(f"p{number:02}") for number in range(12)])
        await take_away(made)
        await asyncio.sleep(30)
        assert await made.bound() == set()
        await first.stop()

    play(story)


def test_who_is_stopped_binds_the_rest_of_a_gang_before_it_goes() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first", writes={"max_in_flight": 4})
        await asyncio.sleep(1)
        await made.create(a_node("n1"))
        first.recorder.latency = 0.3
        await made.create(*gang("g", 8, 8))
        await asyncio.sleep(0.2)
        await first.stop()
        assert len(await made.bound()) == 8

    play(story)


def test_a_gang_whose_scheduler_died_midway_is_finished_by_the_next_before_all_others() -> None:
    async def story(made: World) -> None:
        first = Scheduler(made, "first", writes={"max_in_flight": 2})
        await asyncio.sleep(1)
        await made.create(a_node("n1").having(cpu="8"))

        async def dies_after_two(method: str, path: str, body: Object) -> str:
            if path.endswith("/binding") and len(first.bound) >= 2:
                await asyncio.sleep(3600)
            return ""

        first.recorder.fault = dies_after_two
        await made.create(*gang("g", 8, 8, cpu="1"))
        await asyncio.sleep(2)
        assert len(await made.bound("g")) == 2
        await first.dies()
        # More important, and there is room for the gang or for it, not for both.
        await made.create_priority("high", 10, preempts=False)
        await made.create(a_pod("rival").of_class("high").asking(cpu="1"))
        second = Scheduler(made, "second")
        await asyncio.sleep(30)
        assert len(await made.bound("g")) == 8
        assert await made.bound("rival") == set()
        assert max(Counter(first.bound + second.bound).values()) == 1
        await second.stop()

    play(story)


async def test_it_tells_over_http_that_it_is_well_and_what_it_counted() -> None:
    server, user = await an_api()
    await user.create(NODES, fresh(a_node("n1").manifest))
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = Settings().replaced(leader={"enabled": False}, serving={"port": 0})
    running = asyncio.create_task(
        run_scheduler(
            Client(InProcessTransport(server)),
            settings,
            clock=clock,
            rng=random.Random(1),
            ready=url.set_result,
        )
    )
    try:
        async with asyncio.timeout(10), aiohttp.ClientSession() as http:
            address = await url
            for path in ("/healthz", "/readyz"):
                async with http.get(address + path) as answer:
                    assert (answer.status, await answer.text()) == (200, "ok")
            async with http.get(address + "/metrics") as answer:
                assert 'kube_queue_informer_objects{resource="nodes"} 1.0' in await answer.text()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()


async def test_who_stands_by_is_ready_once_it_holds_what_exists() -> None:
    server, user = await an_api()
    await user.create(NODES, fresh(a_node("n1").manifest))
    lease = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": "kube-queue", "name": LEASE},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 3600},
    }
    await user.create(LEASES, lease)
    recorder = Recorder(InProcessTransport(server))
    listed = asyncio.Event()

    async def late(method: str, path: str, body: Object) -> str:
        if lists_pods(path):
            await listed.wait()
        return ""

    recorder.fault = late
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings().replaced(
        leader={"retry_seconds": 0.05}, serving={"port": port, "bind_address": "127.0.0.1"}
    )
    running = asyncio.create_task(
        run_scheduler(Client(recorder), settings, clock=clock, rng=random.Random(1))
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as http:
            assert await answered(http, url + "/healthz") == 200
            assert await answered(http, url + "/readyz") == 503
            listed.set()
            # Nobody tells from outside when it is; it is asked until it says so.
            while await answered(http, url + "/readyz") != 200:
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()


async def answered(http: aiohttp.ClientSession, url: str) -> int:
    """The status, once anybody listens there."""
    while True:
        try:
            async with http.get(url) as answer:
                return answer.status
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.02)
