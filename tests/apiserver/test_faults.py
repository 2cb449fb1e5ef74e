"""A server that fails on purpose does so as planned, and never in the same way by accident."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import aiohttp
import orjson

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.faults import FaultPlan, FaultyServer
from kube_queue.apiserver.http import serve
from kube_queue.apiserver.messages import ConnectionCut, Request, Response
from kube_queue.app.virtual_time import run_virtual
from tests.apiserver.client import CONFIG_MAPS, a_config_map, a_server

WATCH = Request("GET", CONFIG_MAPS, (("watch", "true"),))
LIST = Request("GET", CONFIG_MAPS)


def faulty(plan: FaultPlan, seed: int = 1) -> tuple[ApiServer, FaultyServer]:
    server = a_server()
    return server, FaultyServer(server, plan, random.Random(seed))


async def outcome(server: FaultyServer, request: Request) -> str:
    """What came of a request, in a word."""
    try:
        answer = await server.handle(request)
    except ConnectionCut:
        return "cut"
    if answer.status == 429:
        assert answer.headers["Retry-After"] == "1"
    return str(answer.status)


async def heard(answer: Response) -> tuple[list[bytes], str]:
    """The lines of a watch and how it ended."""
    assert not isinstance(answer.body, bytes)
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(0.2):
            async for line in answer.body:
                lines.append(line)
    except TimeoutError:
        return lines, "silence"
    except ConnectionCut:
        return lines, "cut"
    finally:
        await answer.body.aclose()
    return lines, "end"


async def made(server: ApiServer, count: int) -> None:

    for number in range(count):
        body = orjson.dumps(a_config_map(f"c{number}"))
        headers = {"content-type": "application/json"}
        assert (await server.handle(Request("POST", CONFIG_MAPS, (), headers, body))).status == 201


async def test_without_a_plan_nothing_happens() -> None:
    server, spoiled = faulty(FaultPlan())
    await made(server, 3)
    assert {await outcome(spoiled, LIST) for _ in range(200)} == {"200"}
    assert not +spoiled.met
    await spoiled.close()


async def test_every_fault_of_a_request_is_met_and_every_other_request_is_answered() -> None:
    server, spoiled = faulty(FaultPlan(request=0.5))
    seen = Counter([await outcome(spoiled, LIST) for _ in range(400)])
    assert set(seen) == {"200", "429", "500", "503", "cut"}
    assert set(+spoiled.met) == {
        *("throttled", "failed", "unavailable", "cut", "lost", "repeated"),
    }
    assert 150 < sum(spoiled.met.values()) < 250
    await server.close()


async def test_the_same_seed_brings_the_same_faults() -> None:
    runs = []
    for seed in (1, 1, 2):
        server, spoiled = faulty(FaultPlan(request=0.5, watch=0.5), seed)
        runs.append([await outcome(spoiled, LIST) for _ in range(60)])
        await server.close()
    assert runs[0] == runs[1] != runs[2]


async def test_what_is_lost_afterwards_was_carried_out_and_what_is_cut_was_not() -> None:

    server, spoiled = faulty(FaultPlan(request=1.0))
    headers = {"content-type": "application/json"}
    there: dict[str, set[bool]] = {}
    for number in range(200):
        before = Counter(spoiled.met)
        body = orjson.dumps(a_config_map(f"c{number}"))
        told = await outcome(spoiled, Request("POST", CONFIG_MAPS, (), headers, body))
        (fault,) = spoiled.met - before
        found = await server.handle(Request("GET", f"{CONFIG_MAPS}/c{number}"))
        there.setdefault(fault, set()).add(found.status == 200)
        assert told == {"throttled": "429", "failed": "500", "unavailable": "503"}.get(
            fault, "409" if fault == "repeated" else "cut"
        )
    refused = {key: {False} for key in ("throttled", "failed", "unavailable", "cut")}
    assert there == {**refused, "lost": {True}, "repeated": {True}}
    await server.close()


async def test_pages_of_a_list_may_be_too_old() -> None:
    server, spoiled = faulty(FaultPlan(request=0.5))
    await made(server, 3)
    query = (("limit", "1"), ("continue", "eyJydiI6MSwic3RhcnQiOiIifQ"))
    seen = {await outcome(spoiled, replace(LIST, query=query)) for _ in range(200)}
    assert "410" in seen
    await server.close()


def test_watches_end_in_every_way_they_can() -> None:
    async def story() -> None:
        server, spoiled = faulty(FaultPlan(stream=1.0, events=3, delay_seconds=0.001))
        await made(server, 5)
        whole = len(await begin(server))
        seen: set[tuple[str, bool]] = set()
        for _ in range(40):
            lines, end = await heard(await spoiled.handle(WATCH))
            torn = bool(lines) and not lines[-1].endswith(b"\n")
            expired = bool(lines) and b'"code":410' in lines[-1]
            seen.add(("torn" if torn else "expired" if expired else end, len(lines) < whole))
        assert seen == {
            *(("torn", True), ("expired", True), ("end", True), ("cut", True), ("silence", True)),
            ("silence", False),
        }
        await server.close()

    run_virtual(story())


async def begin(server: ApiServer) -> list[bytes]:
    """What a watch without faults brings."""
    lines, end = await heard(await server.handle(WATCH))
    assert end == "silence"
    return lines


async def test_watches_may_be_refused_or_too_old_at_once() -> None:
    server, spoiled = faulty(FaultPlan(watch=1.0))
    seen = {await outcome(spoiled, WATCH) for _ in range(60)}
    assert seen == {"429", "503", "410", "cut"}
    await server.close()


async def test_late_requests_are_late_and_health_checks_are_spared() -> None:
    server, spoiled = faulty(FaultPlan(delay=1.0, delay_seconds=0.02, request=1.0, watch=1.0))
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(10):
        await outcome(spoiled, LIST)
    assert loop.time() - began > 0.02
    assert spoiled.met["delayed"] == 10
    assert {await outcome(spoiled, Request("GET", "/healthz")) for _ in range(20)} == {"200"}
    await server.close()


async def test_over_a_socket_the_same_faults_are_met() -> None:
    server, spoiled = faulty(replace(FaultPlan.evenly(0.4), stream=1.0, delay=0.0, events=2))
    await made(server, 5)
    running = await serve(spoiled, token="right")
    outcomes = {"200", "429", "500", "503", "410", "cut", "silence"}
    seen: set[str] = set()
    headers = {"Authorization": "Bearer right"}
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        for number in range(400):
            if seen >= outcomes:
                break
            query = {"watch": "true", "timeoutSeconds": "60"} if number % 2 else {}
            try:
                async with asyncio.timeout(0.3), session.get(CONFIG_MAPS, params=query) as answer:
                    await answer.read()
                    seen.add(str(answer.status))
            except aiohttp.ClientError:
                seen.add("cut")
            except TimeoutError:
                seen.add("silence")
    assert seen == outcomes
    await running.close()
    await server.close()


def test_a_lagging_watch_tells_everything_in_order_and_no_later_than_its_lag() -> None:
    async def story() -> None:
        server, spoiled = faulty(FaultPlan(lag=2.0))
        loop = asyncio.get_running_loop()
        answer = await spoiled.handle(WATCH)
        assert not isinstance(answer.body, bytes)
        made_at, seen_at = list[float](), list[float]()

        async def listen() -> None:
            assert not isinstance(answer.body, bytes)
            for number in range(40):
                line = orjson.loads(await anext(answer.body))
                assert line["object"]["metadata"]["name"] == f"c{number}"
                seen_at.append(loop.time())

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            for number in range(40):
                body = orjson.dumps(a_config_map(f"c{number}"))
                headers = {"content-type": "application/json"}
                await server.handle(Request("POST", CONFIG_MAPS, (), headers, body))
                made_at.append(loop.time())
                await asyncio.sleep(0.1)
        behind = [seen - made for seen, made in zip(seen_at, made_at, strict=True)]
        assert max(behind) <= 2.0 + 1e-6
        # It is not the same lag all the way.
        assert max(behind) - min(behind) > 0.5
        await answer.body.aclose()
        await server.close()

    run_virtual(story())
