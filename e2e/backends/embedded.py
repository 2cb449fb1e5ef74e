"""The embedded cluster, started as a user starts it: `kube-queue local up`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from e2e.backends.base import BackendFailed

READY_WITHIN = 60.0
STOP_WITHIN = 15.0
NODES = ("--nodes", "3")


class EmbeddedCluster:
    """One `kube-queue local up` and its children."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        directory: tempfile.TemporaryDirectory[str],
        reader: asyncio.Task[None],
        said: list[str],
    ) -> None:
        self.kubeconfig = Path(directory.name) / "kubeconfig"
        self._process = process
        self._directory = directory
        self._reader = reader
        self._said = said

    def pid(self, part: str) -> int | None:
        """The process id of this part, found among the supervisor's children."""
        for child in _children(self._process.pid):
            arguments = _command_line(child)
            if "kube_queue" in arguments and part in arguments:
                return child
        return None

    def said(self) -> dict[str, list[str]]:
        """What the supervisor and its children wrote."""
        return {"local up": self._said}

    async def stop(self) -> None:
        """The supervisor was asked to stop and has left, its children with it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader
        self._directory.cleanup()


class EmbeddedBackend:
    """`--backend embedded`: no Docker, no Go, nothing but this package.

    Its answers and watches are late at random where `late`, the seed, is given.
    """

    name = "embedded"
    has: frozenset[str] = frozenset()

    def __init__(self, late: int | None = None) -> None:
        self._late = () if late is None else ("--late", str(late))

    async def start(
        self,
        *,
        environment: Mapping[str, str],
        flags: tuple[str, ...],
        needs: frozenset[str] = frozenset(),
    ) -> EmbeddedCluster:
        """A fresh cluster serves. Raises BackendFailed with what it said."""
        directory = tempfile.TemporaryDirectory(prefix="kube-queue-e2e-")
        kubeconfig = Path(directory.name) / "kubeconfig"
        command = ("local", "up", "--kubeconfig", str(kubeconfig), "--split", *NODES, *flags)
        command += self._late
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "kube_queue",
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        said: list[str] = []
        serving = asyncio.Event()
        reader = asyncio.create_task(_read(process, said, serving))
        cluster = EmbeddedCluster(process, directory, reader, said)
        ended = asyncio.create_task(process.wait())
        ready = asyncio.create_task(serving.wait())
        try:
            done, _ = await asyncio.wait(
                {ended, ready}, timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED
            )
        except BaseException:
            ready.cancel()
            await cluster.stop()
            raise
        if ready not in done:
            ready.cancel()
            await cluster.stop()
            raise BackendFailed("the embedded cluster did not start: " + " / ".join(said[-5:]))
        return cluster


async def _read(
    process: asyncio.subprocess.Process, said: list[str], serving: asyncio.Event
) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        said.append(line.decode(errors="replace").rstrip())
        if "export KUBECONFIG=" in said[-1]:
            serving.set()


def _children(parent: int) -> list[int]:
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(pid) for pid in text.split()]


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except OSError:
        return []
