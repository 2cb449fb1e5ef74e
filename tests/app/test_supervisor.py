"""The supervisor and its children: readiness, restart, and no orphans."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kube_queue.app.supervisor import Child, ChildFailed, Supervisor

CHILD = """
import asyncio, sys
from kube_queue.app.child import announce, until_stopped
async def work():
    announce({"url": sys.argv[1]})
    await asyncio.get_running_loop().create_future()
asyncio.run(until_stopped(work(), watch_stdin=True))
"""
PARENT = """
import asyncio, sys
from pathlib import Path
from kube_queue.app.supervisor import Child, Supervisor
async def main():
    supervisor = Supervisor(Path(sys.argv[1]), print)
    await supervisor.start(Child("child", (sys.executable, "-c", sys.argv[2], "here")))
    print(supervisor.pids()["child"], flush=True)
    await supervisor.wait()
asyncio.run(main())
"""


def child(name: str = "child", *, vital: bool = False) -> Child:
    return Child(name, (sys.executable, "-c", CHILD, "http://here"), vital=vital)


async def eventually(holds: Callable[[], object], within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    one = Supervisor(tmp_path, said.append)
    try:
        yield one
    finally:
        await one.stop()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_a_started_child_hands_over_what_it_announced(tmp_path: Path) -> None:
    async with supervisor(tmp_path, []) as one:
        assert (await one.start(child()))["url"] == "http://here"


async def test_a_killed_child_is_started_again_and_said_so(tmp_path: Path) -> None:
    said: list[str] = []
    async with supervisor(tmp_path, said) as one:
        await one.start(child())
        first = one.pids()["child"]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: one.pids()["child"] != first)
        assert "child ended (exit code -9); starting it again" in said


async def test_the_end_of_a_vital_child_ends_everything_with_one_sentence(tmp_path: Path) -> None:
    async with supervisor(tmp_path, []) as one:
        await one.start(child("api-server", vital=True))
        os.kill(one.pids()["api-server"], signal.SIGKILL)
        with pytest.raises(ChildFailed, match="api-server ended"):
            await asyncio.wait_for(one.wait(), 20)


async def test_a_child_that_cannot_start_gives_its_last_words(tmp_path: Path) -> None:
    bad = Child("bad", (sys.executable, "-c", "import sys; sys.exit('Error: no such port')"))
    async with supervisor(tmp_path, []) as one:
        with pytest.raises(ChildFailed, match="bad did not start: no such port"):
            await one.start(bad)


async def test_stopping_leaves_no_process_behind(tmp_path: Path) -> None:
    async with supervisor(tmp_path, []) as one:
        await one.start(child())
        pid = one.pids()["child"]
    assert not alive(pid)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
async def test_killing_the_parent_with_signal_9_leaves_no_orphan(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await eventually(lambda: not alive(pid))
