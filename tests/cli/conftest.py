"""A whole queue behind a socket, and the command line as a user types it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer

from kube_queue.api.errors import ApiError
from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUE_UNITS, QUEUES, ResourceType
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.app.quiet import log_only_errors
from kube_queue.cli import changing, main
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from tests.controller.queueing.world import a_leaf, a_root, a_tree
from tests.serving.cluster import clock

SETTINGS = Settings().replaced(
    leader={"enabled": False},
    serving={"port": 0},
    jobs={"enabled_extensions": LOCAL_EXTENSIONS},
)
Said = tuple[int, str, str]
"""Exit code, standard output, standard error."""


@dataclass
class Desk:
    """A cluster with a quota of 4 cpu for namespace default, and a terminal."""

    user: Client
    kubeconfig: Path
    folder: Path
    _stop: Callable[[], Any]

    async def run(self, *arguments: str, stdin: str = "") -> Said:
        """What `kube-queue` says to these arguments."""
        where = ["--kubeconfig", str(self.kubeconfig)]
        return await asyncio.to_thread(typed, [*arguments[:1], *where, *arguments[1:]], stdin)

    async def done(self, *arguments: str, stdin: str = "") -> str:
        """The standard output of a command that has to succeed."""
        code, out, err = await self.run(*arguments, stdin=stdin)
        assert code == 0, (arguments, out, err)
        return out

    async def refused(self, *arguments: str, code: int = 1, stdin: str = "") -> str:
        """The standard error of a command that has to fail with this exit code."""
        got, out, err = await self.run(*arguments, stdin=stdin)
        assert (got, "Traceback" in err) == (code, False), (arguments, out, err)
        return err

    async def without_controller(self) -> None:
        """Nobody decides any more."""
        await self._stop()

    def file(self, text: str, name: str = "job.yaml") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    async def get(self, kind: ResourceType, name: str, namespace: str = "default") -> Any:
        return await self.user.get(kind, namespace, name)

    async def unit(self, name: str) -> Any:
        return await self.get(QUEUE_UNITS, name)

    async def until(self, holds: Callable[[], Any], seconds: float = 20) -> Any:
        """The first true answer of `holds`."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(ApiError):
                    found = await holds()
                    if found:
                        return found
                await asyncio.sleep(0.02)

    async def phase(self, unit: str, *phases: str) -> Any:
        """The unit once it is in one of these phases ("": it exists)."""

        async def reached() -> Any:
            found = await self.unit(unit)
            stands = found.get("status", {}).get("phase", "Enqueued")
            return found if not phases or stands in phases else None

        return await self.until(reached)

    async def reason(self, unit: str, reason: str) -> Any:
        async def reached() -> Any:
            found = await self.unit(unit)
            return found if found.get("status", {}).get("reason") == reason else None

        return await self.until(reached)


def typed(arguments: list[str], stdin: str = "") -> Said:
    """What the command says in this process; its real one is slow to start."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.stdin
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.stdin = io.StringIO(stdin)
        try:
            main.app(changing.spelled_out(arguments), prog_name="kube-queue")
            code = 0
        except (SystemExit, typer.Exit) as ended:
            told = ended.code if isinstance(ended, SystemExit) else ended.exit_code
            code = told if isinstance(told, int) else 0
        finally:
            sys.stdin = before
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Errors only are logged, and afterwards what was before."""
    before = structlog.get_config()
    log_only_errors()
    yield
    structlog.configure(**before)


@pytest.fixture
async def desk(tmp_path: Path, quiet: None) -> AsyncIterator[Desk]:
    server = ApiServer(clock=clock, rng=random.Random(1))
    user = Client(InProcessTransport(server))
    await install(user, operators=True)
    await user.create(
        ELASTIC_QUOTA_TREES, a_tree(a_root(a_leaf("default", cpu=4)), "elasticquotatree")
    )
    http = await serve(server, port=0, token="secret")
    visibility: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    controller = asyncio.create_task(
        run_controller(
            Client(InProcessTransport(server)),
            SETTINGS,
            clock=clock,
            rng=random.Random(2),
            with_jobs=True,
            ready=visibility.set_result,
        )
    )

    async def stop() -> None:
        controller.cancel()
        await asyncio.gather(controller, return_exceptions=True)

    await asyncio.wait([visibility, controller], return_when=asyncio.FIRST_COMPLETED)
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=http.url, token="secret", visibility=visibility.result())
    made = Desk(user, kubeconfig, tmp_path, stop)
    await made.until(lambda: user.get(QUEUES, "kube-queue", "root-default"))
    try:
        yield made
    finally:
        await stop()
        await http.close()
        await server.close()
