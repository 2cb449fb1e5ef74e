"""Which scenarios a back end may leave out, and why: a list that is checked, so nothing is left out
unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from e2e.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Skips:
    """What one back end leaves out, as number and reason.

    `lacking`: the scenario needs an ability that the back end does not have. `beyond`: it has every
    ability, but the scenario asks for more than such a cluster is given.
    """

    lacking: Mapping[str, str] = field(default_factory=dict)
    beyond: Mapping[str, str] = field(default_factory=dict)


_CROWD: Final = "runs more containers than a small machine can start in the scenario's time"
_LARGE: Final = "runs a pod of 4 CPUs, and a node has no more than the machine"
_NO_POLICIES: Final = "the embedded server has no admission policies"
_NO_CONTROLLERS: Final = "the simulator has no StatefulSets"
_IMAGES: Final = "runs images that are not packed here"
_KEPT: Final = "keeps pods by a finalizer, and a real kubelet ends their containers all the same"
_ADDED: Final = "adds nodes, and here only the kubelets of this machine play any"
_NO_GATES: Final = "its API server is not told to serve Kubernetes' own PodGroup"
_SCHEDULER: Final = (
    "S1",
    "S2",
    "S3",
    "S3b",
    "S3c",
    "S4",
    "S5",
    "S6",
    "S7",
    "S7b",
    "S12",
    "S12b",
    "S13",
    "S13b",
    "S13c",
    "S14",
    "S15",
    "S15b",
    "S15c",
    "S16",
)
ALLOWED: Final[Mapping[str, Skips]] = {
    "embedded": Skips(
        lacking={
            **dict.fromkeys(("Q1p", "Q1r", "Q1s", "Q1t", "Q26p"), _NO_POLICIES),
            **dict.fromkeys(("Q25k", "Q26s"), _NO_CONTROLLERS),
            "S3c": "the embedded server does not serve Kubernetes' own PodGroup",
        }
    ),
    "kubernetes": Skips(),
    "kind": Skips(lacking={"S3c": _NO_GATES}),
    "node": Skips(
        beyond={
            **dict.fromkeys(("Q9", "Q15b", "Q15d"), _LARGE),
            **dict.fromkeys(("Q16b", "Q16c", "Q18p"), _CROWD),
            **dict.fromkeys(("Q5", "Q6", "Q7", "Q7d", "Q16k", "Q17k", "Q25k"), _IMAGES),
            **dict.fromkeys(("Q15", "Q15e", "Q16", "Q17", "Q17j"), _KEPT),
            **dict.fromkeys((*_SCHEDULER, "Q28", "Q28t"), _ADDED),
        }
    ),
}


def skipped(backend: str, has: Collection[str], scenario: Scenario) -> str:
    """Why this back end leaves the scenario out; empty when it plays it."""
    beyond = ALLOWED[backend].beyond.get(scenario.number)
    if beyond is not None:
        return beyond
    missing = sorted(scenario.needs - set(has))
    return f"needs {', '.join(missing)}" if missing else ""


def wrong(backend: str, has: Collection[str], scenarios: Collection[Scenario]) -> list[str]:
    """One sentence for each skip that is not on the list, and for each entry that is out of date.

    `scenarios` are all there are, whichever are played.
    """
    allowed = ALLOWED[backend]
    found = []
    lacks = {one.number for one in scenarios if one.needs - set(has)}
    for number in sorted(lacks - allowed.lacking.keys()):
        found.append(f"{number} would be skipped on {backend} and is not on the list in e2e/skips")
    for number in sorted(allowed.lacking.keys() - lacks):
        found.append(f"{number} is on the list in e2e/skips, but {backend} lacks nothing for it")
    for number in sorted(allowed.beyond.keys() - {one.number for one in scenarios}):
        found.append(f"{number} is on the list in e2e/skips for {backend}, but is no scenario")
    return found
