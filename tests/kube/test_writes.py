"""Every write in order of importance, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.api.errors import (
    AlreadyExists,
    Conflict,
    ConnectionLost,
    Forbidden,
    Invalid,
    KubeQueueError,
    NotFound,
    ServerFault,
    TooManyRequests,
)
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.client import Client
from kube_queue.kube.writes import (
    Done,
    Failed,
    Lane,
    Outcome,
    Overtaken,
    Superseded,
    WriteScheduler,
)
from tests.examples import examples
from tests.kube.scripted import ScriptedTransport


@dataclass
class World:
    """A scheduler, the writes that reached the server with their times, and what was told."""

    writes: WriteScheduler
    takes: float = 0.1
    """Seconds the server needs for a write."""
    sent: list[tuple[str, float]] = field(default_factory=list)
    told: dict[str, Outcome] = field(default_factory=dict)
    now_in_flight: int = 0
    most_in_flight: int = 0

    def submit(
        self, lane: Lane, key: str, name: str = "", answers: list[KubeQueueError] | None = None
    ) -> None:
        """A write that is refused with each of the answers in turn and then taken."""
        name = name or key
        errors = list(answers or ())

        async def send(client: Client) -> str:
            self.sent.append((name, round(asyncio.get_running_loop().time(), 3)))
            self.now_in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.now_in_flight)
            try:
                await asyncio.sleep(self.takes)
            finally:
                self.now_in_flight -= 1
            if errors:
                raise errors.pop(0)
            return f"took {name}"

        def done(outcome: Outcome) -> None:
            assert name not in self.told, "an outcome is told once"
            self.told[name] = outcome

        self.writes.submit(lane, key, send, done)

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]


def play(scenario: Callable[[World], Awaitable[Any]], **options: Any) -> World:
    """Run the scenario beside a running scheduler."""

    async def main() -> World:
        writes = WriteScheduler(Client(ScriptedTransport()), rng=random.Random(3), **options)
        world = World(writes)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(writes.run())
            await scenario(world)
            running.cancel()
        return world

    return run_virtual(main())


def test_what_is_submitted_together_goes_out_in_the_order_of_the_lanes() -> None:
    async def scenario(world: World) -> None:
        for lane in reversed(Lane):
            world.submit(lane, lane.name)
        await world.writes.drain()

    world = play(scenario, max_in_flight=1)
    assert world.names() == [
        "EVICT",
        "ADMIT",
        "RESUME",
        "CREATE",
        "PROGRESS",
        "REASON",
        "STATUS",
        "EVENT",
    ]
    assert world.told["ADMIT"] == Done("took ADMIT")


def test_never_more_than_the_limit_is_in_flight() -> None:
    async def scenario(world: World) -> None:
        for number in range(100):
            world.submit(Lane.ADMIT, str(number))
        await world.writes.drain()

    world = play(scenario)
    assert world.most_in_flight == 32
    assert len(world.told) == 100


def test_an_urgent_write_overtakes_all_that_wait() -> None:
    async def scenario(world: World) -> None:
        for number in range(4):
            world.submit(Lane.PROGRESS, str(number))
        await asyncio.sleep(0.05)
        world.submit(Lane.EVICT, "urgent")
        await world.writes.drain()

    assert play(scenario, max_in_flight=2).names() == ["0", "1", "urgent", "2", "3"]


def test_of_writes_with_one_lane_and_key_the_latest_goes_and_keeps_the_place() -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.STATUS, "tree", "first")
        world.submit(Lane.STATUS, "queue")
        world.submit(Lane.STATUS, "tree", "second")
        world.submit(Lane.STATUS, "tree", "third")
        assert world.writes.waiting[Lane.STATUS] == 2
        await world.writes.drain()
        assert world.writes.waiting[Lane.STATUS] == 0

    world = play(scenario, max_in_flight=1)
    assert world.names() == ["third", "queue"]
    assert world.told["first"] == world.told["second"] == Superseded()
    assert world.writes.counts[Lane.STATUS, "superseded"] == 2
    assert world.writes.counts[Lane.STATUS, "sent"] == 2


def test_two_writes_of_one_key_are_never_in_flight_together_whatever_their_lanes() -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.ADMIT, "unit", "admit")
        await asyncio.sleep(0.01)
        world.submit(Lane.REASON, "unit", "reason")
        world.submit(Lane.EVICT, "unit", "evict")
        world.submit(Lane.EVICT, "unit", "evict anew")
        await world.writes.drain()

    world = play(scenario)
    assert world.sent == [("admit", 0.0), ("evict anew", 0.1), ("reason", 0.2)]
    assert world.told["evict"] == Superseded()


def test_the_slow_lanes_share_fifty_writes_a_second_and_the_others_do_not_wait_for_them() -> None:
    async def scenario(world: World) -> None:
        for number in range(100):
            for lane in (Lane.REASON, Lane.STATUS, Lane.EVENT, Lane.CREATE):
                world.submit(lane, f"{lane.name}{number}")
        await world.writes.drain()

    world = play(scenario)
    slow = [when for name, when in world.sent if not name.startswith("CREATE")]
    fast = [when for name, when in world.sent if name.startswith("CREATE")]
    assert max(fast) <= 0.4
    for start in range(6):
        assert sum(start <= when < start + 1 for when in slow) <= 56
    assert max(slow) == pytest.approx((300 - 5) / 50, abs=0.3)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionLost("dropped"),
        TooManyRequests(429, "TooManyRequests", "slow down"),
        ServerFault(503, "ServiceUnavailable", "starting"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_write_whose_outcome_is_in_doubt_is_sent_again(error: KubeQueueError) -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.ADMIT, "unit", answers=[error, error])
        await world.writes.drain()

    world = play(scenario)
    assert world.told == {"unit": Done("took unit")}
    assert world.writes.counts == {(Lane.ADMIT, "sent"): 1, (Lane.ADMIT, "retried"): 2}


@pytest.mark.parametrize(
    "error",
    [
        Conflict(409, "Conflict", "changed"),
        AlreadyExists(409, "AlreadyExists", "there"),
        NotFound(404, "NotFound", "gone"),
        Invalid(422, "Invalid", "no"),
        Forbidden(403, "Forbidden", "no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_is_given_to_the_caller_at_once(error: KubeQueueError) -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.ADMIT, "unit", answers=[error])
        await world.writes.drain()

    world = play(scenario)
    assert world.told == {"unit": Failed(error)}
    assert world.sent == [("unit", 0.0)]
    assert world.writes.counts == {(Lane.ADMIT, "failed"): 1}


def test_a_server_that_names_a_time_is_obeyed() -> None:
    async def scenario(world: World) -> None:
        error = TooManyRequests(429, "TooManyRequests", "slow down", retry_after=7)
        world.submit(Lane.ADMIT, "unit", answers=[error])
        await world.writes.drain()

    (_, first), (_, second) = play(scenario).sent
    assert 7 <= second - first <= 7 * 1.5 + 0.1


def test_a_write_that_never_succeeds_is_given_up_after_eight_attempts() -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.ADMIT, "unit", answers=[ConnectionLost("dropped")] * 20)
        await world.writes.drain()

    world = play(scenario)
    assert len(world.sent) == 8
    assert isinstance(world.told["unit"], Failed)


def test_a_write_that_rests_leaves_its_place_to_others() -> None:
    async def scenario(world: World) -> None:
        error = TooManyRequests(429, "TooManyRequests", "slow down", retry_after=5)
        world.submit(Lane.ADMIT, "rests", answers=[error])
        world.submit(Lane.ADMIT, "goes on")
        await world.writes.drain()

    world = play(scenario, max_in_flight=1)
    assert world.names() == ["rests", "goes on", "rests"]
    assert world.sent[1][1] < 1


def test_a_later_write_takes_the_place_of_one_that_rests() -> None:
    async def scenario(world: World) -> None:
        world.submit(Lane.REASON, "unit", "old", answers=[ConnectionLost("dropped")])
        await asyncio.sleep(0.15)
        world.submit(Lane.REASON, "unit", "new")
        await world.writes.drain()

    world = play(scenario)
    assert world.names() == ["old", "new"]
    assert world.told == {"old": Superseded(), "new": Done("took new")}


def test_who_waits_for_a_write_gets_its_answer_or_its_error() -> None:
    async def scenario(world: World) -> None:
        async def fine(client: Client) -> str:
            return "fine"

        async def refused(client: Client) -> str:
            raise Conflict(409, "Conflict", "changed")

        assert await world.writes.write(Lane.CREATE, "a", fine) == "fine"
        with pytest.raises(Conflict):
            await world.writes.write(Lane.CREATE, "b", refused)
        first = asyncio.create_task(world.writes.write(Lane.CREATE, "c", fine))
        second = asyncio.create_task(world.writes.write(Lane.CREATE, "c", fine))
        with pytest.raises(Overtaken):
            await first
        assert await second == "fine"

    play(scenario)


def test_drained_means_that_also_what_the_outcomes_led_to_is_over() -> None:
    async def scenario(world: World) -> None:
        async def send(client: Client) -> None:
            await asyncio.sleep(0.1)

        world.writes.submit(
            Lane.ADMIT, "a", send, lambda outcome: world.submit(Lane.EVENT, "about a")
        )
        await world.writes.drain()
        assert "about a" in world.told

    play(scenario)


def test_a_stopped_scheduler_tells_everyone_and_takes_nothing_more() -> None:
    async def main() -> World:
        writes = WriteScheduler(Client(ScriptedTransport()), max_in_flight=1, rng=random.Random(3))
        world = World(writes)
        running = asyncio.create_task(writes.run())
        rests = TooManyRequests(429, "TooManyRequests", "slow down", retry_after=50)
        world.submit(Lane.ADMIT, "rests", answers=[rests])
        await asyncio.sleep(0.15)
        for name in ("in flight", "waits"):
            world.submit(Lane.ADMIT, name)
        world.submit(Lane.EVENT, "waits for the bucket")
        await asyncio.sleep(0.05)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        world.submit(Lane.ADMIT, "too late")
        await writes.drain()
        await asyncio.sleep(0)
        return world

    world = run_virtual(main())
    assert world.names() == ["rests", "in flight"]
    assert len(world.told) == 5
    for outcome in world.told.values():
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, ConnectionLost)


@pytest.mark.parametrize("where", ["send", "done"])
def test_a_bug_in_a_write_ends_the_scheduler_with_it(where: str) -> None:
    async def main() -> None:
        writes = WriteScheduler(Client(ScriptedTransport()), rng=random.Random(3))

        async def send(client: Client) -> None:
            if where == "send":
                raise ZeroDivisionError

        def done(outcome: Outcome) -> None:
            if where == "done":
                raise ZeroDivisionError

        writes.submit(Lane.ADMIT, "a", send, done)
        await writes.run()

    with pytest.raises(ZeroDivisionError):
        run_virtual(main())


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Lane)),
            st.integers(0, 4),
            st.sampled_from(["taken", "lost", "refused"]),
            st.sampled_from([0.0, 0.0, 0.03, 0.3]),
        ),
        max_size=60,
    )
)
def test_every_write_is_told_once_and_a_key_ends_with_its_latest(
    submitted: list[tuple[Lane, int, str, float]],
) -> None:
    errors: dict[str, list[KubeQueueError]] = {
        "taken": [],
        "lost": [ConnectionLost("dropped")],
        "refused": [Conflict(409, "Conflict", "changed")],
    }
    latest: dict[tuple[Lane, int], str] = {}

    async def scenario(world: World) -> None:
        for number, (lane, key, fate, pause) in enumerate(submitted):
            latest[lane, key] = f"w{number}"
            world.submit(lane, str(key), f"w{number}", errors[fate])
            await asyncio.sleep(pause)
        await world.writes.drain()

    world = play(scenario, max_in_flight=3)
    assert len(world.told) == len(submitted)
    assert world.most_in_flight <= 3
    assert not any(isinstance(world.told[name], Superseded) for name in latest.values())
    counted: Counter[str] = Counter()
    for (_, outcome), count in world.writes.counts.items():
        counted[outcome] += count
    assert counted["sent"] + counted["failed"] + counted["superseded"] == len(submitted)
    assert len(world.sent) == counted["sent"] + counted["failed"] + counted["retried"] + sum(
        # Overtaken while resting: sent once already.
        isinstance(outcome, Superseded) and name in world.names()
        for name, outcome in world.told.items()
    )
