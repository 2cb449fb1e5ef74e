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
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_queue.controlplane.cache import builder_lock, cache_folder
from kube_queue.controlplane.commands import Outcome, run_command
from kube_queue.controlplane.errors import BuildFailed, GoMissing
from kube_queue.controlplane.go import GoTool, find_go
from kube_queue.controlplane.programs import Program

Progress = Callable[[str], None]

_PROGRESS_SECONDS = 10.0
_FASTEST = 0.25
"""More cores than eight make a build no faster: its last step is one linker."""
# CGO off: no C compiler is needed, and the binary runs on any libc.
_ENVIRONMENT = {"GO111MODULE": "on", "GOWORK": "off", "CGO_ENABLED": "0"}
_BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")


async def obtain(row: Program, progress: Progress, root: Path | None = None) -> Path:
    """The path of a working binary of the program, of the row's major and minor version.

    `progress` gets lines for a person; `root` is the cache folder, default the user's.
    Raises GoMissing and BuildFailed.
    """
    return (await obtain_all((row,), progress, root))[row.name]


async def obtain_all(
    rows: Sequence[Program], progress: Progress, root: Path | None = None
) -> dict[str, Path]:
    """Working binaries of all these programs by name; what is there already is not built again.

    Interrupted, it has kept the programs that were done, and Go what it had compiled.
    Raises GoMissing and BuildFailed.
    """
    root = root or cache_folder()
    found: dict[str, Path] = {}
    for row in rows:
        ready = await _ready_made(row)
        if ready is not None:
            found[row.name] = ready
    wanted = [row for row in rows if row.name not in found]
    if not wanted:
        return found
    try:
        go = await find_go()
    except GoMissing:
        found |= {row.name: await _kept(row, root) for row in wanted}
        return found
    for row in wanted:
        kept = await _built_before(row, go, root)
        if kept is not None:
            found[row.name] = kept
    absent = [row for row in wanted if row.name not in found]
    if len(absent) > 1:
        names = ", ".join(row.name for row in absent)
        progress(f"{len(absent)} programs to build: {names}: {spoken(sum(map(usual, absent)))}")
    for index, row in enumerate(absent):
        later = absent[index + 1 :]
        builder = _Builder(row, go, progress, root, sum(map(usual, later)))
        found[row.name] = await builder.binary()
    return found


async def data_folder(row: Program, root: Path | None = None) -> Path:
    """The folder of the module's files that the row names as `data`, from Go's module cache.

    It is copied into our cache once, so that it is there when Go or its module cache is not.
    Raises GoMissing and BuildFailed.
    """
    root = root or cache_folder()
    kept = root / f"{row.name}-{row.version}.data"
    if not kept.is_dir():
        async with builder_lock(root / f"{kept.name}.lock", lambda: None):
            if not kept.is_dir():
                await _copy_data(row, kept)
    return kept


async def _copy_data(row: Program, kept: Path) -> None:
    go = await find_go()
    with tempfile.TemporaryDirectory(prefix=f"{kept.name}.work-", dir=kept.parent) as work:
        answer = await _download(go, row, Path(work))
        copy = Path(work, "data")
        copy.mkdir()
        for file in Path(answer["Dir"], row.data).iterdir():
            # Not copytree: in Go's module cache everything is read-only, folders too.
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        copy.rename(kept)


async def _kept(row: Program, root: Path) -> Path:
    """A binary that was built when there was a Go tool; raises GoMissing when there is none."""
    for binary in sorted(root.glob(f"{row.name}-{row.version}-*-{_recipe(row)}/{row.name}")):
        if row.accepts(await _printed_version(row, binary)):
            return binary
    await find_go()
    raise GoMissing(f"{row.name} is not built, and the Go tool that there was has gone")


async def _built_before(row: Program, go: GoTool, root: Path) -> Path | None:
    """A binary of this program for this machine in the cache, from whichever version of Go."""
    own = root / _cache_key(row, go) / row.name
    if own.is_file():
        return own
    platform = f"{go.os}-{go.arch}-{_recipe(row)}"
    for binary in sorted(root.glob(f"{row.name}-{row.version}-*-{platform}/{row.name}")):
        if row.accepts(await _printed_version(row, binary)):
            return binary
    return None


async def _ready_made(row: Program) -> Path | None:
    for folders in (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH")):
        found = shutil.which(row.name, path=folders) if folders else None
        if found is not None and row.accepts(await _printed_version(row, Path(found))):
            return Path(found)
    return None


async def _printed_version(row: Program, binary: Path) -> str:
    """What the binary says of its version; empty when it does not run."""
    if not row.version_command:
        return row.listed_in(binary)
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
    later: float = 0.0
    """Seconds that the programs built after this one will take."""

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
        async with self._step("compiling and linking"):
            await self._go(
                work,
                "build",
                *_flags(row),
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
        answer = await _download(self.go, self.row, work)
        edited = await self._go(work, "mod", "edit", "-json", answer["GoMod"])
        declared: dict[str, Any] = json.loads(edited.out)
        return declared

    async def _go(self, work: Path, *arguments: str | Path) -> Outcome:
        outcome = await self._run(work, *arguments)
        if outcome.code != 0:
            verb = " ".join(str(part) for part in arguments[:2] if not str(part).startswith("-"))
            raise BuildFailed(f"go {verb} failed for {self.row.name}: {outcome.complaint}")
        return outcome

    async def _run(self, work: Path, *arguments: str | Path) -> Outcome:
        return await _run_go(self.go, work, *arguments)

    @contextlib.asynccontextmanager
    async def _step(self, what: str) -> AsyncIterator[None]:
        """While inside, a line with the seconds elapsed is said now and then."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.progress(f"{self.row.name}: {what}: {self._left(0.0)}")

        async def tick() -> None:
            while True:
                await asyncio.sleep(_PROGRESS_SECONDS)
                spent = loop.time() - started
                self.progress(f"{self.row.name}: {what}: {spent:.0f} s, {self._left(spent)}")

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    def _left(self, spent: float) -> str:
        own = usual(self.row) - spent
        if own <= 0:
            return "longer than usual; other work slows it down"
        return spoken(own + self.later)

    def _say_waiting(self) -> None:
        self.progress(f"{self.row.name}: another build of it is under way, waiting for its end")


def usual(row: Program) -> float:
    """Seconds a first build of it takes on this machine when it is idle."""
    return row.seconds * max(2 / (os.cpu_count() or 2), _FASTEST)


def spoken(seconds: float) -> str:
    """The time left, as one says it."""
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes else "less than a minute left"


async def _run_go(go: GoTool, work: Path, *arguments: str | Path) -> Outcome:
    return await run_command([go.path, *arguments], cwd=work, env=_ENVIRONMENT)


async def _download(go: GoTool, row: Program, work: Path) -> dict[str, Any]:
    """What `go mod download -json` answers: the module's GoMod and Dir are in the module cache."""
    wanted = f"{row.module.path}@{row.module.version}"
    outcome = await _run_go(go, work, "mod", "download", "-json", wanted)
    try:
        answer: dict[str, Any] = json.loads(outcome.out)
        reason = answer.get("Error", "")
    except ValueError:
        answer, reason = {}, outcome.complaint
    if outcome.code != 0 or reason or not answer.get("GoMod"):
        raise BuildFailed(
            f"the Go module {wanted} cannot be fetched: {reason or outcome.complaint}; "
            "check the network, or GOPROXY if a proxy is needed"
        )
    return answer


def _flags(row: Program) -> tuple[str, ...]:
    return (*_BUILD_FLAGS, f"-tags={','.join(row.tags)}") if row.tags else _BUILD_FLAGS


def _recipe(row: Program) -> str:
    return hashlib.sha256(repr((row, _ENVIRONMENT, _flags(row))).encode()).hexdigest()[:8]


def _cache_key(row: Program, go: GoTool) -> str:
    key = f"{row.name}-{row.version}-{go.version}-{go.os}-{go.arch}-{_recipe(row)}"
    return key.replace(" ", "_")


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
