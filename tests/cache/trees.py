"""Trees and Queues that the machines change between: bounds of every sort, in small numbers."""

from __future__ import annotations

import json
from dataclasses import replace

from kube_queue.api.names import LEND_LIMIT_ATTRIBUTE
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree, parse_tree
from tests.builders import QuotaBuilder, a_quota, a_tree, amounts


def lending(quota: QuotaBuilder, **quantities: str | int) -> QuotaBuilder:
    """The quota lends no more than this of its min."""
    attributes = {LEND_LIMIT_ATTRIBUTE: json.dumps(amounts(**quantities))}
    return replace(quota, limits={**quota.limits, "attributes": attributes})


def _malformed() -> QuotaTree:
    root = (
        a_quota("root")
        .max(cpu="6", memory="-3")
        .over(
            a_quota("a").min(cpu="9").max(cpu="4").serving("a", "b"),
            a_quota("b").min(cpu="some").max(cpu="5").serving("b"),
            a_quota("c").max(cpu="6").min(cpu="2").serving("c"),
        )
    )
    manifest = root.manifest()
    manifest["children"].append({"name": "", "max": "all"})
    manifest["children"].append({"name": "d", "max": "all", "namespaces": ["d"]})
    tree, violations = parse_tree({"spec": {"root": manifest}})
    assert tree is not None
    assert len(violations) > 4
    return tree


FULL = a_tree(
    a_quota("root")
    .max(cpu="8", jobs="6")
    .over(
        a_quota("p")
        .max(cpu="5", memory="6")
        .over(
            a_quota("a").min(cpu="2").max(cpu="4").serving("a"),
            a_quota("b").min(cpu="1", memory="1").max(cpu="5", memory="5").serving("b"),
        ),
        a_quota("c").max(cpu="6").min(cpu="3", jobs="2").serving("c"),
    )
)
SMALLER = a_tree(
    a_quota("root")
    .max(cpu="4")
    .over(
        a_quota("p").over(a_quota("a").max(cpu="2").serving("a")),
        a_quota("c").max(cpu="3", memory="3").serving("c", "b"),
    )
)
LARGER = a_tree(
    a_quota("root")
    .max(cpu="12", memory="9")
    .min(cpu="6", memory="4")
    .over(
        a_quota("a").max(cpu="9").min(cpu="4").serving("a"),
        a_quota("b").max(memory="7").min(cpu="2", memory="4").serving("b"),
    )
)
GUARANTEED = a_tree(
    a_quota("root")
    .max(cpu="6", memory="6")
    .over(
        a_quota("a").min(cpu="2", memory="2").serving("a"),
        a_quota("b").min(cpu="2", memory="2").serving("b"),
        a_quota("c").min(cpu="2", memory="2").serving("c"),
    )
)
LENDING = a_tree(
    a_quota("root")
    .max(cpu="8", memory="8")
    .over(
        lending(a_quota("p").min(cpu="3", memory="2"), cpu="1").over(
            lending(a_quota("a").min(cpu="2", memory="1"), cpu="0").serving("a"),
            a_quota("b").min(cpu="1", memory="1").serving("b"),
        ),
        lending(a_quota("c").min(cpu="3"), cpu="1").serving("c"),
    ),
    max_preemptible_jobs="3",
)
TREES = (FULL, SMALLER, LARGER, GUARANTEED, LENDING, _malformed(), None)

QUEUES = ("root-p-a", "root-p-b", "root-c", "root-a", "root-b", "shared")
POLICIES = tuple(Policy)
