"""Whether the nodes have room for a job now, asked before the job is released.

The controller's own copy of nodes and pods, and the scheduler's own placement on it: the pods of a
unit's pod sets are tried as one gang; where they are one to the co-scheduler as well, in one domain
of its topology constraint. The answer is advice. It knows no volumes, no quota and no
preemption, and pods that wait for another scheduler take no room yet; what was just let through
does, until its pods stand there or half a minute has passed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.node_selectors import list_of
from kube_queue.api.nodes import Node, node_of
from kube_queue.api.pods import Pod, pod_of
from kube_queue.api.types import NODES, PODS
from kube_queue.cache.placing import PlacementCache
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.placement.decisions import Bind
from kube_queue.placement.gangs import constraint_among
from kube_queue.placement.plugins import BASE
from kube_queue.placement.units import Part, Unit, UnitKey

PROMISED_SECONDS: Final = 30.0
"""How long the room of a job that was let through is kept while its pods are not seen."""
MOST_PODS: Final = 10_000
"""A job of more pods is not looked at."""
_NOT_LOOKED_AT: Final = ("volumes", "nodeName", "schedulingGates")
"""Fields of a template that are left out: gates are gone by then, volumes are nobody's here."""

_log = structlog.get_logger("controller.placement")


class PlacementCheck:
    """Follows nodes and pods; `changed` is called whenever a job may find room that found none."""

    def __init__(
        self,
        client: Client,
        clock: Callable[[], float],
        changed: Callable[[], None],
        *,
        scheduler_names: Collection[str],
        rng: random.Random,
        page_size: int,
    ) -> None:
        self._cache = PlacementCache((), BASE)
        self._scheduler_names = frozenset(scheduler_names)
        self._clock = clock
        self._changed = changed
        self._promised: dict[str, tuple[str, ...]] = {}
        """uids of pods that stand for those of a job, by the uid of its unit."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._untold = False
        self._nodes: Informer[Node] = Informer(client, NODES, node_of, rng=rng, page_size=page_size)
        self._pods: Informer[Pod] = Informer(client, PODS, pod_of, rng=rng, page_size=page_size)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    def informers(self) -> Iterator[Informer[Any]]:
        """Every watch there is."""
        yield from (self._nodes, self._pods)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers():
                group.create_task(informer.run())

    def problem(self, unit: Mapping[str, Any]) -> str:
        """Why the nodes have no room for the pods of this QueueUnit now; empty: they have, and it
        is kept for them for a while.
        """
        pods = _pods_of(unit)
        if not pods:
            self._say_untold(unit)
        if not pods or len(pods) > MOST_PODS:
            return ""
        uid = text_of(mapping_of(unit.get("metadata")).get("uid"))
        self.release(uid)
        key = UnitKey(pods[0].namespace, uid)
        part = Part(key, tuple(pods), need=len(pods), least=len(pods))
        priority = min(pod.priority for pod in pods)
        gang = Unit(key, (part,), priority, self._constraint(pods), "", resumes=False)
        decision = self._cache.cycle.decide(gang, may_preempt=False)
        if isinstance(decision, Bind):
            self._promised[uid] = tuple(pod.uid for pod, _ in decision.placements)
            loop = asyncio.get_running_loop()
            self._timers[uid] = loop.call_later(PROMISED_SECONDS, self._lapse, uid)
            return ""
        why = next((one for one in decision.why.values() if one.counts), None)
        first = why or next(iter(decision.why.values()))
        return first.message

    def release(self, uid: str) -> None:
        """No room is kept for the unit's pods any more."""
        timer = self._timers.pop(uid, None)
        if timer is not None:
            timer.cancel()
        for pod in self._promised.pop(uid, ()):
            self._cache.cluster.forget(pod)

    def _constraint(self, pods: Sequence[Pod]) -> str:
        """What the co-scheduler will ask of the domain of these pods; empty: nothing, or not of
        all of them together.
        """
        ours = all(pod.scheduler in self._scheduler_names for pod in pods)
        gangs = {_gang_of(pod) for pod in pods}
        one = len(pods) == 1 or (len(gangs) == 1 and gangs != {()})
        return constraint_among(pods) if ours and one else ""

    def _say_untold(self, unit: Mapping[str, Any]) -> None:
        """That units say too little of their pods is said once."""
        if not self._untold:
            self._untold = True
            metadata = mapping_of(unit.get("metadata"))
            _log.warning(
                "a unit without the templates of its pods is released without a look at nodes: "
                "does job-extensions have --placement-check, too?",
                unit=f"{text_of(metadata.get('namespace'))}/{text_of(metadata.get('name'))}",
            )

    def _lapse(self, uid: str) -> None:
        self.release(uid)
        self._changed()

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None:
            self._cache.node_seen(new, self._clock())
        elif old is not None:
            self._cache.node_gone(old.name, self._clock())
        if old is None or new is None or not old.same_place(new):
            self._changed()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        self._cache.pod_seen(old, new, self._clock())
        held = old is not None and old.takes_room
        if held and (new is None or not new.takes_room):
            self._changed()


def _gang_of(pod: Pod) -> tuple[str, ...]:
    """Names the gangs that are placed together with the pod; empty: it is in none."""
    if pod.gang is None:
        return ()
    return tuple(sorted(pod.gang.groups)) or (f"{pod.namespace}/{pod.gang.name}",)


def _pods_of(unit: Mapping[str, Any]) -> list[Pod]:
    """The pods that the unit's job will make, as far as its pod sets say."""
    metadata, spec = mapping_of(unit.get("metadata")), mapping_of(unit.get("spec"))
    namespace, uid = text_of(metadata.get("namespace")), text_of(metadata.get("uid"))
    priority = spec.get("priority")
    pods = []
    for entry in map(mapping_of, list_of(spec, "podSet")):
        template, count = mapping_of(entry.get("template")), entry.get("count")
        inner = dict(mapping_of(template.get("spec")))
        if not inner.get("containers") or not isinstance(count, int):
            # What a pod looks like is not said, so nobody can say where it fits.
            return []
        for name in _NOT_LOOKED_AT:
            inner.pop(name, None)
        inner["priority"] = priority if isinstance(priority, int) else 0
        known = mapping_of(template.get("metadata"))
        for number in range(min(count, MOST_PODS + 1)):
            name = f"{text_of(entry.get('name'))}-{number}"
            names = {"namespace": namespace, "name": name, "uid": f"{uid}/{name}"}
            labels = {key: known.get(key) or {} for key in ("labels", "annotations")}
            pods.append(pod_of({"metadata": {**labels, **names}, "spec": inner}))
    return pods
