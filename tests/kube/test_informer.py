"""The local copy of one kind, against a server that plays a script, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kube_queue.api.types import PODS
from kube_queue.app.virtual_time import run_virtual
from kube_queue.kube.client import Client
from kube_queue.kube.informer import STALL_SECONDS, Informer
from tests.kube.scripted import (
    Dropped,
    Listed,
    Refusal,
    ScriptedTransport,
    Silent,
    Step,
    Watched,
    an_object,
    bookmark,
    error_event,
    event,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A projection that keeps one field and cannot read an object without it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    colour: str


def project(obj: dict[str, Any]) -> Seen:
    metadata = obj["metadata"]
    assert "managedFields" not in metadata
    return Seen(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        metadata["resourceVersion"],
        obj["colour"],
    )


def a_pod(name: str, version: str, colour: str = "red", *, uid: str = "") -> dict[str, Any]:
    return an_object(name, version, uid=uid, colour=colour)


@dataclass
class Played:
    """What came of a script: who was asked what, what handlers were told, and the end's copy."""

    transport: ScriptedTransport
    informer: Informer[Seen]
    told: list[str]
    took: float

    def copy(self) -> dict[str, str]:
        return {one.name: one.colour for one in self.informer.values()}


def play(
    *script: Step, check: Callable[[Informer[Seen], int], None] | None = None, page_size: int = 2
) -> Played:
    """Run an informer through the script until it asks for more than the script has."""

    async def main() -> Played:
        transport = ScriptedTransport(list(script))
        informer = Informer(
            Client(transport), PODS, project, rng=random.Random(7), page_size=page_size
        )
        told: list[str] = []

        def tell(old: Seen | None, new: Seen | None) -> None:
            match old, new:
                case None, Seen():
                    told.append(f"+{new.name}:{new.colour}")
                case Seen(), None:
                    told.append(f"-{old.name}:{old.colour}")
                case Seen(), Seen():
                    told.append(f"{old.name}:{old.colour}>{new.colour}")

        informer.add_handler(tell)
        task = asyncio.create_task(informer.run())
        await asyncio.wait(
            {task, asyncio.create_task(transport.played.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        took = asyncio.get_running_loop().time()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return Played(transport, informer, told, took)

    return run_virtual(main())


def test_pages_are_followed_to_the_end_before_the_copy_counts_as_synced() -> None:
    played = play(
        Listed("10", [a_pod("a", "1"), a_pod("b", "2")], token="next"),
        Listed("10", [a_pod("c", "3")]),
    )
    assert played.copy() == {"a": "red", "b": "red", "c": "red"}
    assert played.told == ["+a:red", "+b:red", "+c:red"]
    assert played.informer.synced.is_set()
    first, second, watch = played.transport.asked
    assert (first.query, second.query) == ({"limit": "2"}, {"limit": "2", "continue": "next"})
    assert watch.query["resourceVersion"] == "10"
    assert watch.query["allowWatchBookmarks"] == "true"
    assert 300 <= int(watch.query["timeoutSeconds"]) <= 600


def test_a_list_cut_short_is_not_synced_and_told_to_nobody() -> None:
    played = play(Listed("10", [a_pod("a", "1")], token="next"), Refusal(500))
    assert not played.informer.synced.is_set()
    assert played.told == []


def test_changes_are_told_in_order_with_old_and_new() -> None:
    played = play(
        Listed("10", [a_pod("a", "1")]),
        Watched(
            [
                event("ADDED", a_pod("b", "11")),
                event("MODIFIED", a_pod("a", "12", "blue")),
                event("DELETED", a_pod("b", "13")),
                event("MODIFIED", a_pod("a", "14", "green")),
            ]
        ),
    )
    assert played.told == ["+a:red", "+b:red", "a:red>blue", "-b:red", "a:blue>green"]
    assert played.copy() == {"a": "green"}


def test_a_watch_that_ends_is_resumed_from_the_last_version_without_a_list() -> None:
    played = play(
        Listed("10"), Watched([event("ADDED", a_pod("a", "17"))]), Watched(), Watched(seconds=300)
    )
    assert played.transport.paths() == ["GET", "WATCH 10", "WATCH 17", "WATCH 17", "WATCH 17"]
    assert played.informer.relists == 0


def test_a_watch_that_brought_something_is_resumed_at_once_however_short_it_was() -> None:
    steps = [Watched([event("ADDED", a_pod(f"p{n}", str(20 + n)))], seconds=0) for n in range(50)]
    played = play(Listed("10"), *steps)
    assert played.took == 0
    assert len(played.copy()) == 50


def test_a_bookmark_moves_the_version_a_watch_resumes_from() -> None:
    played = play(Listed("10"), Watched([bookmark("99")]))
    assert played.transport.paths() == ["GET", "WATCH 10", "WATCH 99"]
    assert played.told == []


@pytest.mark.parametrize(
    "expiry",
    [
        Refusal(410, "Expired"),
        Watched([error_event(410, "Expired")]),
        Watched([error_event(410, "Gone")]),
        Watched([error_event(500, "InternalError")]),
    ],
    ids=["at the start", "in mid-stream", "by its old name", "a fault of the watch itself"],
)
def test_a_version_no_longer_known_means_a_new_list_told_as_differences(expiry: Step) -> None:
    played = play(
        Listed("10", [a_pod("same", "1"), a_pod("goes", "2")], token="next"),
        Listed("10", [a_pod("changes", "3"), a_pod("again", "4")]),
        expiry,
        Listed(
            "50",
            [
                a_pod("same", "1"),
                a_pod("changes", "31", "blue"),
                a_pod("again", "40", "green", uid="another"),
                a_pod("new", "41"),
            ],
        ),
    )
    assert played.told[4:] == [
        "-goes:red",
        "changes:red>blue",
        "-again:red",
        "+again:green",
        "+new:red",
    ]
    assert played.transport.paths()[2:] == ["WATCH 10", "GET", "WATCH 50"]
    assert played.informer.relists == 1


def test_a_list_that_expires_between_pages_is_taken_whole_in_one_page() -> None:
    played = play(
        Listed("10", [a_pod("a", "1")], token="next"),
        Refusal(410, "Expired"),
        Listed("20", [a_pod("a", "1"), a_pod("b", "2"), a_pod("c", "3")]),
    )
    assert [one.query.get("limit") for one in played.transport.asked[:3]] == ["2", "2", None]
    assert sorted(played.copy()) == ["a", "b", "c"]


def test_a_kind_not_served_is_asked_for_again_and_again_with_growing_pauses() -> None:
    played = play(*[Refusal(404, "NotFound")] * 12, Listed("10", [a_pod("a", "1")]))
    assert played.copy() == {"a": "red"}
    times = [one.at for one in played.transport.asked]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] < 0.5
    assert all(pause <= 45 for pause in pauses)
    assert pauses[10] > 20


def test_a_kind_no_longer_served_keeps_its_objects_until_it_can_be_listed_again() -> None:
    # Deleting a kind deletes its objects one by one first; a mere 404 may be a server starting.
    played = play(Listed("10", [a_pod("a", "1")]), Refusal(404, "NotFound"), Listed("30"))
    assert played.told == ["+a:red", "-a:red"]
    assert played.transport.paths() == ["GET", "WATCH 10", "GET", "WATCH 30"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_a_time_is_left_alone_for_at_least_that_long(status: int) -> None:
    played = play(Refusal(status, retry_after=20), Listed("10"), Refusal(status, retry_after=40))
    first, second, watch, again = (one.at for one in played.transport.asked)
    assert second - first >= 20
    assert again - watch >= 40
    assert played.transport.paths() == ["GET", "GET", "WATCH 10", "WATCH 10"]


def test_a_broken_connection_resumes_from_the_last_version() -> None:
    played = play(
        Dropped(),
        Listed("10"),
        Watched([event("ADDED", a_pod("a", "11")), Dropped()]),
        Dropped(),
        Watched([event("MODIFIED", a_pod("a", "12", "blue"))]),
    )
    assert played.transport.paths() == ["GET", "GET", "WATCH 10", *["WATCH 11"] * 2, "WATCH 12"]
    assert played.told == ["+a:red", "a:red>blue"]


def test_a_watch_gone_silent_is_given_up_a_little_after_its_own_end() -> None:
    played = play(Listed("10"), Watched([event("ADDED", a_pod("a", "11")), Silent()]))
    watch, again = played.transport.asked[1:]
    assert again.at - watch.at == int(watch.query["timeoutSeconds"]) + STALL_SECONDS
    assert again.query["resourceVersion"] == "11"


def test_watches_that_end_at_once_with_nothing_do_not_spin() -> None:
    played = play(Listed("10"), *[Watched(seconds=0)] * 30)
    assert played.took > 100
    assert played.informer.relists == 0


def test_an_object_that_cannot_be_read_stays_as_last_read_and_stops_nothing() -> None:
    unreadable = an_object("a", "11")
    played = play(
        Listed("10", [a_pod("a", "1"), an_object("never", "2")]),
        Watched([event("MODIFIED", unreadable), event("ADDED", a_pod("b", "12"))]),
        Refusal(410),
        Listed("20", [unreadable, a_pod("b", "12")]),
        Watched([event("DELETED", unreadable)]),
    )
    assert played.told == ["+a:red", "+b:red", "-a:red"]
    assert played.informer.unreadable == 3


@pytest.mark.parametrize(
    "line", [b"half a li", b"[]", b'{"type":"ADDED"}', b'{"type":"ADDED","object":7}']
)
def test_a_line_that_is_no_event_is_like_a_broken_connection(line: bytes) -> None:
    played = play(Listed("10"), Watched([event("ADDED", a_pod("a", "11")), line]))
    assert played.transport.paths() == ["GET", "WATCH 10", "WATCH 11"]


def test_a_handler_added_late_is_told_what_is_there() -> None:
    played = play(Listed("10", [a_pod("a", "1"), a_pod("b", "2")]))
    told: list[str] = []
    played.informer.add_handler(lambda old, new: told.append(new.name if new else "?"))
    assert told == ["a", "b"]


def test_objects_reach_the_projection_without_managed_fields_and_with_their_kind() -> None:
    pod = a_pod("a", "1")
    pod["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    kinds: list[tuple[str, str]] = []

    async def main() -> None:
        transport = ScriptedTransport([Listed("10", [pod])])

        def look(obj: dict[str, Any]) -> Seen:
            kinds.append((obj["apiVersion"], obj["kind"]))
            return project(obj)

        informer = Informer(Client(transport), PODS, look, rng=random.Random(1))
        task = asyncio.create_task(informer.run())
        await informer.synced.wait()
        task.cancel()

    run_virtual(main())
    assert kinds == [("v1", "Pod")]


def test_a_bug_in_a_handler_is_not_swallowed() -> None:
    async def main() -> None:
        transport = ScriptedTransport([Listed("10", [a_pod("a", "1")])])
        informer = Informer(Client(transport), PODS, project, rng=random.Random(1))

        def handler(old: Seen | None, new: Seen | None) -> None:
            raise ZeroDivisionError

        informer.add_handler(handler)
        await informer.run()

    with pytest.raises(ZeroDivisionError):
        run_virtual(main())
