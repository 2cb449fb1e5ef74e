"""A node's room: its programs share it, see what they need, and end with its parent."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kube_queue.controlplane import node_room
from tests.controlplane.fake_go import write_program

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="namespaces need root on Linux"
)

RUNTIME = """#!{python}
import socket, sys, time
from pathlib import Path
door = socket.socket(socket.AF_UNIX)
Path("/run/runtime").mkdir(parents=True)
door.bind("/run/runtime/socket")
door.listen()
time.sleep(600)
"""
# What a kubelet would see and do; it tells all by the way that leads to the API server.
KUBELET = """#!{python}
import json, os, socket, time
from pathlib import Path
seen = dict(
    runtime=Path("/run/runtime/socket").exists(),
    library=os.listdir("/var/lib"),
    settings=Path("/proc/sys/vm/overcommit_memory").read_text().strip(),
    imported=Path({folder!r}, "imported").exists(),
    first=os.getppid(),
)
with socket.create_connection(("127.0.0.1", {port}), source_address=("192.0.2.1", 0)) as way:
    way.sendall(json.dumps(seen).encode())
    way.shutdown(socket.SHUT_WR)
    way.recv(10)
if {ends}:
    raise SystemExit("no more")
time.sleep(600)
"""


@asynccontextmanager
async def api_server() -> AsyncIterator[tuple[int, asyncio.Queue[bytes]]]:
    """A port, and what was sent to it."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.read())
        writer.write(b"heard")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


@asynccontextmanager
async def room(
    folder: Path, port: int, *, ends: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A room with these stand-ins in it."""
    words = {"python": sys.executable, "folder": str(folder), "port": port, "ends": ends}
    runtime = write_program(folder / "runtime", RUNTIME.format(**words))
    kubelet = write_program(folder / "kubelet", KUBELET.format(**words))
    plan = {
        "port": port,
        "address": "192.0.2.1",
        "logs": str(folder),
        "kernel": str(folder / "kernel"),
        "environment": {},
        "socket": "/run/runtime/socket",
        "first": ["runtime", str(runtime)],
        "then": [["/bin/touch", str(folder / "imported")]],
        "last": ["kubelet", str(kubelet)],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    command = (sys.executable, "-I", "-S", node_room.__file__, str(folder / "plan.json"))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def running(folder: Path) -> list[int]:
    """Processes of this room, by the folder in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(folder) in (entry / "cmdline").read_text():
                found.append(int(entry.name))
    return found


async def gone(folder: Path) -> None:
    async with asyncio.timeout(20):
        while running(folder):
            await asyncio.sleep(0.01)


async def test_the_kubelet_finds_an_empty_machine_the_runtime_and_the_way_out(tmp_path: Path):
    async with asyncio.timeout(60), api_server() as (port, heard), room(tmp_path, port):
        seen = json.loads(await heard.get())
    assert seen == {
        "runtime": True,
        "library": [],
        "settings": "1",
        "imported": True,
        "first": 1,
    }
    assert not Path("/run/runtime").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_nobody_outlives_the_parent_however_it_ends(tmp_path: Path, number: signal.Signals):
    async with (
        asyncio.timeout(60),
        api_server() as (port, heard),
        room(tmp_path, port) as process,
    ):
        await heard.get()
        assert len(running(tmp_path)) >= 3
        process.send_signal(number)
        code = await process.wait()
        assert code == (0 if number == signal.SIGTERM else -number)
        await gone(tmp_path)


async def test_a_kubelet_that_ends_takes_the_node_with_it_and_its_last_words_are_said(
    tmp_path: Path,
):
    async with (
        asyncio.timeout(60),
        api_server() as (port, heard),
        room(tmp_path, port, ends=True) as process,
    ):
        await heard.get()
        _, said = await process.communicate()
        assert process.returncode == 1
        assert said.decode().strip() == "kubelet ended (exit code 1): no more"
        await gone(tmp_path)
