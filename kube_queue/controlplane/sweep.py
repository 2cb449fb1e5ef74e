"""Directories of clusters whose parent was killed: nobody else would ever remove them."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from kube_queue.controlplane.cache import try_lock

_LOCK = "in-use"


@contextlib.contextmanager
def claimed(directory: Path, prefix: str) -> Iterator[None]:
    """The directory is marked as in use until the block ends; abandoned ones beside it are gone.

    Its siblings are those of the same prefix with a mark that nobody holds any more; the operating
    system drops a mark with its holder.
    """
    with _held(directory / _LOCK) as ours:
        assert ours
        for mark in directory.parent.glob(f"{prefix}*/{_LOCK}"):
            if mark.parent == directory:
                continue
            with _held(mark) as abandoned:
                if abandoned:
                    shutil.rmtree(mark.parent, ignore_errors=True)
        yield


@contextlib.contextmanager
def _held(mark: Path) -> Iterator[bool]:
    """Whether the mark is ours for the block."""
    try:
        handle = os.open(mark, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield False  # somebody else's, or removed just now
        return
    try:
        yield try_lock(handle)
    finally:
        os.close(handle)
