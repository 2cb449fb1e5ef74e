"""Parent of the processes of a local cluster: starts them in order, restarts what falls.

State is only behind the API, so a child may be killed at any moment and started again. A vital
child (an API server whose objects are only in its memory) is not: its end ends everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube_queue.controlplane.ports import HeldPorts

FIRST_DELAY = 0.2
LAST_DELAY = 5.0
HEALTHY_AFTER = 1.0
READY_WITHIN = 60.0
STOP_WITHIN = 5.0


class ChildFailed(Exception):
    """A child ended before it was ready, or a vital one ended at all: one sentence."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process: how it is started, and whether the cluster can live without it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    vital: bool = False


class Supervisor:
    """Owns the processes of one local cluster; logs of each child go to `<log_dir>/<name>.log`."""

    def __init__(self, log_dir: Path, say: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._say = say
        self.ports = HeldPorts()
        """Of children that are told where to listen."""
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, child: Child) -> dict[str, str]:
        """The child serves; what it announced is returned. Raises ChildFailed."""
        process, facts = await self._launch(child)
        self._keepers.append(asyncio.create_task(self._keep(child, process)))
        return facts

    async def wait(self) -> None:
        """Return never; raise ChildFailed when a vital child has ended."""
        await asyncio.shield(self._fatal)

    async def stop(self) -> None:
        """Every child is gone: asked by its closed pipe, then by SIGTERM, then killed."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        # In reverse order of start: the API server is still there for the others' last words.
        for process in reversed(list(self._running.values())):
            await self._end(process)
        self._running.clear()
        self.ports.close()
        if self._fatal.done():
            self._fatal.exception()

    def pids(self) -> dict[str, int]:
        """Process ids by child name."""
        return {name: process.pid for name, process in self._running.items()}

    async def _launch(self, child: Child) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
        with (self._log_dir / f"{child.name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **child.environment},
                # Ctrl-C reaches the whole terminal group: only the parent should hear it.
                start_new_session=True,
            )
        self._running[child.name] = process
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN):
                line = await process.stdout.readline()
        try:
            facts = json.loads(line)
        except ValueError:
            await self._end(process)
            raise ChildFailed(self._last_words(child)) from None
        return process, {key: str(value) for key, value in facts.items()}

    async def _keep(self, child: Child, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            began = loop.time()
            await process.wait()
            if child.vital:
                sentence = (
                    f"{child.name} ended (exit code {process.returncode}), and the cluster's "
                )
                sentence += f"objects with it; its log: {self._log(child)}"
                if not self._fatal.done():
                    self._fatal.set_exception(ChildFailed(sentence))
                return
            if loop.time() - began > HEALTHY_AFTER:
                delay = FIRST_DELAY
            self._say(f"{child.name} ended (exit code {process.returncode}); starting it again")
            while True:
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_DELAY)
                try:
                    process, _ = await self._launch(child)
                except ChildFailed as failed:
                    self._say(str(failed))
                else:
                    break

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is not None:
            process.stdin.close()
        for force in (process.terminate, process.kill, None):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_WITHIN):
                    await process.wait()
                    return
            if force is not None:
                with contextlib.suppress(ProcessLookupError):
                    force()

    def _log(self, child: Child) -> Path:
        return self._log_dir / f"{child.name}.log"

    def _last_words(self, child: Child) -> str:
        text = self._log(child).read_text(encoding="utf-8", errors="replace").strip()
        last = text.splitlines()[-1] if text else "it said nothing"
        return f"{child.name} did not start: {last.removeprefix('Error: ')}"
