"""Foreign programs kept running: started, restarted when they fall, ended with their parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube_queue.controlplane import leash
from kube_queue.controlplane.errors import DaemonEnded

_FIRST_DELAY = 0.2
_LAST_DELAY = 5.0
_HEALTHY_AFTER = 5.0
_STOP_WITHIN = 8.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program: how it is started, and whether the cluster can live without it.

    A `vital` one is not restarted: its end is the end of the cluster.
    """

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    vital: bool = False


class Daemons:
    """Owns the running programs; what each writes goes to `<logs>/<name>.log`."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, daemon: Daemon) -> None:
        """It runs; whether it serves is for others to ask. Raises OSError."""
        process = await self._launch(daemon)
        self._keepers.append(asyncio.create_task(self._keep(daemon, process)))

    async def ended(self) -> None:
        """Never return; raise DaemonEnded when a vital one has ended."""
        await asyncio.shield(self._fatal)

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self._running.items()}

    def log(self, name: str) -> Path:
        """The file that its output goes to."""
        return self._logs / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The last line of its log."""
        try:
            text = self.log(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return "it said nothing"
        return text.splitlines()[-1] if text else "it said nothing"

    async def stop(self, *, kill: bool = False) -> None:
        """Every one is gone, the last started first; with `kill` all at once, without a word."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()
        processes = list(reversed(self._running.values()))
        self._running.clear()
        if kill:
            for process in processes:
                _signal(process, signal.SIGKILL)
        for process in processes:
            await _end(process)
        if self._fatal.done():
            self._fatal.exception()

    async def _launch(self, daemon: Daemon) -> asyncio.subprocess.Process:
        command = (sys.executable, "-I", "-S", leash.__file__, os.getpid(), *daemon.command)
        with self.log(daemon.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(str(part) for part in command),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **daemon.environment},
                # Ctrl-C reaches the whole terminal group: only the parent should hear it.
                start_new_session=True,
            )
        self._running[daemon.name] = process
        return process

    async def _keep(self, daemon: Daemon, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        delay = _FIRST_DELAY
        while True:
            began = loop.time()
            code = await process.wait()
            if daemon.vital:
                sentence = (
                    f"{daemon.name} ended (exit code {code}): {self.last_words(daemon.name)}; "
                    f"its log: {self.log(daemon.name)}"
                )
                if not self._fatal.done():
                    self._fatal.set_exception(DaemonEnded(sentence))
                return
            self._say(f"{daemon.name} ended (exit code {code}); starting it again")
            if loop.time() - began > _HEALTHY_AFTER:
                delay = _FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)
            process = await self._launch(daemon)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        _signal(process, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                await process.wait()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    # Not process.kill(): that one may collect the exit code before the event loop does.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
