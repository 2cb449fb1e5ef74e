"""The manifests that the documentation shows, as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from e2e.jobs import FINISHED, HOLDS, Object, gated, job
from e2e.kinds import JOB_KINDS
from e2e.scenario import scenario
from e2e.steps import follow_units, see_admitted, see_exact
from e2e.trees import namespace, tree
from e2e.world import World
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import JOBS, QUEUE_UNITS

PAGES: Final = Path(__file__).parents[2] / "docs" / "jobs"
WITHOUT_OPERATOR: Final = {"JobSet", "TrainJob", "RayCluster", "AppWrapper"}
"""Nobody runs them in our clusters: they are followed until they are released."""
MADE: Final = {"deployment", "statefulset", "leaderworkerset", "podgroup"}
"""Pages of what makes pods, or is many of them; see `pods`."""
_BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW: Final = re.compile(r"^\| [^|]+ \| (\d+) \| ([^|]+) \|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page about a kind: its example, and what its table says that it asks for."""

    namespace: str
    manifest: Object
    asks: ResourceVector

    @classmethod
    def read(cls, path: Path) -> Page:
        """The example goes to a namespace of its own, whatever it names."""
        text = path.read_text(encoding="utf-8")
        (block,) = _BLOCK.findall(text)
        manifest = yaml.safe_load(block)
        manifest["metadata"]["namespace"] = path.stem
        asks = EMPTY
        for number, amounts in _ROW.findall(text):
            words = [one.split() for one in amounts.split(", ")]
            asks += ResourceVector.parse(dict(words)) * int(number)
        return cls(path.stem, manifest, asks)

    @property
    def kind(self) -> str:
        """The word in the manifest."""
        return str(self.manifest["kind"])


@scenario(
    "Q7d",
    "every job of the documentation asks for what its page says, waits, and runs",
    within=300,
)
async def documented(world: World) -> None:
    pages = [Page.read(path) for path in sorted(PAGES.glob("*.md")) if path.stem not in MADE]
    assert {page.kind for page in pages} == JOB_KINDS.keys()
    teams = [page.namespace for page in pages]
    await world.apply(*map(namespace, teams))
    leaves = (("default", "64"), *((team, "64") for team in teams))
    ledger = await follow_units(world, tree("64", *leaves, memory="512Gi"))
    await world.apply(job("before", "64"))
    await see_admitted(world, "before")
    await world.apply(*(page.manifest for page in pages))
    await _see_units(world, teams, _refused, "wait for quota")
    units = await world.objects(QUEUE_UNITS)
    for page in pages:
        (unit,) = _of(units, page.namespace)
        counted = ResourceVector.parse(unit["spec"]["resource"])
        assert counted == page.asks, f"{page.kind}: {counted}"
        assert await _held(world, page), f"{page.kind} is not held"
    await world.delete(JOBS, "before")
    await _see_units(world, teams, _admitted, "are admitted")
    for page in pages:
        await see_released(world, page.kind, page.namespace)
    run = [page.namespace for page in pages if page.kind not in WITHOUT_OPERATOR]
    await _see_units(world, run, lambda unit: _phase(unit) == "Succeed", "succeeded", within=150)
    # Together they ask for more than the nodes have: some pods start half a minute later than the
    # rest of their job, outlive it by as much, and count as used until then.
    await see_exact(world, ledger, within=90)


async def _see_units(
    world: World,
    teams: Sequence[str],
    holds: Callable[[Object], bool],
    saying: str,
    *,
    within: float = 45.0,
) -> None:
    """The one unit of each of these namespaces is such."""

    def missing(units: Sequence[Object]) -> list[str]:
        return [team for team in teams if not any(map(holds, _of(units, team)))]

    await world.until(QUEUE_UNITS, lambda units: not missing(units), f"all {saying}", within=within)


async def see_released(world: World, kind: str, team: str) -> None:
    """No job of this kind in this namespace is held."""
    await world.until(
        JOB_KINDS[kind],
        lambda seen: not any(map(_is_held, _of(seen, team))),
        f"the {kind} is released",
    )


async def _held(world: World, page: Page) -> bool:
    (one,) = _of(await world.objects(JOB_KINDS[page.kind]), page.namespace)
    return _is_held(one)


def _is_held(one: Object) -> bool:
    annotations = one["metadata"].get("annotations") or {}
    policy = one["spec"].get("runPolicy") or {}
    marks = (one["spec"].get("suspend"), policy.get("suspend"), gated(one))
    return annotations.get(SUSPEND_ANNOTATION) == "true" or True in marks


def _of(objects: Sequence[Object], team: str) -> list[Object]:
    return [one for one in objects if one["metadata"]["namespace"] == team]


def _phase(unit: Object) -> str:
    return str(unit.get("status", {}).get("phase") or "Enqueued")


def _refused(unit: Object) -> bool:
    return bool(unit.get("status", {}).get("reason") == "InsufficientQuota")


def _admitted(unit: Object) -> bool:
    return _phase(unit) in HOLDS | FINISHED
