"""Who leads, agreed on through a Lease, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from kube_queue.api.errors import ConnectionLost
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from tests.kube.scripted import Asked, Refusal, ScriptedTransport


@dataclass
class LeaseServer:
    """Keeps one Lease with optimistic locking; `away` makes it lose every request."""

    lease: dict[str, Any] | None = None
    version: int = 0
    away: bool = False
    lose_answers: int = 0
    """Writes that are carried out and whose answer is lost."""
    writers: list[str] = field(default_factory=list)

    def handle(self, asked: Asked) -> Any:
        if self.away:
            raise ConnectionLost("away")
        if asked.method == "GET":
            return self.lease or Refusal(404, "NotFound").response()
        if asked.method == "POST" and self.lease is not None:
            return Refusal(409, "AlreadyExists").response()
        if asked.method == "PUT":
            if self.lease is None:
                return Refusal(404, "NotFound").response()
            if asked.body["metadata"]["resourceVersion"] != str(self.version):
                return Refusal(409, "Conflict").response()
        self.version += 1
        metadata = {**asked.body["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**asked.body, "metadata": metadata}
        self.writers.append(self.spec["holderIdentity"])
        if self.lose_answers:
            self.lose_answers -= 1
            raise ConnectionLost("the answer was lost")
        return self.lease

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        return self.lease["spec"]

    def client(self) -> Client:
        return Client(ScriptedTransport(handler=self.handle))


@dataclass
class Candidate:
    """One process of the election and the times it led."""

    server: LeaseServer
    identity: str
    clock: Callable[[], float] | None = None
    led: list[tuple[str, float]] = field(default_factory=list)

    def start(self) -> asyncio.Task[None]:
        self.elector = LeaderElector(
            self.server.client(),
            "kube-queue",
            "kube-queue",
            self.identity,
            self.clock or virtual_clock(),
        )
        return asyncio.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        loop = asyncio.get_running_loop()
        self.led.append(("from", round(loop.time(), 3)))
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.led.append(("to", round(loop.time(), 3)))


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_first_leads_at_once_and_the_lease_reads_as_client_go_writes_it() -> None:
    async def main() -> dict[str, Any]:
        server = LeaseServer()
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(5)
        assert one.elector.leading
        assert one.led == [("from", 0)]
        spec = dict(server.spec)
        await stop(task)
        return spec

    spec = run_virtual(main())
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("one", 15)
    assert spec["leaseTransitions"] == 0
    assert spec["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    assert spec["renewTime"] == "2026-01-01T00:00:04.000000Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", spec["renewTime"])


def test_a_clean_stop_releases_the_lease_after_the_work_has_ended() -> None:
    async def main() -> None:
        server = LeaseServer()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        first = one.start()
        await asyncio.sleep(1)
        second = two.start()
        await asyncio.sleep(10)
        assert two.led == []
        await stop(first)
        assert server.spec["holderIdentity"] == ""
        assert one.led[-1] == ("to", 11)
        await asyncio.sleep(2.5)
        assert two.led[0][1] <= 13
        assert server.spec["leaseTransitions"] == 1
        await stop(second)

    run_virtual(main())


def test_a_silent_holder_is_followed_once_its_lease_stood_still_for_its_length() -> None:
    async def main() -> None:
        server = LeaseServer()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        first = one.start()
        await asyncio.sleep(0.5)
        second = two.start()
        await asyncio.sleep(4)
        # Killed: it neither renews nor releases. Its last renewal was at 4.
        one.elector._client.transport.handler = None
        await asyncio.sleep(14)
        assert two.led == []
        await asyncio.sleep(4)
        assert 19 <= two.led[0][1] <= 22
        assert server.spec["leaseTransitions"] == 1
        for task in (first, second):
            await stop(task)

    run_virtual(main())


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
def test_clocks_that_differ_by_a_day_neither_steal_nor_block_the_lead(skew: float) -> None:
    async def main() -> None:
        server = LeaseServer()
        clock = virtual_clock()
        one = Candidate(server, "one")
        two = Candidate(server, "two", lambda: clock() + skew)
        first = one.start()
        await asyncio.sleep(0.5)
        second = two.start()
        await asyncio.sleep(600)
        assert one.elector.leading
        assert two.led == []
        one.elector._client.transport.handler = None
        await asyncio.sleep(20)
        assert two.elector.leading
        for task in (first, second):
            await stop(task)

    run_virtual(main())


def test_a_holder_that_cannot_renew_stops_working_before_another_may_start() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(4.5)
        server.away = True
        await task
        # The last renewal was asked for at 4 seconds; the others wait until 19.
        assert one.led == [("from", 0), ("to", 14)]
        assert not one.elector.leading
        assert server.spec["holderIdentity"] == "one"

    run_virtual(main())


def test_a_server_away_for_less_than_the_renew_time_costs_nothing() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(4.5)
        server.away = True
        await asyncio.sleep(8)
        server.away = False
        await asyncio.sleep(100)
        assert one.led == [("from", 0)]
        await stop(task)

    run_virtual(main())


def test_a_renewal_whose_answer_was_lost_is_not_taken_for_another_holder() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(3)
        server.lose_answers = 1
        await asyncio.sleep(60)
        assert one.led == [("from", 0)]
        await stop(task)

    run_virtual(main())


def test_a_holder_whose_lease_was_taken_stops_at_its_next_look() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(5)
        server.version += 1
        spec = {**server.spec, "holderIdentity": "two"}
        server.lease = {"metadata": {"name": "kube-queue", "resourceVersion": str(server.version)}}
        server.lease["spec"] = spec
        await task
        assert one.led == [("from", 0), ("to", 6)]
        assert server.spec["holderIdentity"] == "two"

    run_virtual(main())


def test_the_same_identity_takes_up_its_own_lease_at_once() -> None:
    async def main() -> None:
        server = LeaseServer()
        one = Candidate(server, "one")
        first = one.start()
        await asyncio.sleep(3)
        # Killed and started again under the same name.
        one.elector._client.transport.handler = None
        again = Candidate(server, "one")
        second = again.start()
        await asyncio.sleep(0.1)
        assert again.led == [("from", 3)]
        assert server.spec["leaseTransitions"] == 0
        assert server.spec["acquireTime"] == "2026-01-01T00:00:00.000000Z"
        for task in (first, second):
            await stop(task)

    run_virtual(main())


def test_of_many_candidates_never_two_lead_at_once() -> None:
    async def main() -> None:
        server = LeaseServer()
        candidates = [Candidate(server, f"c{number}") for number in range(5)]
        tasks = [one.start() for one in candidates]
        for _ in range(8):
            await asyncio.sleep(31)
            leading = [one for one in candidates if one.elector.leading]
            assert len(leading) == 1
            leader = candidates.index(leading[0])
            await stop(tasks[leader])
            assert not any(one.elector.leading for one in candidates)
            tasks[leader] = candidates[leader].start()
        for task in tasks:
            await stop(task)
        spans = []
        for one in candidates:
            times = [at for _, at in one.led]
            spans += list(zip(times[::2], times[1::2], strict=True))
        spans.sort()
        assert len(spans) >= 8
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))

    run_virtual(main())


def test_the_end_of_the_work_is_the_end_of_the_lead_with_its_result() -> None:
    async def main() -> None:
        server = LeaseServer()
        elector = LeaderElector(server.client(), "n", "ns", "one", virtual_clock())

        async def fails() -> None:
            await asyncio.sleep(3)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await elector.run(fails)
        assert server.spec["holderIdentity"] == ""

    run_virtual(main())


def test_unreachable_and_forbidden_leases_are_waited_for() -> None:
    async def main() -> None:
        server = LeaseServer(away=True)
        one = Candidate(server, "one")
        task = one.start()
        await asyncio.sleep(20)
        assert one.led == []
        server.away = False
        await asyncio.sleep(2)
        assert one.led == [("from", 20)]
        await stop(task)

    run_virtual(main())


def test_a_candidate_that_is_cancelled_leaves_the_holder_alone() -> None:
    async def main() -> None:
        server = LeaseServer()
        one, two = Candidate(server, "one"), Candidate(server, "two")
        first = one.start()
        await asyncio.sleep(1)
        second = two.start()
        await asyncio.sleep(5)
        await stop(second)
        assert server.spec["holderIdentity"] == "one"
        assert set(server.writers) == {"one"}
        await stop(first)

    run_virtual(main())
