"""Room manifests: YAML the product brings along.

Holds: our CRDs (generated from the models in api by tools/generate_crds.py), minimal operator
CRDs of our own writing under operators/, the walk-through of the ack-kube-queue documentation
under demo/.
May import: the standard library and PyYAML, lazily.
Never: any other room; decisions.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

_OURS = ("queueunits.yaml", "queues.yaml", "elasticquotatrees.yaml", "podgroups.yaml")
_OPERATORS = (
    "tfjob",
    "pytorchjob",
    "mpijob",
    "xgboostjob",
    "paddlejob",
    "jaxjob",
    "mxjob",
    "rayjob",
    "sparkapplication",
    "workflow",
    "jobset",
    "trainjob",
    "raycluster",
    "appwrapper",
)


def text(name: str) -> str:
    """The file of this name as it is packaged, for example ``demo/two-tfjobs.yaml``.

    Raises FileNotFoundError when there is none.
    """
    return files(__name__).joinpath(*name.split("/")).read_text(encoding="utf-8")


def load(name: str) -> list[dict[str, Any]]:
    """The objects in the file of this name, a List taken apart; fresh ones at each call."""
    objects: list[dict[str, Any]] = json.loads(_as_json(name))
    return objects


@cache
def _as_json(name: str) -> str:
    """The same as a JSON array: what was read once is soon read again."""
    import yaml  # half the start-up time of a command that needs no manifest

    # libyaml, where present, reads ten times faster.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    objects: list[dict[str, Any]] = []
    for document in yaml.load_all(text(name), loader):
        if not document:
            continue
        objects.extend(document["items"] if document.get("kind") == "List" else [document])
    return json.dumps(objects)


def crds() -> list[dict[str, Any]]:
    """The CRDs of QueueUnit, Queue, ElasticQuotaTree and PodGroup."""
    return [crd for name in _OURS for crd in load(name)]


def operator_crds() -> list[dict[str, Any]]:
    """CRDs of the job kinds, for clusters without their operators; never for real ones."""
    return [crd for name in _OPERATORS for crd in load(f"operators/{name}.yaml")]
