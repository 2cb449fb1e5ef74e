"""Foreign programs are kept running, and end with whoever started them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kube_queue.controlplane.daemons import Daemon, Daemons
from kube_queue.controlplane.errors import DaemonEnded
from kube_queue.controlplane.together import together

SLEEPS = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('here', flush=True)
time.sleep(600)
"""
PARENT = """
import asyncio, sys
from pathlib import Path
from kube_queue.controlplane.daemons import Daemon, Daemons
async def main():
    daemons = Daemons(Path(sys.argv[1]), print)
    await daemons.start(Daemon("one", (sys.executable, "-c", sys.argv[2])))
    print(daemons.pids()["one"], flush=True)
    await daemons.ended()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def running(logs: Path, said: list[str] | None = None) -> AsyncIterator[Daemons]:
    daemons = Daemons(logs, (said if said is not None else []).append)
    try:
        yield daemons
    finally:
        await daemons.stop(kill=True)


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def test_one_that_falls_is_started_again_and_it_is_said(tmp_path: Path):
    said: list[str] = []
    async with running(tmp_path, said) as daemons:
        await daemons.start(Daemon("one", SLEEPS))
        first = daemons.pids()["one"]
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: daemons.pids()["one"] != first)
        assert said == ["one ended (exit code -9); starting it again"]


async def test_a_vital_one_that_ends_is_told_with_its_last_words_and_its_log(tmp_path: Path):
    async with running(tmp_path) as daemons:
        last_words = (sys.executable, "-c", "import sys; sys.exit('no room on the disk')")
        await daemons.start(Daemon("store", last_words, vital=True))
        with pytest.raises(DaemonEnded) as told:
            async with asyncio.timeout(20):
                await daemons.ended()
        assert "no room on the disk" in str(told.value)
        assert str(tmp_path / "store.log") in str(told.value)
        assert "\n" not in str(told.value)


async def test_after_a_stop_nothing_runs_however_stubborn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kube_queue.controlplane.daemons._STOP_WITHIN", 0.3)
    async with running(tmp_path) as daemons:
        await daemons.start(Daemon("polite", SLEEPS))
        await daemons.start(Daemon("stubborn", (sys.executable, "-c", STUBBORN)))
        await eventually(lambda: "here" in daemons.last_words("stubborn"))
        pids = daemons.pids().values()
        await daemons.stop()
        assert not any(alive(pid) for pid in pids)
        assert not daemons.pids()


async def test_the_programs_environment_and_output_are_as_asked(tmp_path: Path):
    async with running(tmp_path) as daemons:
        words = (sys.executable, "-c", "import os, time; print(os.environ['A'], flush=True)")
        await daemons.start(Daemon("one", words, {"A": "b"}, vital=True))
        await eventually(lambda: daemons.last_words("one") == "b")
        assert daemons.last_words("another") == "it said nothing"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_parent_killed_with_signal_9_leaves_no_orphan(tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout as printed:
        pid = int(printed.readline())
        while "here" not in (tmp_path / "one.log").read_text():
            assert alive(pid)
        parent.kill()

    async def gone() -> None:
        await eventually(lambda: not alive(pid))

    asyncio.run(gone())


async def test_work_side_by_side_ends_with_the_first_failure_and_nothing_goes_on():
    events: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            events.append("slow ended")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise DaemonEnded("broken")

    with pytest.raises(DaemonEnded, match="broken"):
        await together(slow(), fails())
    assert events == ["slow ended"]
