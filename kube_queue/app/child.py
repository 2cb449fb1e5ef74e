"""A child process of `kube-queue local up`: says when it is ready, leaves when its parent does.

The protocol is two pipes. The child writes one JSON line to stdout once it serves; the parent keeps
the child's stdin open and never writes to it, so its end of file means that the parent is gone, be
it by Ctrl-C or by kill -9, and no orphan stays behind.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Ready = Callable[[dict[str, str]], None]


def announce(facts: dict[str, str]) -> None:
    """The parent has one line of JSON: this child serves, and under which addresses."""
    sys.stdout.write(json.dumps({"ready": True, **facts}) + "\n")
    sys.stdout.flush()


async def parent_gone() -> None:
    """Return when stdin reaches its end."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


async def until_stopped(work: Awaitable[Any], *, watch_stdin: bool) -> None:
    """Run the work until it ends, a signal asks to stop, or (watch_stdin) the parent is gone.

    SIGINT and SIGTERM cancel the work, which may clean up; whatever the work raised is raised here.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    task = asyncio.ensure_future(work)
    waits: list[asyncio.Future[Any]] = [task, asyncio.ensure_future(stop.wait())]
    if watch_stdin:
        waits.append(asyncio.ensure_future(parent_gone()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in waits[1:]:
            other.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(*waits[1:], return_exceptions=True)
        result = (await asyncio.gather(task, return_exceptions=True))[0]
    if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
        raise result


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run main on an event loop: uvloop's where it is installed (extra `speed`), else asyncio's."""
    # Collections are rare and small once the start-up's objects are frozen (gc.freeze after sync).
    gc.set_threshold(50_000, 20, 50)
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
