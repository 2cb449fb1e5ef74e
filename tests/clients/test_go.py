"""client-go as controllers use it, in a Go program beside this file."""

import asyncio
import os
from pathlib import Path

import pytest

from kube_queue.controlplane.errors import GoMissing
from kube_queue.controlplane.go import GoTool, find_go
from tests.clients.conftest import NAMESPACE

PROGRAM = Path(__file__).with_name("go")
BUILT_WITHIN = 1500.0
DONE_WITHIN = 120.0
PARTS = [
    "typed",
    "errors",
    "pages",
    "informers",
    "dynamic",
    "mapper",
    "eviction",
    "leader election",
]


async def _go() -> GoTool:
    try:
        return await find_go()
    except GoMissing as missing:
        if os.environ.get("GO_REQUIRED") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


async def _run(*command: str | Path, within: float, **environment: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=PROGRAM,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            out, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.long
async def test_a_program_on_client_go_meets_no_surprise(kubeconfig: Path, tmp_path: Path) -> None:
    go = await _go()
    binary = tmp_path / "clients"
    code, said = await _run(go.path, "build", "-o", binary, ".", within=BUILT_WITHIN, GOFLAGS="")
    assert code == 0, said
    code, said = await _run(binary, kubeconfig, NAMESPACE, within=DONE_WITHIN)
    assert code == 0, said
    assert [line for line in said.splitlines() if line in PARTS] == PARTS
