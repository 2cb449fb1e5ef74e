"""A program is found or built: KUBEBUILDER_ASSETS, PATH, the cache, else Go.

The recipe is a module of our own that requires the program's module and names the published
version of every module which that one replaces by a folder of its own tree (replacements count
only in the main module, so a bare `go install` of Kubernetes cannot work).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_queue.controlplane.cache import builder_lock, cache_folder
from kube_queue.controlplane.commands import Outcome, run_command
from kube_queue.controlplane.errors import BuildFailed
from kube_queue.controlplane.go import GoTool, find_go
from kube_queue.controlplane.programs import Program

Progress = Callable[[str], None]

_PROGRESS_SECONDS = 10.0
# CGO off: no C compiler is needed, and the binary runs on any libc.
_ENVIRONMENT = {"GO111MODULE": "on", "GOWORK": "off", "CGO_ENABLED": "0"}
_BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")


async def obtain(row: Program, progress: Progress, root: Path | None = None) -> Path:
    """The path of a working binary of the program, of the row's major and minor version.

    `progress` gets lines for a person; `root` is the cache folder, default the user's.
    Raises GoMissing and BuildFailed.
    """
    ready = await _ready_made(row)
    if ready is not None:
        return ready
    return await _Builder(row, await find_go(), progress, root or cache_folder()).binary()


async def _ready_made(row: Program) -> Path | None:
    for folders in (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH")):
        found = shutil.which(row.name, path=folders) if folders else None
        if found is not None and row.accepts(await _printed_version(row, Path(found))):
            return Path(found)
    return None


async def _printed_version(row: Program, binary: Path) -> str:
    """What the binary says of its version; empty when it does not run."""
    try:
        outcome = await run_command([binary, *row.version_command])
    except OSError:
        return ""
    return outcome.out if outcome.code == 0 else ""


@dataclass(frozen=True, slots=True)
class _Builder:
    row: Program
    go: GoTool
    progress: Progress
    root: Path

    async def binary(self) -> Path:
        key = _cache_key(self.row, self.go)
        target = self.root / key / self.row.name
        if not target.is_file():
            async with builder_lock(self.root / f"{key}.lock", self._say_waiting):
                if not target.is_file():
                    await self._build(key, target)
        return target

    async def _build(self, key: str, target: Path) -> None:
        """The binary stands at `target`, whole; nothing else of the build remains.

        Whoever was killed in here left its folder behind: the holder of the lock sweeps it.
        """
        for leftover in self.root.glob(f"{key}.work-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f"{key}.work-", dir=self.root))
        try:
            built = await self._compile(work)
            target.parent.mkdir(exist_ok=True)
            built.replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    async def _compile(self, work: Path) -> Path:
        row = self.row
        self.progress(
            f"{row.name} {row.version}: building with {self.go.version} at {self.go.path}"
        )
        async with self._step("fetching its module"):
            declared = await self._declared_module(work)
        (work / "go.mod").write_text(_module_file(row, declared))
        (work / "tools.go").write_text(_tools_file(row))
        async with self._step("resolving the modules it needs"):
            await self._go(work, "mod", "tidy")
        stamps = " ".join(f"-X {name}={value}" for name, value in row.stamps)
        built = work / "bin" / row.name
        async with self._step("compiling and linking, some minutes the first time"):
            await self._go(
                work,
                "build",
                *_BUILD_FLAGS,
                "-ldflags",
                f"-s -w {stamps}",
                "-o",
                built,
                row.package,
            )
        printed = await _printed_version(row, built)
        if not row.accepts(printed):
            answer = printed.strip() or "nothing"
            raise BuildFailed(
                f"{row.name} was built but answers {answer!r} when asked for its version"
            )
        return built

    async def _declared_module(self, work: Path) -> dict[str, Any]:
        """The module's own go.mod, as `go mod edit -json` prints it."""
        wanted = f"{self.row.module.path}@{self.row.module.version}"
        outcome = await self._run(work, "mod", "download", "-json", wanted)
        try:
            answer = json.loads(outcome.out)
            reason, module_file = answer.get("Error", ""), answer.get("GoMod", "")
        except ValueError:
            reason, module_file = outcome.complaint, ""
        if outcome.code != 0 or reason or not module_file:
            raise BuildFailed(
                f"the Go module {wanted} cannot be fetched: {reason or outcome.complaint}; "
                "check the network, or GOPROXY if a proxy is needed"
            )
        edited = await self._go(work, "mod", "edit", "-json", module_file)
        declared: dict[str, Any] = json.loads(edited.out)
        return declared

    async def _go(self, work: Path, *arguments: str | Path) -> Outcome:
        outcome = await self._run(work, *arguments)
        if outcome.code != 0:
            verb = " ".join(str(part) for part in arguments[:2] if not str(part).startswith("-"))
            raise BuildFailed(f"go {verb} failed for {self.row.name}: {outcome.complaint}")
        return outcome

    async def _run(self, work: Path, *arguments: str | Path) -> Outcome:
        return await run_command([self.go.path, *arguments], cwd=work, env=_ENVIRONMENT)

    @contextlib.asynccontextmanager
    async def _step(self, what: str) -> AsyncIterator[None]:
        """While inside, a line with the seconds elapsed is said now and then."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.progress(f"{self.row.name}: {what}")

        async def tick() -> None:
            while True:
                await asyncio.sleep(_PROGRESS_SECONDS)
                self.progress(f"{self.row.name}: {what}: {loop.time() - started:.0f} s")

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    def _say_waiting(self) -> None:
        self.progress(f"{self.row.name}: another build of it is under way, waiting for its end")


def _cache_key(row: Program, go: GoTool) -> str:
    recipe = repr((row, _ENVIRONMENT, _BUILD_FLAGS)).encode()
    digest = hashlib.sha256(recipe).hexdigest()[:8]
    return f"{row.name}-{row.version}-{go.version}-{go.os}-{go.arch}-{digest}".replace(" ", "_")


def _module_file(row: Program, declared: dict[str, Any]) -> str:
    """The text of go.mod: the requirement, and a published version for each staged module."""
    staged = [
        rule["Old"]["Path"]
        for rule in declared.get("Replace") or ()
        if rule["New"]["Path"].startswith("./")
    ]
    if staged and not row.module.staging:
        raise BuildFailed(
            f"{row.module.path} replaces {staged[0]} by a folder: no version is known"
        )
    return "\n".join(
        [
            f"module kube-queue.local/{row.name}",
            "",
            f"go {declared.get('Go', '1.26')}",
            "",
            f"require {row.module.path} {row.module.version}",
            "",
            *(f"replace {path} => {path} {row.module.staging}" for path in staged),
            "",
        ]
    )


def _tools_file(row: Program) -> str:
    return f'//go:build tools\n\npackage tools\n\nimport _ "{row.package}"\n'
