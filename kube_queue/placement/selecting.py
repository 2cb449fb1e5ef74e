"""Pods by namespace and labels, and who of many asks for a given pod without asking each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from kube_queue.api.pod_affinity import PodTerm
from kube_queue.api.pods import Labels
from kube_queue.api.selectors import Selector


class Part(NamedTuple):
    """Pods of these labels in these namespaces."""

    selector: Selector
    namespaces: frozenset[str]
    by_label: Selector | None
    """Namespaces by label, besides those named; None: only those named. Empty: all."""


Selection = tuple[Part, ...]
"""Pods that every part selects; never without a part."""


def part_of(term: PodTerm) -> Part:
    """The pods of the term."""
    return Part(term.selector, term.namespaces, term.namespace_selector)


def reads_namespaces(selection: Selection) -> bool:
    """Whether labels of namespaces decide."""
    return any(part.by_label for part in selection)


class Namespaces:
    """The labels of namespaces, by name; one that was not seen has none."""

    def __init__(self, labels: Mapping[str, Labels]) -> None:
        self._labels = labels

    def selects(self, selection: Selection, namespace: str, labels: Labels) -> bool:
        """Whether a pod of this namespace and these labels is selected."""
        return all(
            self._holds(part, namespace) and part.selector.selects(labels) for part in selection
        )

    def _holds(self, part: Part, namespace: str) -> bool:
        if namespace in part.namespaces:
            return True
        return part.by_label is not None and part.by_label.selects(self._labels.get(namespace, {}))


T = TypeVar("T")
LabelPair = tuple[str, str]


class Askers(Generic[T]):
    """Those who ask for pods, found by a label that the pods must have."""

    def __init__(self) -> None:
        self._by_label: dict[LabelPair, dict[T, None]] = {}
        self._by_none: dict[T, None] = {}
        """Those whose pods need not have any label."""

    def add(self, asker: T, selection: Selection) -> None:
        """The asker asks for pods of the selection."""
        pairs = label_pairs(selection)
        if pairs is None:
            self._by_none[asker] = None
        for pair in pairs or ():
            self._by_label.setdefault(pair, {})[asker] = None

    def remove(self, asker: T, selection: Selection) -> None:
        """The asker does not ask any more."""
        self._by_none.pop(asker, None)
        for pair in label_pairs(selection) or ():
            group = self._by_label.get(pair, {})
            group.pop(asker, None)
            if not group:
                self._by_label.pop(pair, None)

    def who_may_ask(self, labels: Labels) -> Iterator[T]:
        """Everybody who may ask for a pod of these labels, and some who do not; each once."""
        yield from self._by_none
        for pair in labels.items():
            # A selection is listed by one key only, so a pod meets it at most once.
            yield from self._by_label.get(pair, ())


def label_pairs(selection: Selection) -> tuple[LabelPair, ...] | None:
    """Labels of which the selected pods have one, all of one key; None: they need not."""
    for part in selection:
        for requirement in part.selector.requirements:
            if requirement.operator == "In":
                return tuple((requirement.key, value) for value in requirement.values)
    return None
