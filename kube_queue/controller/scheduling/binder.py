"""Bindings: every pod that was given a node is bound there, or it is certain that it is not.

::

    Bind ──▶ foreign change of the node? ──yes──▶ do the filters still pass? ──no──▶ failed
                        │ no                               │ yes
                        ▼                                  ▼
                     POST pods/binding (uid), at most 4 s ──201──▶ bound
                        │ no answer, 429, 5xx: again, to the same node
                        │ 409 ──▶ read the pod ──on our node──▶ bound
                        │                      └─anything else──▶ failed
                        └ 404, 403, 400, 422 ──▶ failed

As long as an outcome is unknown the pod takes the room it was given: deciding elsewhere could bind
it twice. A pod that failed takes no room, and its unit is tried again after its backoff. Members
of its gang that are bound stay bound; then the unit goes before all others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from kube_queue.api.errors import (
    Conflict,
    ConnectionLost,
    KubeQueueError,
    NotFound,
    ServerFault,
    TooManyRequests,
)
from kube_queue.api.names import GANG_COMMIT_ANNOTATION
from kube_queue.api.pods import Pod, pod_of
from kube_queue.api.types import PODS
from kube_queue.controller.scheduling.means import Means, pod_key
from kube_queue.controller.scheduling.volumes import Volumes
from kube_queue.kube.client import Client
from kube_queue.kube.writes import Done, Failed, Lane, Outcome
from kube_queue.placement.decisions import Bind, Placement
from kube_queue.placement.gangs import key_of

UNKNOWN_PAUSE: Final = 2.0
"""Seconds until a binding of unknown outcome is sent again, after the write scheduler gave up."""

_log = structlog.get_logger("controller.scheduling.binder")


class NotBound(KubeQueueError):
    """The pod is not on the node, and will not be by this binding."""


class RoomTaken(NotBound):
    """Somebody else took the room, or changed the node, before the pod was bound."""


@dataclass(slots=True, eq=False)
class _Binding:
    """One pod on its way to a node."""

    pod: Pod
    node: str
    annotation: str
    """The gang commit it is part of, or empty."""
    decided_at: int = 0
    """Foreign changes that the decision knew of."""
    began: float = 0.0
    posted: bool = False
    """It was sent at least once: from then on only the server can say that it failed."""


class Binder:
    """Binds what was decided; `settled` is called whenever an outcome is known."""

    def __init__(
        self,
        means: Means,
        *,
        seconds: float,
        commit_id: Callable[[], str],
        settled: Callable[[], None],
    ) -> None:
        self._means = means
        self.volumes = Volumes(means)
        self._seconds = seconds
        self._commit_id = commit_id
        self._settled = settled
        self._open: dict[str, _Binding] = {}
        self._stopped = False

    @property
    def open(self) -> int:
        """Bindings whose outcome is not known yet."""
        return len(self._open)

    def stop(self) -> None:
        """Nothing more is bound from here."""
        self._stopped = True
        self.volumes.stop()

    def apply(self, decision: Bind) -> None:
        """Every pod of the decision is on its way to its node, volumes before pods."""
        annotations = self._annotations(decision)
        bindings = [
            _Binding(pod, node, annotations[index] if index < len(annotations) else "")
            for index, (pod, node) in enumerate(decision.placements)
        ]
        together = max(1, decision.together)
        self._begin(bindings[:together])
        for binding in bindings[together:]:
            self._begin([binding])

    def _begin(self, bindings: Sequence[_Binding]) -> None:
        """These pods, whose volumes are bound before the first of them, are on their way."""
        count, began = self._means.foreign.count, asyncio.get_running_loop().time()
        for binding in bindings:
            binding.decided_at, binding.began = count, began

        def bound() -> None:
            for binding in bindings:
                self._open[binding.pod.uid] = binding
                self._submit(binding)

        def failed() -> None:
            for binding in bindings:
                self._means.cache.bind_failed(binding.pod, self._means.clock())
            self._means.meters.scheduled("failed", len(bindings))
            self._settled()

        placements = [Placement(binding.pod, binding.node) for binding in bindings]
        self.volumes.prepare(placements, bound, failed)

    def _annotations(self, decision: Bind) -> Sequence[str]:
        """What tells a successor that pods were to be bound together, one for each of them."""
        if decision.unit.pod or not decision.together:
            return ()
        together = decision.placements[: decision.together]
        sizes = Counter(key_of(pod) for pod, _ in together)
        commit = self._commit_id()
        return [f"{commit}/{sizes[key_of(pod)]}" for pod, _ in together]

    def _submit(self, binding: _Binding) -> None:
        async def send(client: Client) -> None:
            await self._carry_out(client, binding)

        def done(outcome: Outcome) -> None:
            self._ended(binding, outcome)

        self._means.writes.submit(Lane.ADMIT, pod_key(binding.pod), send, done)

    async def _carry_out(self, client: Client, binding: _Binding) -> None:
        """The pod is bound to the node. Raises NotBound, and what the server refuses with."""
        pod = binding.pod
        if not binding.posted:
            self._check_room(binding)
            binding.posted = True
        try:
            await client.create_subresource(
                PODS, pod.namespace, pod.name, "binding", _manifest(binding), timeout=self._seconds
            )
        except Conflict as conflict:
            found = pod_of(await client.get(PODS, pod.namespace, pod.name))
            if found.uid != pod.uid:
                raise NotBound(f"{pod.key} is another pod now") from conflict
            if found.node == binding.node:
                return
            where = f"stands on {found.node} already" if found.node else str(conflict)
            raise NotBound(f"{pod.key}: {where}") from conflict

    def _check_room(self, binding: _Binding) -> None:
        if not self._means.foreign.since(binding.node, binding.decided_at):
            return
        refusal = self._means.cache.still_refused(binding.pod)
        if refusal is not None:
            raise RoomTaken(f"{binding.node}: {refusal.reason}")

    def _ended(self, binding: _Binding, outcome: Outcome) -> None:
        if self._stopped:
            return
        if isinstance(outcome, Failed) and not _unknown(outcome.error):
            self._failed(binding, outcome.error)
        elif isinstance(outcome, Done):
            self._bound(binding)
        else:
            problem = str(outcome.error) if isinstance(outcome, Failed) else "overtaken"
            _log.warning(
                "the outcome of a binding is unknown, sending it again",
                pod=binding.pod.key,
                node=binding.node,
                problem=problem,
            )
            asyncio.get_running_loop().call_later(UNKNOWN_PAUSE, self._again, binding)

    def _again(self, binding: _Binding) -> None:
        if not self._stopped:
            self._submit(binding)

    def _bound(self, binding: _Binding) -> None:
        del self._open[binding.pod.uid]
        means = self._means
        means.meters.bound(asyncio.get_running_loop().time() - binding.began)
        means.tell(binding.pod, "Normal", "Scheduled", _assigned(binding))
        self._settled()

    def _failed(self, binding: _Binding, error: KubeQueueError) -> None:
        del self._open[binding.pod.uid]
        means = self._means
        means.meters.scheduled("failed")
        if not isinstance(error, NotFound):
            say = _log.info if isinstance(error, NotBound) else _log.warning
            say("a pod was not bound", pod=binding.pod.key, node=binding.node, problem=str(error))
        means.cache.bind_failed(binding.pod, means.clock(), taken=isinstance(error, RoomTaken))
        self._settled()


def _assigned(binding: _Binding) -> str:
    return f"Successfully assigned {binding.pod.key} to {binding.node}"


def _manifest(binding: _Binding) -> dict[str, Any]:
    pod = binding.pod
    metadata: dict[str, Any] = {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    if binding.annotation:
        metadata["annotations"] = {GANG_COMMIT_ANNOTATION: binding.annotation}
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": metadata,
        "target": {"apiVersion": "v1", "kind": "Node", "name": binding.node},
    }


def _unknown(error: KubeQueueError) -> bool:
    return isinstance(error, (ConnectionLost, ServerFault, TooManyRequests))
