"""The server under fire: its process, what it says on standard error, and its memory.

Holds: Server, Unwell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOKEN = "secret"
PAGE = os.sysconf("SC_PAGE_SIZE")
ABORT_SECONDS = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


class Unwell(Exception):
    """The server broke a promise: one sentence."""


class Server:
    """A `python -m kube_queue.apiserver` with a token, on loopback."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, errors: Path) -> None:
        self.process = process
        self.port = port
        self._errors = errors
        self.peak = 0
        """The most memory it was seen to use, in MB."""

    @classmethod
    async def start(cls, folder: Path, flags: Sequence[str] = ()) -> Server:
        """A server that serves; its files are in the folder."""
        token, errors = folder / "token", folder / "errors"
        token.write_text(TOKEN)
        with errors.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-X", "faulthandler", "-m", "kube_queue.apiserver"),
                *("--token-file", str(token), *flags),
                stdout=asyncio.subprocess.PIPE,
                stderr=sink,
            )
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise Unwell(f"the server does not start: {errors.read_text()[-300:]}")
        return cls(process, int(url.rpartition(":")[2]), errors)

    def get(self, path: str) -> Any:
        """The answer to a GET, decoded."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def memory(self) -> int:
        """Resident memory now, in MB."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        now = int(text.split()[1]) * PAGE >> 20
        self.peak = max(self.peak, now)
        return now

    def cpu(self) -> float:
        """CPU seconds it has used so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        used = text.rpartition(")")[2].split()[11:13]
        return sum(map(int, used)) / TICKS

    async def where(self) -> str:
        """What it was doing when it was ended for not answering."""
        self.process.send_signal(signal.SIGABRT)
        await self.process.wait()
        return self.said()

    def ended(self) -> str:
        """Its state, and what it was doing when it was ended for this; without the event loop."""
        was = f"state {self._state()}, {self.cpu():.1f} CPU s, {self.memory()} MB"
        os.kill(self.process.pid, signal.SIGABRT)
        until = time.monotonic() + ABORT_SECONDS
        while self._state() not in "ZX" and time.monotonic() < until:
            time.sleep(0.05)
        if self._state() not in "ZX":
            os.kill(self.process.pid, signal.SIGKILL)
        return f"{was}; {self.said()}"

    def _state(self) -> str:
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            return "X"
        return text.rpartition(")")[2].split()[0]

    def check(self, limit: int) -> None:
        """It lives, has said nothing, and uses less than `limit` MB. Raises Unwell."""
        if self.process.returncode is not None:
            raise Unwell(f"the server ended with {self.process.returncode}: {self.said()}")
        if self._errors.stat().st_size:
            raise Unwell(f"the server logged: {self.said()}")
        now = self.memory()
        if now > limit:
            raise Unwell(f"the server uses {now} MB, more than {limit}")

    def said(self) -> str:
        """The end of what it wrote to standard error."""
        return self._errors.read_text(errors="replace")[-4000:]

    async def stop(self) -> None:
        """It is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(20):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
