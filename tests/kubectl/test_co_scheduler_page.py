"""The walk-throughs of docs/co-scheduler.md, typed as they stand there, end as the page says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from e2e.backends.embedded import EmbeddedBackend
from e2e.placements import Placements, on_node, phase_of
from e2e.world import World
from kube_queue.api.types import PODS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "co-scheduler.md").read_text(encoding="utf-8")
Pods = Sequence[dict[str, Any]]
WITHIN = 120.0


def all_in(phase: str, count: int) -> Callable[[Pods], bool]:
    return lambda pods: [phase_of(one) for one in pods] == [phase] * count


def three_running(pods: Pods) -> bool:
    return sorted(phase_of(one) for one in pods) == ["Pending"] * 2 + ["Running"] * 3


def five_on_one_node(pods: Pods) -> bool:
    return len(pods) == 5 and all(map(on_node, pods)) and len({_node(one) for one in pods}) == 1


def _node(one: dict[str, Any]) -> str:
    return str(one["spec"]["nodeName"])


SAID: dict[str, Callable[[Pods], bool]] = {
    "five, all Pending": all_in("Pending", 5),
    "five, all Running": all_in("Running", 5),
    "three Running: two that are needed, and one more that fits": three_running,
    "five, on one node": five_on_one_node,
}
"""What the page says behind a command, as a question about the pods there are."""


def section(heading: str) -> str:
    """What stands below the heading, up to the next of its level."""
    level = heading.partition(" ")[0]
    below = PAGE.partition(f"\n{heading}\n")[2]
    assert below, heading
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def commands(text: str) -> list[str]:
    """The lines of the indented blocks that begin with a command."""
    found: list[str] = []
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE):
        lines = [line[4:] for line in block.splitlines() if line]
        if lines[0].startswith(("kubectl ", "kube-queue ", "cat ", "sed ")):
            found += [line for line in lines if line != "kube-queue local up"]
    return found


class Shell:
    """A cluster, and a shell in which kubectl and kube-queue are about it."""

    def __init__(self, world: World, binary: str, home: Path) -> None:
        self.world = world
        folder = home / "bin"
        folder.mkdir()
        (folder / "kubectl").symlink_to(binary)
        path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
        kubeconfig = str(world.cluster.kubeconfig)
        self._environment = {"PATH": path, "HOME": str(home), "KUBECONFIG": kubeconfig}

    async def types(self, lines: Sequence[str]) -> str:
        """The lines end without an error; what they printed."""
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-e",
            "-o",
            "pipefail",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env=self._environment,
        )
        out, _ = await process.communicate("\n".join(lines).encode())
        assert process.returncode == 0, (lines, out.decode())
        return out.decode()

    async def follows(self, lines: Sequence[str]) -> str:
        """Every line was typed, and what is said behind some came true. What they printed."""
        printed, typed = "", list[str]()
        for line in lines:
            command, mark, said = line.partition("  # ")
            typed.append(command)
            if mark:
                printed += await self.types(typed)
                typed = []
                await self.world.until(PODS, SAID[said.strip()], said.strip(), within=WITHIN)
        return printed + (await self.types(typed) if typed else "")

    async def no_pods(self) -> None:
        await self.world.until(PODS, lambda pods: not pods, "no pod is left", within=WITHIN)


@asynccontextmanager
async def a_shell(binary: str, home: Path) -> AsyncIterator[Shell]:
    cluster = await EmbeddedBackend().start(environment={}, flags=())
    try:
        async with World.on(cluster) as world:
            yield Shell(world, str(Path(binary).absolute()), home)
    finally:
        await cluster.stop()


def steps() -> list[tuple[list[int], int]]:
    """Per row of the page's table: pods by namespace, and pods evicted up to then."""
    found: list[tuple[list[int], int]] = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[1].isdigit():
            pods = [int(cell or "0") for cell in cells[1:5]]
            more = found[-1][1] if cells[5].endswith("more") else 0
            found.append((pods, int(cells[5].split()[0]) + more))
    return found


async def test_a_gang_and_a_topology_do_what_the_page_says(binary: str, tmp_path: Path) -> None:
    async with a_shell(binary, tmp_path) as shell:
        printed = await shell.follows(commands(section("### Walk-through")))
        assert "Gang default/tf-smoke-gpu: has its minimum; 2 more: waits for a node" in printed
        await shell.no_pods()
        await shell.follows(commands(section("## One node, one zone")))
        await shell.no_pods()


async def test_the_quotas_do_what_the_page_says(binary: str, tmp_path: Path) -> None:
    lines = commands(section("## Quotas"))
    begin, end = lines.index("for n in 1 2 3 4; do"), lines.index("done")
    body = [line for line in lines[begin + 1 : end] if "sleep" not in line]
    assert len(body) == end - begin - 2
    async with a_shell(binary, tmp_path) as shell:
        placed = await Placements.of(shell.world)
        await shell.types(lines[:begin])
        for number, (wanted, evicted) in enumerate(steps(), start=1):
            await shell.types([f"n={number}", *body])
            await shell.world.until(
                PODS, partial(stand, wanted), f"pods by namespace {wanted}", within=WITHIN
            )
            assert len(placed.evicted) == evicted, placed.evicted
        assert number == 4
        placed.check()


def stand(wanted: list[int], pods: Pods) -> bool:
    """Whether so many pods of each of the four namespaces are on nodes."""
    homes = [one["metadata"]["namespace"] for one in pods if on_node(one)]
    return [homes.count(f"namespace{number}") for number in range(1, 5)] == wanted
