"""The ReplicaSet controller of kube-controller-manager.

As many active pods as the set asks for: missing ones are created, surplus ones deleted in
Kubernetes' order; orphans that the selector matches are adopted, pods it does not match let go.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from kube_queue.api.errors import ApiError, Conflict, Invalid, NotFound
from kube_queue.api.types import PODS, REPLICA_SETS
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator import replica_set
from kube_queue.simulator.fields import mapping, merge_difference
from kube_queue.simulator.owned_pods import OwnedPods, Voice, Wanted, generated_name
from kube_queue.simulator.replica_set import Claim, SetSpec
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import JobDocument, PodView, job_document, orphans_of, pod_view

Key = tuple[str, str]
T = TypeVar("T")

NAME_TAKEN_SECONDS: Final = 1.0
MOST_AT_ONCE: Final = 500
"""Pods created or deleted in one look at a set."""
_WORKERS: Final = 8
_MOST_UNDER_WAY: Final = 32


class ReplicaSetController:
    """Plays the controller of apps/v1 ReplicaSets."""

    def __init__(
        self,
        client: Client,
        sets: Table[JobDocument],
        pods: Table[PodView],
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._client = client
        self._sets = sets
        self._pods = pods
        voice = Voice("replicaset-controller", "FailedCreate")
        self._owned = OwnedPods(client, pods, REPLICA_SETS, voice, clock)
        self._clock = clock
        self._rng = rng
        self._queue: WorkQueue[Key] = WorkQueue()
        sets.subscribe(self._set_changed)
        pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """ReplicaSets are worked on, until cancelled."""
        await self._pods.synced.wait()
        await self._sets.synced.wait()
        await run_workers(self._queue, self._reconcile, _WORKERS)

    def _set_changed(self, old: JobDocument | None, new: JobDocument | None) -> None:
        del old
        if new is not None:
            self._queue.add((new.namespace, new.name))

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """The set that has it, or had it, looks again; an orphan is shown to every set around."""
        for pod in (old, new):
            owner = self._sets.with_uid(pod.owner) if pod is not None and pod.owner else None
            if owner is not None:
                self._queue.add((owner.namespace, owner.name))
        if new is None or new.owner or not new.active:
            return
        if old is None or old.owner or old.labels != new.labels:
            for each in self._sets.values():
                if each.namespace == new.namespace:
                    self._queue.add((each.namespace, each.name))

    async def _reconcile(self, key: Key) -> float | None:
        document = self._sets.get(*key)
        if document is None:
            return None
        manifest = document.manifest()
        spec = replica_set.set_spec(manifest)
        if spec.selector is None:
            return None
        claimed = self._claimed(document, spec)
        for pod in claimed.release:
            await self._release(document, pod)
        for pod in claimed.adopt:
            await self._adopt(document, pod)
        if claimed.adopt:
            claimed = self._claimed(document, spec)
        waits, refusal = False, None
        if not spec.leaving:
            waits, refusal = await self._arrange_pods(document, manifest, spec, claimed)
        # What was just created and deleted is in the table already.
        claimed = self._claimed(document, spec)
        problem = "" if refusal is None else refusal.message
        await self._write_status(document, manifest, spec, claimed, problem)
        if refusal is not None:
            raise refusal
        left = replica_set.next_available(claimed.active, spec.min_ready_seconds, self._clock())
        left = min(left, NAME_TAKEN_SECONDS if waits else math.inf)
        return None if math.isinf(left) else left

    def _claimed(self, document: JobDocument, spec: SetSpec) -> Claim:
        owned = self._pods.of_group(document.uid)
        return replica_set.claim(spec, owned, self._pods.of_group(orphans_of(document.namespace)))

    async def _arrange_pods(
        self, document: JobDocument, manifest: Mapping[str, Any], spec: SetSpec, claimed: Claim
    ) -> tuple[bool, ApiError | None]:
        """There are as many active pods as asked for: (a name is taken, why a pod was refused)."""
        missing = spec.replicas - len(claimed.active)
        if missing > 0:
            return await self._create(document, manifest, min(missing, MOST_AT_ONCE))
        surplus = min(-missing, MOST_AT_ONCE)
        related = self._related(document)
        for batch in _batches(
            replica_set.to_delete(claimed.active, related, surplus, self._clock())
        ):
            await asyncio.gather(*(self._owned.delete(pod) for pod in batch))
        return False, None

    async def _create(
        self, document: JobDocument, manifest: Mapping[str, Any], missing: int
    ) -> tuple[bool, ApiError | None]:
        """So many pods more. The first batch is one pod and each next one twice as large, so that
        what refuses one pod refuses few."""
        template = mapping(mapping(manifest.get("spec")).get("template"))
        metadata = mapping(manifest.get("metadata"))
        base = f"{document.name}-"
        names = [generated_name(base, self._rng) for _ in range(missing)]
        taken = False
        for batch in _batches(names):
            answers = await asyncio.gather(
                *(
                    self._owned.create(metadata, template, Wanted(name, generate_name=base))
                    for name in batch
                ),
                return_exceptions=True,
            )
            for answer in answers:
                if isinstance(answer, ApiError):
                    return taken, answer
                if isinstance(answer, BaseException):
                    raise answer
                taken |= not answer
        return taken, None

    def _related(self, document: JobDocument) -> Iterable[PodView]:
        """The active pods of all sets of the same owner."""
        sets = self._sets.of_group(document.owner) if document.owner else [document]
        return [pod for each in sets for pod in self._pods.of_group(each.uid) if pod.active]

    async def _adopt(self, document: JobDocument, pod: PodView) -> None:
        owner = {
            "apiVersion": REPLICA_SETS.api_version,
            "kind": REPLICA_SETS.kind,
            "name": document.name,
            "uid": document.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        await self._patch_owners(pod, owner)

    async def _release(self, document: JobDocument, pod: PodView) -> None:
        await self._patch_owners(pod, {"$patch": "delete", "uid": document.uid})

    async def _patch_owners(self, pod: PodView, change: Mapping[str, Any]) -> None:
        """Raises Conflict when somebody else has written the pod: it is met again as it is then."""
        patch = {
            "metadata": {
                "uid": pod.uid,
                "resourceVersion": pod.resource_version,
                "ownerReferences": [dict(change)],
            }
        }
        try:
            answer = await self._client.patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic"
            )
        except (NotFound, Invalid):
            # Gone, or owned by somebody else meanwhile: the watch tells.
            return
        self._pods.wrote(pod_view(answer))

    async def _write_status(
        self,
        document: JobDocument,
        manifest: Mapping[str, Any],
        spec: SetSpec,
        claimed: Claim,
        problem: str,
    ) -> None:
        """The status says what is so, unless the set changed meanwhile and is looked at again."""
        after = replica_set.next_status(manifest, spec, claimed, problem, self._clock())
        changes = merge_difference(mapping(manifest.get("status")), after)
        if not changes:
            return
        patch = merge_patch(document.uid, document.resource_version, {"status": changes})
        try:
            answer = await self._client.patch(
                REPLICA_SETS, document.namespace, document.name, patch, subresource="status"
            )
        except (NotFound, Conflict):
            self._queue.add((document.namespace, document.name))
            return
        self._sets.wrote(job_document(answer))


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in order, in batches of one, two, four and so on."""
    start, size = 0, 1
    while start < len(items):
        yield items[start : start + size]
        start += size
        size = min(2 * size, _MOST_UNDER_WAY)
