"""A server with a journal: what outlives it, what is told when, and what is refused."""

import asyncio
import json
import random
import shutil
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kube_queue.apiserver import commits, journal
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.journal import Changes, Journal, JournalError
from kube_queue.apiserver.tls import kept
from tests.apiserver.client import (
    CONFIG_MAPS,
    CRDS,
    PODS,
    START,
    UNITS,
    Api,
    Clock,
    InProcess,
    a_config_map,
    a_definition,
    a_pod,
    a_unit,
)

NAMESPACES = "/api/v1/namespaces"


class HeldJournal(Journal):
    """Commits nothing while `gate` is closed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.gate.set()
        self.commits: list[int] = []

    def commit(self, changes: Changes, rv: int) -> None:
        assert self.gate.wait(10)
        self.commits.append(len(changes))
        super().commit(changes, rv)


@asynccontextmanager
async def served(folder: Path, store: Journal | None = None) -> AsyncIterator[Api]:
    """A server on that folder, ended as by SIGTERM."""
    clock = Clock()
    server = ApiServer(clock=clock, rng=random.Random(), journal=store or Journal(folder))
    wire = InProcess(server)
    try:
        yield Api(wire, server, clock)
    finally:
        await wire.close()
        await server.close()


def limit(store: Journal, pages: int) -> None:
    """The store's file may have no more than that many pages beyond its present ones."""
    (now,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {now + pages}")


def big(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"key": "x" * 200_000}}


async def version(api: Api, path: str = CONFIG_MAPS) -> int:
    return int((await api.get(path)).body["metadata"]["resourceVersion"])


async def test_everything_is_there_again_as_it_was(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.made(CRDS, a_definition())
        await api.made(NAMESPACES, {"metadata": {"name": "team"}})
        made = [
            await api.made(UNITS, a_unit()),
            await api.made(CONFIG_MAPS, a_config_map("a", colour="red")),
            await api.made("/api/v1/namespaces/team/configmaps", a_config_map("b")),
        ]
        places = [f"{UNITS}/u", f"{CONFIG_MAPS}/a", "/api/v1/namespaces/team/configmaps/b"]
        await api.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "changed"}})
        await api.made(CONFIG_MAPS, a_config_map("gone"))
        await api.delete(f"{CONFIG_MAPS}/gone")
        before = [(await api.get(path)).body for path in places]
        last = await version(api)
    async with served(tmp_path) as api:
        after = [(await api.get(path)).body for path in places]
        assert after == before
        assert [one["metadata"]["uid"] for one in after] == [one["metadata"]["uid"] for one in made]
        assert await api.names(CONFIG_MAPS, labelSelector="colour=red") == ["a"]
        assert (await api.get(f"{CONFIG_MAPS}/gone")).status == 404
        assert "default" in await api.names(NAMESPACES)
        # The definition still judges: this unit has no size.
        assert (await api.create(UNITS, {**a_unit("v"), "spec": {}})).status == 422
        assert await version(api) == last


async def test_versions_never_go_back_even_when_the_last_writes_were_deletions(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        for name in ("a", "b"):
            await api.made(CONFIG_MAPS, a_config_map(name))
        for name in ("a", "b"):
            await api.delete(f"{CONFIG_MAPS}/{name}")
        last = await version(api)
    async with served(tmp_path) as api:
        assert await version(api) == last
        made = await api.made(CONFIG_MAPS, a_config_map("c"))
        assert int(made["metadata"]["resourceVersion"]) == last + 1


async def test_a_watch_goes_on_from_the_last_version_and_is_told_to_list_from_older_ones(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        first = await api.made(CONFIG_MAPS, a_config_map("a"))
        await api.made(CONFIG_MAPS, a_config_map("b"))
        last = await version(api)
    async with served(tmp_path) as api:
        old = await api.watch(CONFIG_MAPS, resourceVersion=first["metadata"]["resourceVersion"])
        event = await old.next()
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        stream = await api.watch(CONFIG_MAPS, resourceVersion=str(last))
        await api.made(CONFIG_MAPS, a_config_map("c"))
        assert await stream.names(1) == [("ADDED", "c")]


async def test_nobody_is_told_of_a_write_before_it_is_on_disk(tmp_path: Path) -> None:
    store = HeldJournal(tmp_path)
    async with served(tmp_path, store) as api:
        await api.made(CONFIG_MAPS, a_config_map("a"))
        stream = await api.watch(CONFIG_MAPS, resourceVersion=str(await version(api)))
        store.gate.clear()
        event = asyncio.create_task(stream.next())
        write = asyncio.create_task(api.create(CONFIG_MAPS, a_config_map("b")))
        await api.settle()
        later = [
            asyncio.create_task(api.get(f"{CONFIG_MAPS}/b")),
            asyncio.create_task(api.create(CONFIG_MAPS, a_config_map("b"))),
        ]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in (event, write, *later))
        store.gate.set()
        assert (await event)["object"]["metadata"]["name"] == "b"
        assert (await write).status == 201
        assert [(await task).status for task in later] == [200, 409]


async def test_a_watch_that_begins_during_a_commit_shows_everything_once(tmp_path: Path) -> None:
    store = HeldJournal(tmp_path)
    async with served(tmp_path, store) as api:
        await api.made(CONFIG_MAPS, a_config_map("a"))
        store.gate.clear()
        writes = [asyncio.create_task(api.create(CONFIG_MAPS, a_config_map("b")))]
        await api.settle()
        opening = asyncio.create_task(api.watch(CONFIG_MAPS))
        await api.settle()
        writes.append(asyncio.create_task(api.create(CONFIG_MAPS, a_config_map("c"))))
        await api.settle()
        store.gate.set()
        stream = await opening
        assert await stream.names(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
        await asyncio.gather(*writes)
        await api.delete(f"{CONFIG_MAPS}/a")
        assert await stream.names(1) == [("DELETED", "a")]


async def test_watches_see_the_last_objects_of_a_definition_go_before_they_end(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        await api.made(CRDS, a_definition())
        await api.made(UNITS, a_unit())
        stream = await api.watch(UNITS)
        assert await stream.names(1) == [("ADDED", "u")]
        await api.delete(f"{CRDS}/units.test.kube-queue.io")
        assert await stream.names(1) == [("DELETED", "u")]
        assert await stream.ended()
        assert (await api.get(UNITS)).status == 404


async def test_what_is_written_during_a_commit_shares_the_next_one(tmp_path: Path) -> None:
    store = HeldJournal(tmp_path)
    async with served(tmp_path, store) as api:
        await api.get(CONFIG_MAPS)
        store.commits.clear()
        store.gate.clear()
        first = asyncio.create_task(api.create(CONFIG_MAPS, a_config_map("first")))
        await api.settle()
        others = [
            asyncio.create_task(api.create(CONFIG_MAPS, a_config_map(f"c{n}"))) for n in range(9)
        ]
        await api.settle()
        store.gate.set()
        assert {answer.status for answer in await asyncio.gather(first, *others)} == {201}
        assert store.commits == [1, 9]


async def test_a_write_that_finds_no_room_is_refused_and_has_not_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "RETRY_SECONDS", 0.01)
    store = Journal(tmp_path)
    async with served(tmp_path, store) as api:
        await api.made(CRDS, a_definition())
        kept_one = await api.made(CONFIG_MAPS, a_config_map("kept"))
        last = await version(api)
        stream = await api.watch(CONFIG_MAPS, resourceVersion=str(last))
        limit(store, 20)
        refused = await api.create(CONFIG_MAPS, big("big"))
        assert (refused.status, refused.reason) == (507, "InsufficientStorage")
        assert "was not made" in refused.message and "disk is full" in refused.message
        assert await api.names(CONFIG_MAPS) == ["kept"]
        assert await version(api) == last
        together = await asyncio.gather(
            api.create(CONFIG_MAPS, big("big")),
            api.patch(f"{CONFIG_MAPS}/kept", {"data": {"key": "other"}}),
            api.delete(f"{CRDS}/units.test.kube-queue.io"),
            api.create(CRDS, a_definition("parts", "Part")),
        )
        assert [answer.status for answer in together] == [507] * 4
        assert (await api.get(f"{CONFIG_MAPS}/kept")).body == kept_one
        assert (await api.get("/apis/test.kube-queue.io/v1/parts")).status == 404
        limit(store, 10_000)
        await api.made(UNITS, a_unit())
        await api.made(CONFIG_MAPS, big("big"))
        assert await stream.names(1) == [("ADDED", "big")]
        last = await version(api)
    async with served(tmp_path) as api:
        assert await api.names(CONFIG_MAPS) == ["big", "kept"]
        assert await api.names(UNITS) == ["u"]
        assert await version(api) == last


async def test_what_the_server_was_doing_itself_goes_on_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "RETRY_SECONDS", 0.01)

    class Full(HeldJournal):
        full = False

        def commit(self, changes: Changes, rv: int) -> None:
            # The deletion of the namespace itself is stored, what follows is not.
            if self.full and any(key == "team/a" for _, key in changes):
                raise JournalError("no")
            super().commit(changes, rv)

    store = Full(tmp_path)
    async with served(tmp_path, store) as api:
        await api.made(NAMESPACES, {"metadata": {"name": "team"}})
        await api.made("/api/v1/namespaces/team/configmaps", a_config_map("a"))
        store.full = True
        assert (await api.delete(f"{NAMESPACES}/team")).status == 200
        await asyncio.sleep(0.1)
        assert await api.names("/api/v1/namespaces/team/configmaps") == ["a"]
        store.full = False
        async with asyncio.timeout(30):
            while (await api.get(f"{NAMESPACES}/team")).status != 404:
                await asyncio.sleep(0.01)


async def test_what_a_dead_server_had_not_finished_is_finished_by_the_next(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.made(NAMESPACES, {"metadata": {"name": "team"}})
        await api.made("/api/v1/namespaces/team/configmaps", a_config_map("a"))
        owner = await api.made(CONFIG_MAPS, a_config_map("owner"))
        reference = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }
        owned = a_pod("owned")
        owned["metadata"]["ownerReferences"] = [reference]
        await api.made("/api/v1/namespaces/default/pods", owned)
        team = (await api.get(f"{NAMESPACES}/team")).body
    store = Journal(tmp_path)
    team["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    changes = {
        ("/namespaces", "team"): json.dumps(team).encode(),
        ("/configmaps", "default/owner"): None,
    }
    store.commit(changes, store.rv + 2)
    store.close()
    async with served(tmp_path) as api, asyncio.timeout(30):
        while await api.names("/api/v1/namespaces/default/pods"):
            await asyncio.sleep(0.01)
        while (await api.get(f"{NAMESPACES}/team")).status != 404:
            await asyncio.sleep(0.01)


async def filled(folder: Path) -> None:
    async with served(folder) as api:
        for name in range(40):
            await api.made(CONFIG_MAPS, a_config_map(f"c{name}"))


async def cut_short(folder: Path) -> None:
    path = folder / "store.db"
    path.write_bytes(path.read_bytes()[:-5000])


async def overwritten(folder: Path) -> None:
    (folder / "store.db").write_text("shopping list: bread, butter\n" * 300)


async def scribbled_on(folder: Path) -> None:
    path = folder / "store.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(len(whole) - 8192) + whole[-4096:])


async def altered(folder: Path) -> None:
    path = folder / "store.db"
    whole = path.read_bytes()
    assert b'"key":"value"' in whole
    path.write_bytes(whole.replace(b'"key":"value"', b'"key":"vague"', 1))


async def without_its_log(folder: Path) -> None:
    """What a copy of store.db alone, taken while the server runs, lacks."""
    async with served(folder) as api:
        await api.made(CONFIG_MAPS, a_config_map("late"))
        alone = (folder / "store.db").read_bytes()
        told = (folder / "acknowledged").read_bytes()
    (folder / "store.db").write_bytes(alone)
    (folder / "acknowledged").write_bytes(told)


@pytest.mark.parametrize("damage", [cut_short, overwritten, scribbled_on, altered, without_its_log])
async def test_a_damaged_store_is_refused_in_one_sentence_and_a_copy_is_kept(
    tmp_path: Path, damage: Any
) -> None:
    await filled(tmp_path)
    await damage(tmp_path)
    content = (tmp_path / "store.db").read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=r"store\.db is damaged \(.*\); a copy is ") as info:
            async with served(tmp_path):
                pass
        assert "\n" not in str(info.value)
    (copy,) = tmp_path.glob("store.db.damaged-*")
    assert copy.read_bytes() == content


async def test_a_store_that_is_gone_while_writes_were_acknowledged_is_not_begun_anew(
    tmp_path: Path,
) -> None:
    await filled(tmp_path)
    (tmp_path / "store.db").unlink()
    with pytest.raises(JournalError, match="it ends at version 0, but 46 was acknowledged"):
        Journal(tmp_path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db")
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    content = (tmp_path / "store.db").read_bytes()
    with pytest.raises(JournalError, match="belongs to another program"):
        Journal(tmp_path)
    assert (tmp_path / "store.db").read_bytes() == content


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    newer = sqlite3.connect(tmp_path / "store.db")
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(JournalError, match="format 2 of a newer version"):
        Journal(tmp_path)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file/data cannot be used: Not a directory"):
        Journal(tmp_path / "file" / "data")


async def test_a_second_server_on_the_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "kube_queue.apiserver", "--data-dir", str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, said = await second.communicate()
        assert (second.returncode, out) == (1, b"")
        assert said.decode() == f"Error: {tmp_path} is in use by another server\n"
        await api.made(CONFIG_MAPS, a_config_map("a"))
    async with served(tmp_path) as api:
        assert await api.names(CONFIG_MAPS) == ["a"]


def test_endless_updates_do_not_let_the_files_grow(tmp_path: Path) -> None:
    store = Journal(tmp_path)

    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    def update(rv: int) -> None:
        raw = random.Random(rv).randbytes(5_000) * 4
        store.commit({("/configmaps", f"default/c{n}"): raw for n in range(10)}, rv)

    for rv in range(1, 101):
        update(rv)
    after_a_hundred = size()
    for rv in range(101, 401):
        update(rv)
    assert size() <= 1.2 * after_a_hundred
    assert size() < 16 << 20
    store.close()


def test_what_deletions_leave_empty_is_given_back(tmp_path: Path) -> None:
    store = Journal(tmp_path)
    keys = [("/configmaps", f"default/c{n}") for n in range(2_000)]
    store.commit(dict.fromkeys(keys, b"x" * 10_000), 1)
    store.commit(dict.fromkeys(keys), 2)
    for rv in range(3, 40):
        store.commit({("/configmaps", "default/none"): None}, rv)
    store.close()
    assert (tmp_path / "store.db").stat().st_size < 6 << 20


def test_only_the_owner_may_read_what_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = Journal(folder)
    store.commit({("/secrets", "default/s"): b"{}"}, 1)
    kept(folder / "certificate.pem", START)
    for path in (folder, *folder.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    store.close()


def test_a_kept_certificate_is_the_same_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "certificate.pem"
    first = kept(path, START)
    assert kept(path, START + 86_400) == first
    first.context()
    late = kept(path, START + 365 * 86_400)
    assert late != first
    path.write_text("not a certificate")
    assert kept(path, START) not in (first, late)


async def test_a_copy_taken_with_its_log_is_a_good_store(tmp_path: Path) -> None:
    """What kill -9 leaves: the files as they are in mid-life."""
    async with served(tmp_path / "one") as api:
        await api.made(CONFIG_MAPS, a_config_map("a"))
        last = await version(api)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
    async with served(tmp_path / "two") as api:
        assert await api.names(CONFIG_MAPS) == ["a"]
        assert await version(api) == last
    assert journal.FILE == "store.db"


async def test_quotas_and_budgets_count_on_where_they_were(tmp_path: Path) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "1"}}}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    budget = {"metadata": {"name": "b"}, "spec": {"selector": {}, "minAvailable": 1}}
    async with served(tmp_path) as api:
        await api.made(f"{NAMESPACES}/default/resourcequotas", quota)
        await api.made(CONFIG_MAPS, a_config_map("a"))
        await api.made(budgets, budget)
        await api.made(PODS, a_pod(nodeName="n"))
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await api.patch(f"{PODS}/p/status", {"status": ready})
    async with served(tmp_path) as api:
        refused = await api.create(CONFIG_MAPS, a_config_map("b"))
        assert (refused.status, "exceeded quota: q" in refused.message) == (403, True)
        evicted = await api.create(f"{PODS}/p/eviction", {"metadata": {"name": "p"}})
        assert (evicted.status, evicted.reason) == (429, "TooManyRequests")
        assert (await api.delete(f"{CONFIG_MAPS}/a")).status == 200
        assert (await api.create(CONFIG_MAPS, a_config_map("b"))).status == 201


async def test_what_could_not_be_stored_uses_no_quota(tmp_path: Path) -> None:
    store = Journal(tmp_path)
    async with served(tmp_path, store) as api:
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "1"}}}
        await api.made(f"{NAMESPACES}/default/resourcequotas", quota)
        limit(store, 10)
        assert (await api.create(CONFIG_MAPS, big("a"))).status == 507
        assert (await api.create(CONFIG_MAPS, a_config_map("b"))).status == 201
        assert (await api.create(CONFIG_MAPS, a_config_map("c"))).status == 403
