"""Volumes before pods: every claim of pods that start together is bound before the first Binding.

::

    pods of one commit ──▶ volume: its claimRef     ──▶ claims bound, as seen ──▶ bind the pods
                           none: the claim's node   │
                                                    └─ refused, or not in time ──▶ failed
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from kube_queue.api.pods import Pod
from kube_queue.api.storage import SELECTED_NODE
from kube_queue.api.types import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from kube_queue.controller.scheduling.means import Means
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.writes import Failed, Lane, Outcome
from kube_queue.placement.decisions import Placement
from kube_queue.placement.storage import ToBind

PATIENCE: Final = 600.0
"""Seconds in which volumes have to be bound or made, as kube-scheduler gives them."""
BOUND_BY_US: Final = "pv.kubernetes.io/bound-by-controller"

_log = structlog.get_logger("controller.scheduling.volumes")


@dataclass(eq=False, slots=True)
class _Waiting:
    """Pods of which not all claims are bound."""

    placements: Sequence[Placement]
    bound: Callable[[], None]
    failed: Callable[[], None]
    timer: asyncio.TimerHandle | None = None


class Volumes:
    """Binds what pods mount before the pods are bound."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._waiting: dict[_Waiting, None] = {}
        self._stopped = False

    def stop(self) -> None:
        """Nothing more is begun or told from here."""
        self._stopped = True
        for waiting in self._waiting:
            if waiting.timer is not None:
                waiting.timer.cancel()
        self._waiting.clear()

    def prepare(
        self,
        placements: Sequence[Placement],
        bound: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        """`bound` is called once all their claims are bound, at once where there is nothing to do;
        else `failed`.
        """
        cache = self._means.cache
        # Pods may share a claim; one write for each is enough.
        writes = {
            each.claim.key: each
            for pod, _ in placements
            if pod.claims
            for each in cache.volume_bindings(pod)
        }
        if not writes:
            bound()
            return
        waiting = _Waiting(placements, bound, failed)
        loop = asyncio.get_running_loop()
        waiting.timer = loop.call_later(PATIENCE, self._fail, waiting, "not bound in time")
        self._waiting[waiting] = None
        for each in writes.values():
            self._submit(waiting, each)

    def claims_changed(self) -> None:
        """Called when a claim was seen: whoever waited for it may go on."""
        for waiting in list(self._waiting):
            if all(self._means.cache.claims_bound(pod) for pod, _ in waiting.placements):
                self._leave(waiting)
                waiting.bound()

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """An informer handler: who is gone, or going, keeps the others waiting for nothing."""
        if old is None or (new is not None and not new.deletion):
            return
        for waiting in list(self._waiting):
            if any(pod.uid == old.uid for pod, _ in waiting.placements):
                self._fail(waiting, f"{old.key} is gone")

    def _submit(self, waiting: _Waiting, to_bind: ToBind) -> None:
        claim, volume, node = to_bind

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Failed) and not self._stopped:
                self._fail(waiting, str(outcome.error))

        writes = self._means.writes
        if volume is None:
            if claim.selected_node == node:
                return
            change: dict[str, Any] = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            patch = merge_patch(claim.uid, claim.resource_version, change)
            key = (PERSISTENT_VOLUME_CLAIMS.plural, claim.namespace, claim.name)
            place = (PERSISTENT_VOLUME_CLAIMS, claim.namespace, claim.name)
            writes.submit(Lane.ADMIT, key, partial(_patch, place=place, patch=patch), done)
            return
        reference = {
            "apiVersion": "v1",
            "kind": PERSISTENT_VOLUME_CLAIMS.kind,
            "namespace": claim.namespace,
            "name": claim.name,
            "uid": claim.uid,
        }
        change = {
            "metadata": {"annotations": {BOUND_BY_US: "yes"}},
            "spec": {"claimRef": reference},
        }
        patch = merge_patch(volume.uid, volume.resource_version, change)
        key = (PERSISTENT_VOLUMES.plural, "", volume.name)
        place = (PERSISTENT_VOLUMES, "", volume.name)
        writes.submit(Lane.ADMIT, key, partial(_patch, place=place, patch=patch), done)

    def _fail(self, waiting: _Waiting, problem: str) -> None:
        if waiting not in self._waiting:
            return
        self._leave(waiting)
        pods = ", ".join(pod.key for pod, _ in waiting.placements[:3])
        _log.info("volumes of pods were not bound", pods=pods, problem=problem)
        waiting.failed()

    def _leave(self, waiting: _Waiting) -> None:
        self._waiting.pop(waiting, None)
        if waiting.timer is not None:
            waiting.timer.cancel()


async def _patch(client: Client, place: tuple[Any, str, str], patch: dict[str, Any]) -> None:
    await client.patch(*place, patch)
