"""Child processes, awaited on the event loop and never left behind."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KILL_GRACE_SECONDS = 5.0
_LINE_LIMIT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: exit code and both outputs as text."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The last line the command wrote that says something, for use inside a sentence."""
        lines = [line.strip() for line in (self.err + "\n" + self.out).splitlines()]
        spoken = [line for line in lines if line]
        return spoken[-1] if spoken else f"exit code {self.code}"


async def run_command(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    heard: Callable[[str], None] | None = None,
) -> Outcome:
    """The command has ended, or was ended because the caller was cancelled.

    `env` is laid over the present environment; `heard` gets each line of its standard error.
    Raises OSError when the program cannot be started at all.
    """
    process = await asyncio.create_subprocess_exec(
        *(os.fspath(part) for part in command),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT_BYTES,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        out, err = await asyncio.gather(
            process.stdout.read(), _read_lines(process.stderr, heard or _ignore)
        )
        code = await process.wait()
    finally:
        await _end(process)
    return Outcome(code, out.decode(errors="replace"), err)


async def _read_lines(stream: asyncio.StreamReader, heard: Callable[[str], None]) -> str:
    lines: list[str] = []
    async for raw in stream:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        heard(line)
    return "\n".join(lines)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_KILL_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _ignore(line: str) -> None:
    del line
