"""What a process knows includes what it wrote itself."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from kube_queue.app.virtual_time import run_virtual
from kube_queue.simulator.table import UNCONFIRMED_SECONDS, Table


@dataclass(frozen=True)
class Thing:
    name: str
    version: int
    uid: str = "u1"
    owner: str = "o"
    namespace: str = "default"

    @property
    def resource_version(self) -> str:
        return str(self.version)


@dataclass
class Watch:
    """Stands where the informer does: it tells what the test wants to be told."""

    tell: list[Any] = field(default_factory=list)
    synced: asyncio.Event = field(default_factory=asyncio.Event)

    def add_handler(self, handler: Any) -> None:
        self.tell.append(handler)

    def says(self, old: Thing | None, new: Thing | None) -> None:
        for handler in self.tell:
            handler(old, new)


def in_time(story: Any) -> None:
    async def play() -> None:
        watch = Watch()
        table: Table[Thing] = Table(watch, lambda thing: thing.owner)  # type: ignore[arg-type]
        await story(watch, table)

    run_virtual(play())


def test_an_own_write_is_known_before_the_watch_tells():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        table.wrote(Thing("a", 5))
        assert [thing.name for thing in table.of_group("o")] == ["a"]

    in_time(story)


def test_an_older_version_never_replaces_a_newer_one():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        watch.says(None, Thing("a", 5))
        table.wrote(Thing("a", 9))
        watch.says(Thing("a", 5), Thing("a", 7))
        assert table.get("default", "a") == Thing("a", 9)
        table.wrote(Thing("a", 8))
        assert table.get("default", "a") == Thing("a", 9)

    in_time(story)


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted_meanwhile():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        watch.says(None, Thing("a", 5))
        watch.says(Thing("a", 5), None)
        table.wrote(Thing("a", 4))
        assert table.get("default", "a") is None
        assert table.of_group("o") == []

    in_time(story)


def test_a_write_that_no_watch_ever_shows_is_forgotten_in_the_end():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        heard: list[tuple[Thing | None, Thing | None]] = []
        table.subscribe(lambda old, new: heard.append((old, new)))
        table.wrote(Thing("a", 5))
        await asyncio.sleep(UNCONFIRMED_SECONDS + 1)
        assert table.get("default", "a") is None
        assert heard == [(None, Thing("a", 5)), (Thing("a", 5), None)]

    in_time(story)


def test_a_write_that_the_watch_shows_stays():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        table.wrote(Thing("a", 5))
        watch.says(None, Thing("a", 5))
        await asyncio.sleep(UNCONFIRMED_SECONDS + 1)
        assert table.get("default", "a") == Thing("a", 5)

    in_time(story)


def test_a_new_object_of_an_old_name_takes_its_place_in_its_own_group():
    async def story(watch: Watch, table: Table[Thing]) -> None:
        watch.says(None, Thing("a", 5))
        watch.says(Thing("a", 5), Thing("a", 6, uid="u2", owner="p"))
        assert table.of_group("o") == []
        assert [thing.uid for thing in table.of_group("p")] == ["u2"]

    in_time(story)
