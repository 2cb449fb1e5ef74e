"""The store on disk: one SQLite file, whole again after a kill at any moment.

Holds: Journal, JournalError, NoRoom.

The file has one row for each object, and the resourceVersion of the last commit, so that it never
goes back, not even after deletions. Updates write over their row, SQLite folds its write-ahead log
back every thousand pages, and pages that deletions leave empty are given back: the file is bounded
by what exists, not by what happened. Every row carries a checksum. Beside the file, `acknowledged`
says how far clients were promised to be safe: if a part of the store is lost, that is noticed.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "store.db"
Changes = Mapping[tuple[str, str], bytes | None]
"""Resource and key of each object -> its bytes, or None when it is gone."""
_OURS = 0x6B71_7331
"""Marks a database as one of these; SQLite keeps it in the file's head."""
_FORMAT = 1
_CHUNK = 200
_LOG_LIMIT = 8 << 20
_WAIT_SECONDS = 3.0
"""How long the end of another server is waited for: one that was killed may be just leaving."""
_SPARE_PAGES = 1024
_FILES = ("", "-wal")
_BUSY, _FULL = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL

_SCHEMA = f"""
BEGIN;
CREATE TABLE objects (
    id INTEGER PRIMARY KEY, resource TEXT NOT NULL, key TEXT NOT NULL, raw BLOB NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (resource, key)
);
CREATE TABLE version (one INTEGER PRIMARY KEY CHECK (one = 1), rv INTEGER NOT NULL);
INSERT INTO version VALUES (1, 0);
PRAGMA application_id = {_OURS};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class JournalError(Exception):
    """The store on disk cannot be used: one sentence."""


class NoRoom(JournalError):
    """The disk is full."""


class Journal:
    """The file in a folder, held by this process alone. `commit` may be called by any one thread.

    `rv` is the resourceVersion of the last commit; 0 when the store is new.
    Raises JournalError: the folder or the file cannot be used, another server has it, it is not
    a store, or it is damaged; then a copy of it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What the objects say, Secrets too, is for the owner's eyes only.
            self._path.touch(mode=0o600)
            self._told = os.open(folder / "acknowledged", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise JournalError(f"{folder} cannot be used: {problem.strerror}") from problem
        self._db = sqlite3.connect(
            self._path, _WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self.rv = self._open()
        except BaseException as problem:
            refusal = self._refusal(problem)
            self.close()
            raise refusal from problem

    def _open(self) -> int:
        execute = self._db.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        (ours,) = execute("PRAGMA application_id").fetchone()
        if tables and ours != _OURS:
            raise JournalError(
                f"{self._path} belongs to another program: name another folder for the data"
            )
        if not tables:
            execute("PRAGMA auto_vacuum = INCREMENTAL")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        if not tables:
            self._db.executescript(_SCHEMA)
        (found,) = execute("PRAGMA user_version").fetchone()
        if found != _FORMAT:
            raise JournalError(
                f"{self._path} has the format {found} of a newer version, this one reads {_FORMAT}"
            )
        return self._checked()

    def _checked(self) -> int:
        execute = self._db.execute
        (verdict,) = execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise _Damaged(" ".join(verdict.split()))
        row = execute("SELECT rv FROM version").fetchone()
        if row is None:
            raise _Damaged("its version is missing")
        promised = os.pread(self._told, 20, 0).decode(errors="replace").strip() or "0"
        if not promised.isdigit():
            raise _Damaged("the file `acknowledged` beside it is not a number")
        rv = int(row[0])
        if rv < (told := int(promised)):
            raise _Damaged(f"it ends at version {rv}, but {told} was acknowledged")
        return rv

    def rows(self, first: str) -> Iterator[tuple[str, bytes]]:
        """Resource and bytes of every object, those of the resource `first` at first.

        After the last one it is certain that the disk can be written. Raises JournalError, and the
        journal is closed, when it cannot, or when an object is not as it was written; then a copy
        is kept.
        """
        columns = "SELECT resource, key, raw, checksum FROM objects WHERE resource"
        try:
            for comparison in ("=", "<>"):
                for resource, key, raw, checksum in self._db.execute(
                    f"{columns} {comparison} ? ORDER BY id", (first,)
                ):
                    if checksum != _checksum(resource, key, raw):
                        raise _Damaged(f"{resource} {key} is not as it was written")
                    yield resource, raw
            self._db.execute("UPDATE version SET rv = rv")
        except (sqlite3.DatabaseError, _Damaged) as problem:
            refusal = self._refusal(problem)
            self.close()
            raise refusal from problem

    def commit(self, changes: Changes, rv: int) -> None:
        """The changes and the version are on disk. Raises NoRoom, JournalError: nothing is."""
        try:
            self._db.execute("BEGIN")
            self._write(changes, rv)
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            text = f"{self._path.parent} cannot be written: {problem}"
            raise (NoRoom if _code(problem) == _FULL else JournalError)(text) from problem
        with contextlib.suppress(OSError):
            # Room for it was taken long ago; if it fails all the same, only a warning is lost.
            os.pwrite(self._told, b"%020d" % rv, 0)
        if None in changes.values():
            with contextlib.suppress(sqlite3.Error):
                self._give_back()

    def _write(self, changes: Changes, rv: int) -> None:
        put = [
            (*place, raw, _checksum(*place, raw))
            for place, raw in changes.items()
            if raw is not None
        ]
        gone = [place for place, raw in changes.items() if raw is None]
        # Many rows a statement: at every one the interpreter's lock is given up and waited for.
        for chunk in _chunks(put):
            self._db.execute(
                "INSERT INTO objects (resource, key, raw, checksum) VALUES "
                f"{_marks(4, len(chunk))} ON CONFLICT (resource, key) "
                "DO UPDATE SET raw = excluded.raw, checksum = excluded.checksum",
                [value for row in chunk for value in row],
            )
        for chunk in _chunks(gone):
            self._db.execute(
                f"DELETE FROM objects WHERE (resource, key) IN (VALUES {_marks(2, len(chunk))})",
                [value for row in chunk for value in row],
            )
        self._db.execute("UPDATE version SET rv = ?", (rv,))

    def _give_back(self) -> None:
        """Empty pages go back to the disk, some at a time, once they are many."""
        (spare,) = self._db.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        if spare > max(_SPARE_PAGES, pages // 2):
            # Not execute: it takes one step of a statement without results, and that is one page.
            self._db.executescript(f"PRAGMA incremental_vacuum({_SPARE_PAGES})")

    def close(self) -> None:
        """The file is closed and anybody's again."""
        self._db.close()
        os.close(self._told)

    def _copy(self) -> Path | None:
        """Where the files are kept as they are; twice the same damage is kept once."""
        try:
            digest = hashlib.sha256(self._path.read_bytes()).hexdigest()[:12]
            kept = self._path.with_name(f"{FILE}.damaged-{digest}")
            for end in _FILES:
                source = Path(f"{self._path}{end}")
                target = Path(f"{kept}{end}")
                if source.exists() and source.stat().st_size and not target.exists():
                    shutil.copy2(source, target)
        except OSError:
            return None
        return kept

    def _refusal(self, problem: BaseException) -> BaseException:
        """What to raise instead; before the files are closed, for closing may change them."""
        if _code(problem) == _BUSY:
            return JournalError(f"{self._path.parent} is in use by another server")
        if isinstance(problem, sqlite3.OperationalError):
            return JournalError(f"{self._path} cannot be used: {problem}")
        if not isinstance(problem, sqlite3.DatabaseError | _Damaged):
            return problem
        kept = self._copy()
        copied = f"a copy is {kept}" if kept else "no copy of it could be made"
        return JournalError(
            f"{self._path} is damaged ({problem}); {copied}; put a good one in its place, "
            "or name another folder for the data"
        )


class _Damaged(Exception):
    """What is wrong with the file's content."""


def _code(problem: BaseException) -> int:
    """SQLite's primary result code; 0 when the problem is another's."""
    return int(getattr(problem, "sqlite_errorcode", 0)) & 0xFF


def _checksum(resource: str, key: str, raw: bytes) -> int:
    return zlib.crc32(raw, zlib.crc32(f"{resource} {key}".encode()))


def _marks(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def _chunks(rows: list[Any]) -> list[list[Any]]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
