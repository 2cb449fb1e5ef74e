"""The rules between the nodes of a quota tree; each names the field that breaks it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from kube_queue.api.loose import field_path, shown
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota_reading import Draft
from kube_queue.api.quota_tree import Violation, queue_name
from kube_queue.api.resources import format_amount

_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def check_names(drafts: Sequence[Draft], found: list[Violation]) -> dict[str, Draft]:
    """The node each name stands for, the first of its name; second ones are violations."""
    by_name: dict[str, Draft] = {}
    by_queue: dict[str, Draft] = {}
    for draft in drafts:
        where = f"{draft.where}.name"
        first = by_name.setdefault(draft.name, draft)
        if first is not draft:
            problem = (
                f"{shown(draft.name)} is already the name of {first.where}; "
                "a label of that name means the first"
            )
            found.append(Violation(where, problem))
        elif not _LABEL_VALUE.fullmatch(draft.name):
            problem = f"{shown(draft.name)} is no label value, so no job can name this quota"
            found.append(Violation(where, problem, "warning"))
        if draft.children:
            continue
        twin = by_queue.setdefault(queue_name(draft.path), draft)
        if twin is not draft:
            problem = f"shares the queue {queue_name(draft.path)} with {twin.where}"
            found.append(Violation(where, problem, "warning"))
    return by_name


def check_namespaces(drafts: Sequence[Draft], found: list[Violation]) -> dict[str, Draft]:
    """The leaf each namespace belongs to, the first that lists it; the rest are violations."""
    owners: dict[str, Draft] = {}
    for draft in drafts:
        for where, namespace in draft.namespaces:
            if draft.children:
                problem = (
                    f"only leaves have namespaces and {draft.name} has children; "
                    f"jobs of {namespace} belong to no quota by it"
                )
                found.append(Violation(where, problem))
                continue
            owner = owners.setdefault(namespace, draft)
            if owner is not draft:
                problem = f"namespace {namespace} already belongs to {owner.name}"
                found.append(Violation(where, problem))
    return owners


def check_numbers(drafts: Sequence[Draft], found: list[Violation]) -> None:
    """Min within max in every node, children's min within their parent's, max below the parent's.

    An amount that could not be read is its own violation and is not compared.
    """
    for draft in drafts:
        _check_own(draft, found)
        if draft.parent is not None:
            _check_against_parent(draft, draft.parent, found)
        if draft.children and draft.min:
            _check_children(draft, found)


def _check_own(draft: Draft, found: list[Violation]) -> None:
    for name, least in draft.min.items():
        most = draft.max.get(name)
        if most is None or least <= most or ("max", name) in draft.unreadable:
            continue
        problem = f"min {_text(name, least)} is more than max {_text(name, most)}"
        found.append(Violation(_path(draft, "min", name), problem))


def _check_against_parent(draft: Draft, parent: Draft, found: list[Violation]) -> None:
    for name, most in draft.max.items():
        bound = parent.max.get(name)
        if bound is None or most <= bound or ("max", name) in parent.unreadable:
            continue
        problem = (
            f"max {_text(name, most)} is more than the {_text(name, bound)} of {parent.name}, "
            "which bounds it anyway"
        )
        found.append(Violation(_path(draft, "max", name), problem, "warning"))


def _check_children(draft: Draft, found: list[Violation]) -> None:
    sums: dict[str, int] = {}
    for child in draft.children:
        for name, amount in child.min.items():
            sums[name] = sums.get(name, 0) + amount
    for name, total in sums.items():
        if name not in draft.min and name == MAX_JOBS:
            continue
        least = draft.min.get(name, 0)
        if total <= least or ("min", name) in draft.unreadable:
            continue
        problem = f"min {_text(name, least)} is less than the {_text(name, total)} of its children"
        found.append(Violation(_path(draft, "min", name), problem))


def _path(draft: Draft, kind: Literal["min", "max"], name: str) -> str:
    return field_path(f"{draft.where}.{kind}", name)


def _text(name: str, amount: int) -> str:
    text = format_amount(name, amount)
    return text if len(text) <= 60 else "a very long number"
