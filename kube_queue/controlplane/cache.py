"""Where built programs are kept, and the lock that lets one builder work at a time.

Layout: <user cache>/controlplane/<program>-<version>-<go>-<os>-<arch>-<recipe hash>/<program>.
A binary appears under its name by a rename, so whatever is there is whole.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import platformdirs

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK_RETRY_SECONDS = 0.2


def cache_folder() -> Path:
    """The user's cache folder for built programs; it need not exist yet."""
    return Path(platformdirs.user_cache_dir("kube-queue", appauthor=False)) / "controlplane"


@contextlib.asynccontextmanager
async def builder_lock(path: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Nobody else is inside for the same path, in this process or another.

    The operating system drops the lock with its holder, so a killed builder blocks nobody.
    `waiting` is called once if somebody else is inside already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        said = False
        while not try_lock(handle):
            if not said:
                waiting()
                said = True
            await asyncio.sleep(_LOCK_RETRY_SECONDS)
        yield
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Whether the open file is locked by this handle from now on, until it is closed."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
