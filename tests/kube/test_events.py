"""Events as kubectl describe shows them, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.kube import events
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, ObjectRef
from kube_queue.kube.writes import WriteScheduler
from tests.kube.scripted import Asked, Refusal, ScriptedTransport

UNIT = ObjectRef("scheduling.x-k8s.io/v1alpha1", "QueueUnit", "team", "job1-tf-qu", "u1")


class World:
    """A recorder and the Events a server ended up with."""

    def __init__(self, *, answer: Callable[[Asked], Any] | None = None) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.transport = ScriptedTransport(handler=self._handle)
        self.answer = answer
        self.writes = WriteScheduler(Client(self.transport), rng=random.Random(1))
        self.recorder = EventRecorder(self.writes, "kube-queue", virtual_clock(), random.Random(2))

    def _handle(self, asked: Asked) -> Any:
        given = self.answer(asked) if self.answer is not None else None
        if given is not None:
            return given
        if asked.method == "POST":
            name = asked.body["metadata"]["name"]
            if name in self.stored:
                return Refusal(409, "AlreadyExists").response()
            self.stored[name] = dict(asked.body)
            return asked.body
        name = asked.path.rsplit("/", 1)[1]
        if name not in self.stored:
            return Refusal(404, "NotFound").response()
        self.stored[name] |= asked.body
        return self.stored[name]


def test_an_event_says_what_happened_to_which_object_when() -> None:
    async def main() -> None:
        world = World()
        await asyncio.sleep(3)
        world.recorder.record(UNIT, "Normal", "Admitted", "admitted to root/team")
        await world.writes.drain()
        (asked,) = world.transport.asked
        assert asked.path == "/api/v1/namespaces/team/events"
        (event,) = world.stored.values()
        assert event["metadata"]["name"].startswith("job1-tf-qu.")
        assert event["involvedObject"] == {
            "apiVersion": "scheduling.x-k8s.io/v1alpha1",
            "kind": "QueueUnit",
            "namespace": "team",
            "name": "job1-tf-qu",
            "uid": "u1",
        }
        assert (event["type"], event["reason"]) == ("Normal", "Admitted")
        assert event["message"] == "admitted to root/team"
        assert event["count"] == 1
        assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:03Z"
        assert event["source"] == {"component": "kube-queue"}

    run_virtual(main())


def test_the_same_words_about_the_same_object_are_one_event_with_a_count() -> None:
    async def main() -> None:
        world = World()
        for _ in range(5):
            world.recorder.record(UNIT, "Warning", "Failed", "no")
            await world.writes.drain()
            await asyncio.sleep(10)
        (event,) = world.stored.values()
        assert event["count"] == 5
        assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
        assert event["lastTimestamp"] == "2026-01-01T00:00:40Z"
        world.recorder.record(UNIT, "Warning", "Failed", "other words")
        await world.writes.drain()
        assert len(world.stored) == 2

    run_virtual(main())


def test_a_hundred_in_one_breath_are_one_write() -> None:
    async def main() -> None:
        world = World()
        for _ in range(100):
            world.recorder.record(UNIT, "Normal", "Waiting", "no quota")
        await world.writes.drain()
        assert len(world.transport.asked) == 1
        (event,) = world.stored.values()
        assert event["count"] == 100
        assert world.recorder.dropped == 0

    run_virtual(main())


def test_an_event_the_server_forgot_is_written_anew() -> None:
    async def main() -> None:
        world = World()
        world.recorder.record(UNIT, "Normal", "Waiting", "no quota")
        await world.writes.drain()
        world.stored.clear()
        world.recorder.record(UNIT, "Normal", "Waiting", "no quota")
        await world.writes.drain()
        (event,) = world.stored.values()
        assert event["count"] == 2

    run_virtual(main())


def test_events_of_one_second_are_listed_in_the_order_in_which_they_happened() -> None:
    async def main() -> None:
        world = World()
        reasons = [f"Reason{number}" for number in range(9)]
        for reason in reasons:
            world.recorder.record(UNIT, "Normal", reason, "it happened")
            await asyncio.sleep(0.01)
        await world.writes.drain()
        listed = [world.stored[name] for name in sorted(world.stored)]
        assert [event["reason"] for event in listed] == reasons

    run_virtual(main())


def test_events_about_cluster_scoped_objects_are_in_the_default_namespace() -> None:
    async def main() -> None:
        world = World()
        node = ObjectRef("v1", "Node", "", "n1", "u2")
        world.recorder.record(node, "Normal", "Seen", "there")
        await world.writes.drain()
        assert world.transport.asked[0].path == "/api/v1/namespaces/default/events"

    run_virtual(main())


def test_what_a_server_refuses_is_dropped_and_counted() -> None:
    async def main() -> None:
        world = World(answer=lambda asked: Refusal(403, "Forbidden").response())
        world.recorder.record(UNIT, "Normal", "Waiting", "no quota")
        await world.writes.drain()
        assert world.recorder.dropped == 1

    run_virtual(main())


def test_more_than_can_wait_is_dropped_and_counted() -> None:
    async def main() -> None:
        world = World()
        for number in range(events.WAITING_LIMIT + 7):
            world.recorder.record(UNIT, "Normal", "Waiting", f"number {number}")
        assert world.recorder.dropped == 7
        await world.writes.drain()
        assert len(world.stored) == events.WAITING_LIMIT
        assert asyncio.get_running_loop().time() > 15

    run_virtual(main())
