"""The meters of one process: counters and histograms that are hit, gauges that are read.

A hit costs one dictionary look-up and one addition. Whatever can be read off memory (how many wait,
how much is used) is not counted on the way but asked for when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from kube_queue.observability.catalogue import (
    ATTEMPTS,
    BINDING_SECONDS,
    CYCLE_SECONDS,
    E2E_SECONDS,
    EVICTIONS,
    INFORMER_LAG,
    SCHEDULING_ATTEMPTS,
    WAIT_SECONDS,
    Metric,
)

Reading: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A metric, its label values in order, and its present value."""


class Meters:
    """Counts of one process, in a registry of its own; two of them share nothing."""

    def __init__(self) -> None:
        # A second series per counter that says when it began, by a clock of its own: nobody asks.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped upstream
        self.registry = CollectorRegistry(auto_describe=False)
        self._attempts = _Counts(ATTEMPTS, self.registry)
        self._evictions = _Counts(EVICTIONS, self.registry)
        self._waits = _Spans(WAIT_SECONDS, self.registry)
        self._e2e = _Spans(E2E_SECONDS, self.registry)
        self._cycles = _Spans(CYCLE_SECONDS, self.registry)
        self._lags = _Spans(INFORMER_LAG, self.registry)
        self._scheduled = _Counts(SCHEDULING_ATTEMPTS, self.registry)
        self._bindings = _Spans(BINDING_SECONDS, self.registry)

    def attempt(self, result: str, count: int = 1) -> None:
        """`count` more tries ended with this result."""
        self._attempts.add((result,), count)

    def evicted(self, reason: str) -> None:
        """One more unit was told to give its quota back, or pod to go."""
        self._evictions.add((reason,), 1)

    def admitted(self, queue: str, kind: str, waited: float) -> None:
        """One more unit was admitted, `waited` seconds after its job was submitted."""
        self._waits.add((queue, kind), waited)

    def finished(self, queue: str, kind: str, since_submission: float) -> None:
        """One more job ended, so many seconds after its submission."""
        self._e2e.add((queue, kind), since_submission)

    def cycled(self, seconds: float) -> None:
        """One more cycle ran."""
        self._cycles.add((), seconds)

    def scheduled(self, result: str, count: int = 1) -> None:
        """`count` more pods were decided about, with this result."""
        self._scheduled.add((result,), count)

    def bound(self, seconds: float) -> None:
        """One more pod was bound, so long after its node was chosen."""
        self._bindings.add((), seconds)

    def lagged(self, seconds: float) -> None:
        """One more of our own writes came back by watch, so long after its answer."""
        self._lags.add((), seconds)

    def read_from(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Whenever somebody looks, `source` is asked for present values."""
        self.registry.register(_Reader(source))

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)


class _Counts:
    """A counter whose children are kept at hand by their label values."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._counter = Counter(metric.name, metric.doc, metric.labels, registry=registry)
        self._children: dict[tuple[str, ...], Counter] = {}

    def add(self, labels: tuple[str, ...], amount: float) -> None:
        child = self._children.get(labels)
        if child is None:
            child = self._counter.labels(*labels) if labels else self._counter
            self._children[labels] = child
        child.inc(amount)


class _Spans:
    """A histogram whose children are kept at hand by their label values."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            metric.name, metric.doc, metric.labels, registry=registry, buckets=metric.buckets
        )
        self._children: dict[tuple[str, ...], Histogram] = {}

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        child = self._children.get(labels)
        if child is None:
            child = self._histogram.labels(*labels) if labels else self._histogram
            self._children[labels] = child
        # A clock that was set back must not make a negative time out of a wait.
        child.observe(max(0.0, seconds))


class _Reader(Collector):
    """Asks for readings when the registry is looked at."""

    def __init__(self, source: Callable[[], Iterable[Reading]]) -> None:
        self._source = source

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for metric, labels, value in self._source():
            family = families.get(metric.name)
            if family is None:
                kind = CounterMetricFamily if metric.form == "counter" else GaugeMetricFamily
                family = families[metric.name] = kind(metric.name, metric.doc, labels=metric.labels)
            family.add_metric(labels, value)
        yield from families.values()
